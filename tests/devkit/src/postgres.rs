//! A private PostgreSQL cluster for one clone: durable data for `cargo dev`, throwaway data for `cargo test`.
//!
//! The server dies with this process, even after `kill -9` (see `guardian`), and any number of clusters run side by side.
//! What lives in the databases, such as migrations, must not be here.

mod account;
mod binaries;
mod guardian;
mod home;
mod leftover;
mod memory;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::{Instant, sleep, timeout};

use crate::process::free_port;
use binaries::Binaries;
use guardian::Guardian;
use home::Home;

/// The cluster's superuser; it has no password.
const SUPERUSER: &str = "errand";
/// The programs' login, as README advises: it owns its databases and makes roles, and no policy is bypassed by it.
const LOGIN: &str = "errand_app";
/// Long enough for recovery after a crash.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Long enough for a checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PORT_ATTEMPTS: u32 = 5;

/// Where the data lies and how long it lasts.
#[derive(Clone, Debug)]
pub enum DataDir {
    /// Kept across starts in this folder (`.errand` of the clone), with the safe settings. One process at a time.
    Durable(PathBuf),
    /// In a temporary folder that goes with the cluster, with the fast settings: a power cut would lose it.
    Throwaway,
}

/// What [`Cluster::start`] needs to know.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub data: DataDir,
    /// The folder with `initdb` and `postgres`; `None` looks in `PATH` and the usual places.
    pub bin_dir: Option<PathBuf>,
    pub max_connections: u16,
    /// Libraries of the server, such as `pg_stat_statements`, if they are installed.
    pub preloaded: Option<&'static str>,
}

impl ClusterOptions {
    /// Data that lasts, below `state`, the clone's `.errand` folder.
    pub fn durable(state: impl Into<PathBuf>) -> Self {
        Self {
            data: DataDir::Durable(state.into()),
            bin_dir: None,
            max_connections: 200,
            preloaded: None,
        }
    }

    /// Data for one test run. Tests run in parallel with a pool each, hence the many connections.
    pub fn throwaway() -> Self {
        Self {
            data: DataDir::Throwaway,
            bin_dir: None,
            max_connections: 400,
            preloaded: None,
        }
    }
}

/// A running server. Dropping it stops the server in the background; [`Cluster::stop`] also waits.
#[derive(Debug)]
pub struct Cluster {
    // The order matters on drop: the guardian is told to stop before the lock in the home is let go.
    guardian: Guardian,
    /// What starts the server.
    command: Command,
    data: PathBuf,
    port: u16,
    home: Home,
}

/// How a server is told to end, for tests of what its clients make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, data is written: what an operator does.
    Fast,
    /// At once, as in a crash; the next start recovers from the write-ahead log.
    Immediate,
}

