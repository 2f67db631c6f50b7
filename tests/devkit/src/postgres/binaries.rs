//! Finds an installed PostgreSQL server, or downloads one as the last resort.
//! Must not start anything but `postgres --version`.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use postgresql_embedded::{PostgreSQL, Settings, VersionReq};

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

/// Downloads and unpacks a server; returns its `bin` folder.
async fn download(account: Account, wanted: Option<u32>) -> Result<PathBuf> {
    let mut settings = Settings::new();
    if let Some(major) = wanted {
        settings.version = VersionReq::parse(&format!("={major}"))?;
    }
    if account.is_other() {
        // The default lies in root's home, which the account may not enter.
        settings.installation_dir = shared_state()?.join("postgresql");
    }
    tracing::info!(
        from = %settings.releases_url,
        to = %settings.installation_dir.display(),
        "no PostgreSQL server is installed: downloading one, which can take minutes"
    );
    // The crate would run initdb at once, and as root that fails: a scratch folder that looks initialised stops it.
    let (scratch, password_file) = (settings.data_dir.clone(), settings.password_file.clone());
    let looks_initialised = scratch.join("postgresql.conf");
    fs::write(&looks_initialised, "").context("cannot write to the temporary folder")?;
    let mut server = PostgreSQL::new(settings);
    let outcome = server.setup().await;
    for file in [&looks_initialised, &password_file] {
        let _ = fs::remove_file(file);
    }
    // Not recursive: the crate falls back to the current folder when it cannot make a temporary one.
    for dir in [Some(scratch.as_path()), password_file.parent()]
        .into_iter()
        .flatten()
    {
        let _ = fs::remove_dir(dir);
    }
    outcome.context("downloading PostgreSQL failed")?;
    let dir = server.settings().binary_dir();
    if !dir.join("initdb").is_file() {
        bail!("the downloaded archive has no initdb in {}", dir.display());
    }
    Ok(dir)
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
