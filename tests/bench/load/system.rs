//! The system under load: Postgres, the stand-ins, and the programs that ship, as processes.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Parser;
use errand_bench::{gauge, model::Pace};
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    postgres::{Cluster, ClusterOptions},
    process::{self, Process},
    programs::{self, Build},
    proxy::Proxy,
};
use errand_store::db::migrate;
use sqlx::{Connection, PgConnection};

/// For programs to get ready.
const START: Duration = Duration::from_secs(30);
/// A worker gives what runs up to 20 s.
pub(crate) const STOP: Duration = Duration::from_secs(40);

/// What stays while programs come and go.
pub(crate) struct System {
    cluster: Cluster,
    pub(crate) identity: IdentityProvider,
    model: Process,
    model_url: String,
    programs: PathBuf,
    state: PathBuf,
}

/// Which programs run, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) apis: usize,
    pub(crate) workers: usize,
    /// Runs that all workers take at the same time; as many as one may have if that is less.
    pub(crate) runs: usize,
    pub(crate) pace: Pace,
    /// Whether what they ask of Postgres is counted.
    pub(crate) counted: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            runs: 200,
            pace: Pace::default(),
            counted: false,
        }
    }
}

/// The programs of a setting.
pub(crate) struct Programs {
    apis: Vec<Process>,
    workers: Vec<Process>,
    /// Base URLs of the APIs.
    pub(crate) urls: Vec<String>,
    proxies: Option<[Proxy; 2]>,
}

impl System {
    /// Builds the programs and starts what they need, with data and logs in this folder.
    pub(crate) async fn open(state: &Path) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| programs::build(Build::Shipped)).await??;
        let mut options = ClusterOptions::durable(state);
        options.max_connections = 400;
        let cluster = Cluster::start(options).await?;
        cluster.ensure_database("errand").await?;
        migrate::run(&cluster.url("errand")).await?;
        let (model, model_url) = start_model().await?;
        Ok(Self {
            cluster,
            identity: IdentityProvider::start(IdentityOptions::default()).await?,
            model,
            model_url,
            programs,
            state: state.to_owned(),
        })
    }

    /// The database of the programs, for somebody whom no policy binds.
    pub(crate) fn database(&self) -> String {
        self.cluster.admin_url("errand")
    }

    /// The server's own database, where what is asked does not count.
    pub(crate) fn maintenance(&self) -> String {
        self.cluster.admin_url("postgres")
    }

    /// Another database of the server.
    pub(crate) async fn other_database(&self, name: &str) -> Result<String> {
        self.cluster.ensure_database(name).await?;
        Ok(self.cluster.admin_url(name))
    }

    pub(crate) fn model_url(&self) -> &str {
        &self.model_url
    }

    /// The folder for data and logs.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn model_pid(&self) -> u32 {
        self.model.pid()
    }

    pub(crate) fn postgres_pid(&self) -> Result<u32> {
        gauge::postmaster(self.cluster.data_dir())
    }

    /// The server's version.
    pub(crate) async fn version(&self) -> Result<String> {
        let mut db = PgConnection::connect(&self.maintenance()).await?;
        let version = sqlx::query_scalar("show server_version");
        Ok(version.fetch_one(&mut db).await?)
    }

    /// Starts the programs, and waits until they are ready.
    pub(crate) async fn start(&self, setting: Setting) -> Result<Programs> {
        let direct = self.cluster.url("errand");
        let proxies = match setting.counted {
            true => Some([
                Proxy::counting(&direct).await?,
                Proxy::counting(&direct).await?,
            ]),
            false => None,
        };
        let [api_database, worker_database] = proxies.as_ref().map_or_else(
            || [direct.clone(), direct.clone()],
            |proxies| proxies.each_ref().map(|proxy| proxy.url().to_owned()),
        );
        let mut programs = Programs {
            apis: Vec::new(),
            workers: Vec::new(),
            urls: Vec::new(),
            proxies,
        };
        for nth in 0..setting.workers {
            let name = format!("worker-{nth}");
            let arguments = self.worker_arguments(&worker_database, setting)?;
            let program = self.programs.join("errand-worker");
            let worker = self.start_program(&name, &program, &arguments)?;
            programs.workers.push(worker);
        }
        for nth in 0..setting.apis {
            let port = process::free_port();
            let arguments = self.api_arguments(&api_database, port);
            let program = self.programs.join("errand-api");
            let name = format!("api-{nth}");
            let api = self.start_program(&name, &program, &arguments)?;
            programs.apis.push(api);
            programs.urls.push(format!("http://127.0.0.1:{port}"));
        }
        programs.ready().await?;
        Ok(programs)
    }

    fn start_program(&self, name: &str, program: &Path, arguments: &[String]) -> Result<Process> {
        let mut command = process::command(program);
        command.args(arguments);
        process::log_to(&mut command, &self.state.join(format!("{name}.log")))?;
        Process::start(name, &mut command)
    }

    fn api_arguments(&self, database: &str, port: u16) -> Vec<String> {
        let port = port.to_string();
        // One user's limits are not what is measured.
        let arguments = [
            ["--database-url", database],
            ["--better-auth-url", self.identity.issuer()],
            ["--host", "127.0.0.1"],
            ["--port", &port],
            ["--rate-runs-per-minute", "0"],
            ["--max-active-runs", "0"],
        ];
        arguments.concat().into_iter().map(str::to_owned).collect()
    }

    fn worker_arguments(&self, database: &str, setting: Setting) -> Result<Vec<String>> {
        let runs = setting.runs.div_ceil(setting.workers.max(1)).max(1);
        // As many as it takes.
        for runs in [runs, 5000, 2000] {
            let (runs, model) = (runs.to_string(), setting.pace.name());
            let arguments = [
                ["--database-url", database],
                ["--openai-base-url", &self.model_url],
                ["--openai-api-key", "x"],
                ["--openai-model", &model],
                ["--worker-concurrency", &runs],
            ]
            .concat();
            let all = std::iter::once("errand-worker").chain(arguments.iter().copied());
            if errand_worker::Config::try_parse_from(all).is_ok() {
                return Ok(arguments.into_iter().map(str::to_owned).collect());
            }
        }
        bail!("the worker takes none of these numbers of runs")
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.model.stop(STOP).await?;
        self.cluster.stop().await
    }
}

