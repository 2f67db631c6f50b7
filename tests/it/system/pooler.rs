//! A PgBouncer in front of a database, in transaction mode, if one is installed that is new enough.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use errand_devkit::process::{Process, free_port};
use tokio::{net::TcpStream, process::Command};

use super::PATIENCE;

/// Server connections for all clients: few, so that clients really share them.
const POOL_SIZE: u32 = 4;

/// A running pooler. It ends when it is dropped.
pub(crate) struct Pooler {
    url: String,
    config: PathBuf,
    _process: Process,
}

impl Pooler {
    /// A pooler for the server of this database URL, with these settings besides.
    ///
    /// # Errors
    /// Why there is none, for a test that then is skipped.
    pub(crate) async fn in_front_of(database_url: &str, settings: &str) -> Result<Self, String> {
        let program = program();
        check_version(&program).await?;
        let (user, rest) = database_url
            .trim_start_matches("postgres://")
            .split_once('@')
            .ok_or("a URL without a user")?;
        let (address, database) = rest.split_once('/').ok_or("a URL without a database")?;
        let (host, server_port) = address.split_once(':').ok_or("a URL without a port")?;
        let port = free_port();
        let config = std::env::temp_dir().join(format!("errand-pooler-{port}.ini"));
        let text = format!(
            "[databases]\n{database} = host={host} port={server_port} user={user}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_prepared_statements = 200\n{settings}\n"
        );
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(&program);
        // It refuses to run as root.
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            command.args(["-u", "nobody"]);
        }
        command.arg("-q").arg(&config).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start("the pooler", &mut command);
        let process = process.map_err(|error| format!("{error:#}"))?;
        let pooler = Self {
            url: format!("postgres://{user}@127.0.0.1:{port}/{database}"),
            config,
            _process: process,
        };
        let up = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up)
            .await
            .expect("the pooler listens");
        Ok(pooler)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.config);
    }
}

/// The one that is named, the one that `tests/pgbouncer/build` built, or the system's.
fn program() -> String {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/pgbouncer/.build/pgbouncer");
    match std::env::var("PGBOUNCER") {
        Ok(named) => named,
        Err(_) if Path::new(built).exists() => built.to_owned(),
        Err(_) => "pgbouncer".to_owned(),
    }
}

/// Since 1.21 prepared statements work in transaction mode.
async fn check_version(program: &str) -> Result<(), String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.lines().next().unwrap_or_default();
    let mut numbers = version
        .trim_start_matches("PgBouncer ")
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (1, 21) => Ok(()),
        _ => Err(format!("{version:?} is older than 1.21")),
    }
}
