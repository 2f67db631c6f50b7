//! The programs that ship, built for whoever starts them as processes: `cargo test` and `cargo run` build only their own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Which programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As they ship.
    Shipped,
    /// With the fail points of the fault campaign.
    FailPoints,
    /// The programs of development that tests start.
    Development,
}

impl Build {
    /// The packages, and the programs of them that are built.
    fn programs(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            // What tests are made of is built with them, so that both are of the same crates with the same features: with fewer, a dozen
            // crates and all of our own would be built once more. What ships is built without.
            Self::Shipped | Self::FailPoints if cfg!(debug_assertions) => (
                &["errand-api", "errand-worker", "errand-devkit"],
                &["errand-api", "errand-worker", "errand-mcp"],
            ),
            Self::Shipped | Self::FailPoints => (
                &["errand-api", "errand-worker"],
                &["errand-api", "errand-worker", "errand-mcp"],
            ),
            Self::Development => (
                &["errand-devkit", "errand-bench"],
                &["errand-dev", "chaos", "abuse"],
            ),
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Shipped => &[],
            Self::FailPoints => &["errand-api/failpoints", "errand-worker/failpoints"],
            Self::Development => &["errand-bench/faults"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Shipped => "errand-programs",
            Self::FailPoints => "errand-programs-with-fail-points",
            Self::Development => "errand-programs-of-development",
        }
    }
}

/// Builds the programs beside the running one and copies them into a folder of their own, whose path is returned. Blocks.
///
/// The copy keeps one kind from taking the other's place while somebody starts it. Builders take turns.
///
/// # Errors
/// They do not build, or the disk refuses.
pub fn build(build: Build) -> Result<PathBuf> {
    let profile = profile_folder()?;
    let (packages, programs) = build.programs();
    let turn = File::create(profile.join(".errand-programs.lock"))?;
    turn.lock()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet"])
        .args(packages.iter().flat_map(|package| ["-p", package]))
        .args(programs.iter().flat_map(|program| ["--bin", program]))
        .arg("--target-dir")
        .arg(profile.parent().context("no target folder")?)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    let features = build.features();
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo told this program of its own package is news to build scripts that look at it (ring's does): all that depends
    // on them would be built anew, here and once more by the next cargo outside.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    ensure!(cargo.status()?.success(), "the programs do not build");
    let folder = profile.join(build.folder());
    fs::create_dir_all(&folder)?;
    for program in programs {
        // Renamed into place: one that runs is not written over.
        let copy = folder.join(format!(".{program}-{}", std::process::id()));
        fs::copy(profile.join(program), &copy)?;
        fs::rename(copy, folder.join(program))?;
    }
    Ok(folder)
}

/// target/<profile>, from the path of the running program, which may be a test in `deps`, or one that was built here.
fn profile_folder() -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let folder = me.parent().context("no folder")?;
    let folder = match folder.file_name().and_then(|name| name.to_str()) {
        Some(name) if name == "deps" || name.starts_with("errand-programs") => {
            folder.parent().context("no folder")?
        }
        _ => folder,
    };
    Ok(Path::to_path_buf(folder))
}