impl Programs {
    /// Ids of the processes: APIs, workers.
    pub(crate) fn pids(&self) -> [Vec<u32>; 2] {
        [&self.apis, &self.workers].map(|all| all.iter().map(|one| one.pid()).collect())
    }

    /// KiB that they have in use now.
    pub(crate) fn memory(&self) -> u64 {
        let pids = self.pids().concat();
        pids.iter()
            .map(|&pid| gauge::memory(pid).unwrap_or(0))
            .sum()
    }

    /// The ways of APIs and workers to Postgres, if what they ask is counted.
    pub(crate) fn proxies(&self) -> Option<[Proxy; 2]> {
        self.proxies.clone()
    }

    async fn ready(&mut self) -> Result<()> {
        for url in &self.urls {
            let run = || {
                let mut programs = self.apis.iter_mut().chain(&mut self.workers);
                programs.try_for_each(Process::check)
            };
            process::until_ready(&format!("{url}/readyz"), START, run).await?;
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<()> {
        for program in self.workers.into_iter().chain(self.apis) {
            program.stop(STOP).await?;
        }
        Ok(())
    }
}

/// Starts this program again as the model, until its standard input ends; with its base URL.
async fn start_model() -> Result<(Process, String)> {
    let mut command = process::command(std::env::current_exe()?);
    command.arg("model").stdin(Stdio::piped());
    let mut model = Process::start_heard("the model", &mut command, |_| ())?;
    let url = model.until_says("http", START).await?;
    Ok((model, url))
}
