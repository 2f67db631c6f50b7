//! Where a cluster's files lie: the folder of a clone or a temporary one, who may use it, and a data directory in it made
//! by initdb. Must not start the server.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::account::Account;
use super::binaries::Binaries;
use super::guardian::Guardian;
use super::memory;
use super::{SUPERUSER, tail};

/// A process that was killed a moment ago may not have let go of its lock yet.
const LOCK_LIMIT: Duration = Duration::from_millis(500);
const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// How the name of a data directory begins that initdb has not finished; a process id follows.
const UNFINISHED: &str = "postgres.new.";
/// Survives reboots, unlike the temporary folder, but only root can make it.
const SHARED_STATE: &str = "/var/lib/errand-dev";

/// The folder of one cluster, and the account that uses it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) account: Account,
    dir: PathBuf,
    /// Whether the folder goes with the cluster.
    pub(super) throwaway: bool,
    /// Held for as long as the cluster lives; the kernel lets go of it when the process ends.
    _lock: Option<File>,
}

impl Home {
    /// The lasting home of the clone whose state folder is `state`. Fails if another process uses it.
    pub(super) async fn durable(state: &Path) -> Result<Self> {
        fs::create_dir_all(state).with_context(|| format!("cannot create {}", state.display()))?;
        let state = state.canonicalize()?;
        let lock = lock(&state.join("dev.lock")).await?;
        let mut account = Account::pick(Some(&data_below(&state)))?;
        let mut dir = state;
        if !account.can_enter(&dir) {
            // The clone lies where only root may go, such as below /root.
            let path = dir.as_os_str().as_encoded_bytes();
            let name = hex(digest::digest(&digest::SHA256, path).as_ref());
            dir = shared_state()?.join(&name[..16]);
            account = Account::pick(Some(&data_below(&dir)))?;
            fs::create_dir_all(&dir)?;
            account.give(&dir)?;
        }
        Ok(Self {
            account,
            dir,
            throwaway: false,
            _lock: Some(lock),
        })
    }

    /// A new home in a temporary folder.
    pub(super) fn throwaway() -> Result<Self> {
        let account = Account::pick(None)?;
        let parents = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let mut parents = memory::folder().into_iter().chain(parents);
        // root's own TMPDIR may be closed to the account.
        let Some(parent) = parents.find(|dir| account.can_write(dir)) else {
            bail!("the account that runs PostgreSQL can write to no temporary folder");
        };
        let dir = parent
            .canonicalize()?
            .join(format!("errand-test-{}", Uuid::now_v7().simple()));
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        account.give(&dir)?;
        Ok(Self {
            account,
            dir,
            throwaway: true,
            _lock: None,
        })
    }

    /// The data directory, which [`Home::initialise`] makes.
    pub(super) fn data(&self) -> PathBuf {
        data_below(&self.dir)
    }

    /// What to remove when the cluster ends.
    pub(super) fn remove(&self) -> Option<&Path> {
        self.throwaway.then_some(self.dir.as_path())
    }

    /// The major version that made the data directory, if it is complete.
    pub(super) fn version(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        text.trim().parse().ok()
    }

    /// Makes the data directory unless it is there. A directory that an interrupted start left is made again.
    pub(super) async fn initialise(&self, binaries: &Binaries) -> Result<()> {
        let data = self.data();
        self.remove_unfinished();
        if let Some(version) = self.version() {
            if version != binaries.major {
                bail!(
                    "{} was made by PostgreSQL {version}, but the server found is PostgreSQL {}; install version \
                     {version}, or remove the folder to start with empty data",
                    data.display(),
                    binaries.major
                );
            }
            return Ok(());
        }
        // initdb works beside the final place, so that a directory of the final name is always a whole one. The process id
        // keeps it apart from an initdb that was interrupted just now and still cleans up after itself.
        let fresh = self.dir.join(format!("{UNFINISHED}{}", std::process::id()));
        let mut complaint = String::new();
        for locale in ["C.UTF-8", "C"] {
            remove_if_there(&fresh)?;
            DirBuilder::new().mode(0o700).create(&fresh)?;
            self.account.give(&fresh)?;
            match self.initdb(binaries, &fresh, locale).await? {
                None => {
                    remove_if_there(&data)?;
                    fs::rename(&fresh, &data)?;
                    return Ok(());
                }
                Some(output) => complaint = output,
            }
            // macOS and old distributions have no C.UTF-8.
            if !complaint.contains("locale") {
                break;
            }
        }
        bail!("initdb failed:\n{complaint}")
    }

    /// Removes what interrupted starts have left. What cannot be removed yet is left to the next start.
    fn remove_unfinished(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Runs initdb; returns what it printed if it failed.
    async fn initdb(
        &self,
        binaries: &Binaries,
        into: &Path,
        locale: &str,
    ) -> Result<Option<String>> {
        let mut initdb = Command::new(binaries.program("initdb"));
        initdb.arg("-D").arg(into).args(["-U", SUPERUSER]);
        // Trust: the server listens on the loopback address alone, and its only data is a developer's. A password would
        // lie in a file beside the data and keep out nobody whom the file's owner does not keep out.
        initdb.args(["--auth=trust", "--encoding=UTF8"]);
        initdb.arg(format!("--locale={locale}"));
        if self.throwaway {
            initdb.arg("--no-sync");
        }
        let log = self.dir.join("initdb.log");
        let mut guardian = Guardian::spawn(self.account, &initdb, &log, self.remove())?;
        let status = guardian.wait(INITDB_LIMIT).await.context("initdb hangs")?;
        let output = tail(&log);
        let _ = fs::remove_file(&log);
        Ok((!status.success()).then_some(output))
    }
}

fn data_below(dir: &Path) -> PathBuf {
    dir.join("postgres")
}

/// Takes the clone's lock and writes our process id into it.
async fn lock(path: &Path) -> Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                let pid = pid.trim();
                bail!("cargo dev is already running in this clone (pid {pid})");
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// A folder every account may enter and only root may change. Called as root only.
pub(super) fn shared_state() -> Result<PathBuf> {
    let candidates = [
        PathBuf::from(SHARED_STATE),
        std::env::temp_dir().join("errand-dev"),
    ];
    for dir in candidates {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&dir);
        // In a shared temporary folder somebody else may have taken the name.
        let ours = fs::symlink_metadata(&dir)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o022 == 0);
        if made.is_ok() && ours {
            return Ok(dir);
        }
    }
    bail!("cannot create {SHARED_STATE} for data outside a clone that only root may enter")
}

fn remove_if_there(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