impl Cluster {
    /// Finds the server's programs, makes the data directory if there is none, starts the server and waits until it
    /// accepts connections. Errors carry the end of the server's log.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let home = match &options.data {
            DataDir::Durable(state) => Home::durable(state).await?,
            DataDir::Throwaway => Home::throwaway()?,
        };
        match Self::start_in(&home, &options).await {
            Ok((guardian, command, port)) => Ok(Self {
                guardian,
                command,
                data: home.data(),
                port,
                home,
            }),
            Err(error) => {
                if let Some(dir) = home.remove() {
                    let _ = fs::remove_dir_all(dir);
                }
                Err(error)
            }
        }
    }

    async fn start_in(home: &Home, options: &ClusterOptions) -> Result<(Guardian, Command, u16)> {
        let binaries =
            Binaries::find(home.account, options.bin_dir.as_deref(), home.version()).await?;
        home.initialise(&binaries).await?;
        let data = home.data();
        leftover::stop(&data).await?;
        let mut last_port = port_of_last_start(&data);
        let log = data.join("server.log");
        let _ = fs::rename(&log, data.join("server.log.1"));
        for attempt in 1.. {
            let port = last_port.take().unwrap_or_else(free_port);
            let command = server_command(&binaries, home, options, port);
            let mut guardian = Guardian::spawn(home.account, &command, &log, home.remove())?;
            let Err(error) = wait_until_ready(&mut guardian, &data, port).await else {
                tracing::debug!(port, data = %data.display(), "PostgreSQL is ready");
                return Ok((guardian, command, port));
            };
            let log = tail(&log);
            let _ = guardian.release().await;
            // Somebody else may take the port before the server does.
            if attempt == PORT_ATTEMPTS || !log.contains("could not bind") {
                return Err(error.context(format!(
                    "PostgreSQL does not start; its log ends with:\n{log}"
                )));
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The URL of a database for the programs' login, such as `postgres://errand_app@127.0.0.1:40123/errand`.
    pub fn url(&self, database: &str) -> String {
        url(LOGIN, self.port, database)
    }

    /// The URL of a database for the superuser.
    pub fn admin_url(&self, database: &str) -> String {
        url(SUPERUSER, self.port, database)
    }

    /// The data directory. Not below the clone if the clone is closed to the account that runs the server.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The end of the server's log, for whom it has failed.
    pub fn log_tail(&self) -> String {
        tail(&self.data.join("server.log"))
    }

    /// Creates the database unless it exists. `name` has lower-case letters, digits and underscores, at most 63.
    pub async fn ensure_database(&self, name: &str) -> Result<()> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        ensure!(
            (1..=63).contains(&name.len()) && name.bytes().all(plain),
            "{name:?} is no plain database name"
        );
        let mut connection = connect(self.port).await?;
        create(
            &mut connection,
            format!("create role {LOGIN} login createrole"),
        )
        .await?;
        create(
            &mut connection,
            format!("create database \"{name}\" owner {LOGIN}"),
        )
        .await?;
        let is_superusers: bool = sqlx::query_scalar(
            "select pg_get_userbyid(datdba) = current_user from pg_database where datname = $1",
        )
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
        if is_superusers {
            // Made by a version that had no login of its own: what the superuser owns is the login's too.
            let grant = AssertSqlSafe(format!("grant {SUPERUSER} to {LOGIN}"));
            sqlx::query(grant).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Ends the server and waits until it is gone; [`Cluster::start_again`] starts it. Done already if it ended by itself.
    pub async fn shut_down(&mut self, how: Shutdown) -> Result<()> {
        if self.guardian.ended()?.is_none() {
            let signal = match how {
                Shutdown::Fast => "INT",
                Shutdown::Immediate => "QUIT",
            };
            let pid = fs::read_to_string(self.data.join("postmaster.pid"))?;
            let pid = pid.lines().next().context("an empty postmaster.pid")?;
            let kill = Command::new("kill").args(["-s", signal, pid]).status()?;
            ensure!(kill.success(), "cannot signal the server");
        }
        self.guardian.wait(STOP_LIMIT).await?;
        Ok(())
    }

    /// Starts the server that was shut down or has died, on its port, and waits until it accepts connections.
    pub async fn start_again(&mut self) -> Result<()> {
        let log = self.data.join("server.log");
        self.guardian =
            Guardian::spawn(self.home.account, &self.command, &log, self.home.remove())?;
        wait_until_ready(&mut self.guardian, &self.data, self.port)
            .await
            .with_context(|| format!("PostgreSQL does not start again:\n{}", tail(&log)))
    }

    /// Whether the server runs, or has ended by itself.
    pub fn is_up(&mut self) -> Result<bool> {
        Ok(self.guardian.ended()?.is_none())
    }

    /// Shuts the server down (open sessions are ended) and waits until it is gone, at most 30 s.
    pub async fn stop(self) -> Result<()> {
        let outcome = self.guardian.release().await;
        if let Some(dir) = self.home.remove() {
            // Still there only if the server had died before.
            let _ = fs::remove_dir_all(dir);
        }
        outcome
    }
}

fn url(login: &str, port: u16, database: &str) -> String {
    format!(
        "postgres://{login}@{}:{port}/{database}",
        Ipv4Addr::LOCALHOST
    )
}

/// Executes a CREATE that may have been executed before, by anybody.
async fn create(connection: &mut PgConnection, statement: String) -> Result<()> {
    let Err(error) = sqlx::query(AssertSqlSafe(statement.clone()))
        .execute(connection)
        .await
    else {
        return Ok(());
    };
    // duplicate_object, duplicate_database, or unique_violation in the catalogue if another caller was faster.
    match error.as_database_error().and_then(|e| e.code()).as_deref() {
        Some("42710" | "42P04" | "23505") => Ok(()),
        _ => Err(error).context(statement),
    }
}

fn server_command(
    binaries: &Binaries,
    home: &Home,
    options: &ClusterOptions,
    port: u16,
) -> Command {
    let mut command = Command::new(binaries.program("postgres"));
    command.arg("-D").arg(home.data());
    let mut set = |name: &str, value: &str| {
        command.args(["-c", &format!("{name}={value}")]);
    };
    set("listen_addresses", &Ipv4Addr::LOCALHOST.to_string());
    set("port", &port.to_string());
    // No socket files: two clones would meet in one folder, and a clone's path may be too long for one.
    set("unix_socket_directories", "");
    set("max_connections", &options.max_connections.to_string());
    if let Some(libraries) = options.preloaded {
        set("shared_preload_libraries", libraries);
    }
    set("shared_buffers", "128MB");
    set("timezone", "UTC");
    set("log_timezone", "UTC");
    if home.throwaway {
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
    command
}

/// The port of the last start as the server has written it down, if it is free: a URL that somebody has copied stays right.
fn port_of_last_start(data: &Path) -> Option<u16> {
    let options = fs::read_to_string(data.join("postmaster.opts")).ok()?;
    let (_, port) = options.split_once("port=")?;
    let port = port.split(|c: char| !c.is_ascii_digit()).next()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().ok()?)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

async fn wait_until_ready(guardian: &mut Guardian, data: &Path, port: u16) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(status) = guardian.ended()? {
            bail!("the server ended with {status}");
        }
        if answers(data, port).await {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the server accepts no connections after {START_LIMIT:?}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the server on `port` is ready and is ours: another one may have taken the port.
async fn answers(data: &Path, port: u16) -> bool {
    let ask = async {
        let mut connection = connect(port).await?;
        let directory: String = sqlx::query_scalar("show data_directory")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        anyhow::Ok(Path::new(&directory) == data)
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}

/// A connection to the database every cluster has.
async fn connect(port: u16) -> Result<PgConnection> {
    // The caller's PGSSLMODE is about other servers.
    let options =
        PgConnectOptions::from_str(&url(SUPERUSER, port, "postgres"))?.ssl_mode(PgSslMode::Disable);
    Ok(PgConnection::connect_with(&options).await?)
}

/// The last lines of a log file.
fn tail(path: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests;
