//! Who may use whom: the arrows between the crates, read from their manifests.
//!
//! A new arrow is a decision about the architecture and belongs into this list together with its reason in `docs/architecture.md`.

use std::{collections::BTreeSet, fs, path::Path};

mod circles;

/// Each crate, by its folder, and the crates of Errand that it may use.
const ARROWS: [(&str, &[&str]); 7] = [
    ("shared/core", &[]),
    ("shared/store", &["core"]),
    ("shared/server", &["core"]),
    ("shared/tools", &["core", "server", "store"]),
    ("api", &["core", "server", "store", "tools"]),
    ("worker", &["core", "server", "store", "tools"]),
    // No part of what ships, which may not use it.
    (
        "tests/evals",
        &["api", "core", "devkit", "server", "store", "worker"],
    ),
];

/// What may not be named below a folder: the agent knows no SQL, no HTTP and no queue, and nobody but the store knows SQL.
const FOREIGN: [(&str, &[&str]); 5] = [
    (
        "worker/src/agent",
        &["sqlx", "reqwest", "axum", "apalis", "errand_tools"],
    ),
    ("worker/src/openai", &["sqlx", "apalis", "errand_tools"]),
    ("api/src", &["sqlx", "apalis", "errand_worker"]),
    ("worker/src", &["errand_api"]),
    ("shared/tools/src", &["sqlx", "apalis"]),
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The crates of Errand that a crate uses when it ships; what only its tests use is free.
fn uses(folder: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    let mut section = String::new();
    let mut used = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if section == "dependencies"
            && let Some(name) = line.strip_prefix("errand-")
        {
            let end = name
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(name.len());
            used.insert(name[..end].to_owned());
        }
    }
    used
}

#[test]
fn a_crate_uses_no_other_than_it_may() {
    for (folder, allowed) in ARROWS {
        let used = uses(folder);
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        let more: Vec<_> = used.difference(&allowed).collect();
        assert!(more.is_empty(), "{folder} uses {more:?}");
    }
}

#[test]
fn code_names_nothing_that_is_no_matter_of_its_room() {
    let mut found = Vec::new();
    for (folder, words) in FOREIGN {
        for (path, text) in files(&root().join(folder)) {
            for line in text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                if let Some(word) = words.iter().find(|&&word| line.contains(word)) {
                    found.push(format!("{path}: {word} in {line}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// All source files below a folder, and that of the module itself.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    if let Ok(text) = fs::read_to_string(folder.with_extension("rs")) {
        all.push((folder.with_extension("rs").display().to_string(), text));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                all.push((path.display().to_string(), text));
            }
        }
    }
    all
}

/// A build of the whole workspace makes nothing of the benchmarks: each of their programs asks for a feature.
#[test]
fn benchmarks_are_built_for_whoever_asks_for_them() {
    let manifest = root().join("tests/bench/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    let programs: Vec<_> = manifest.split("[[bin]]").skip(1).collect();
    assert!(programs.len() > 1, "{manifest}");
    for program in programs {
        let asks = ["programs", "faults"].map(|it| format!("required-features = [\"{it}\"]"));
        assert!(asks.iter().any(|it| program.contains(it)), "{program}");
    }
}
