//! The system under load: Postgres, the stand-ins, and the programs that ship, as processes.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Result, bail};
use errand_bench::{gauge, model::Pace};
use errand_devkit::{
    identity::IdentityProvider,
    postgres::ClusterOptions,
    process::{self, Process},
    programs::Build,
    proxy::Proxy,
    system::{self, Arguments, Database, Served},
};
use sqlx::{Connection, PgConnection};

/// For programs to get ready.
const START: Duration = Duration::from_secs(30);
/// A worker gives what runs up to 20 s.
pub(crate) const STOP: Duration = Duration::from_secs(40);

/// What stays while programs come and go.
pub(crate) struct System {
    database: Database,
    pub(crate) identity: IdentityProvider,
    model: Process,
    model_url: String,
    programs: system::Programs,
    /// Of the server's superuser.
    admin_url: String,
    maintenance_url: String,
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
    /// Time without work after which they ask nothing more of Postgres.
    pub(crate) sleep_after: Option<Duration>,
    /// Where they send their spans.
    pub(crate) traced: Option<&'static str>,
    /// Whether operators can see them: a page of the API, a port of each worker.
    pub(crate) watched: bool,
}

/// Opens the operator's page of APIs that are watched.
pub(crate) const ADMIN_TOKEN: &str = "a token of the bench";

impl Default for Setting {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 1,
            runs: 200,
            pace: Pace::default(),
            counted: false,
            sleep_after: None,
            traced: None,
            watched: false,
        }
    }
}

/// The programs of a setting.
pub(crate) struct Programs {
    apis: Vec<Served>,
    workers: Vec<Process>,
    /// Base URLs of the APIs.
    pub(crate) urls: Vec<String>,
    /// Where the metrics of each process are, if they are watched.
    pub(crate) metrics: Vec<String>,
    proxies: Option<[Proxy; 2]>,
}

impl System {
    /// Builds the programs and starts what they need, with data and logs in this folder.
    pub(crate) async fn open(state: &Path) -> Result<Self> {
        Self::open_with(state, None).await
    }

    /// As [`Self::open`], with libraries of the server.
    pub(crate) async fn open_with(state: &Path, preloaded: Option<&'static str>) -> Result<Self> {
        let programs = system::Programs::build(Build::Shipped, state).await?;
        let mut options = ClusterOptions::durable(state);
        options.max_connections = 400;
        options.preloaded = preloaded;
        let database = Database::private(options).await?;
        let server = database.server()?;
        let [admin_url, maintenance_url] =
            ["errand", "postgres"].map(|name| server.admin_url(name));
        let (model, model_url) = start_model().await?;
        let system::System {
            database,
            identity,
            model,
        } = system::System::around(database, model).await?;
        Ok(Self {
            database,
            identity,
            model,
            model_url,
            programs,
            admin_url,
            maintenance_url,
            state: state.to_owned(),
        })
    }

    /// The database of the programs, for somebody whom no policy binds.
    pub(crate) fn database(&self) -> &str {
        &self.admin_url
    }

    /// The server's own database, where what is asked does not count.
    pub(crate) fn maintenance(&self) -> &str {
        &self.maintenance_url
    }

    /// Another database of the server.
    pub(crate) async fn other_database(&self, name: &str) -> Result<String> {
        let server = self.database.server()?;
        server.ensure_database(name).await?;
        Ok(server.admin_url(name))
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
        gauge::postmaster(self.database.server()?.data_dir())
    }

    /// The server's version.
    pub(crate) async fn version(&self) -> Result<String> {
        let mut db = PgConnection::connect(self.maintenance()).await?;
        let version = sqlx::query_scalar("show server_version");
        Ok(version.fetch_one(&mut db).await?)
    }

    /// Starts the programs, and waits until they are ready.
    pub(crate) async fn start(&self, setting: Setting) -> Result<Programs> {
        let direct = self.database.url().to_owned();
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
            metrics: Vec::new(),
            proxies,
        };
        for nth in 0..setting.workers {
            let name = format!("worker-{nth}");
            let mut arguments = self.worker_arguments(&worker_database, setting)?;
            if setting.watched {
                let port = process::free_port();
                arguments = arguments.with("--metrics-port", port);
                programs
                    .metrics
                    .push(format!("http://127.0.0.1:{port}/metrics"));
            }
            let worker = self.programs.start("errand-worker", &name, &arguments)?;
            programs.workers.push(worker);
        }
        // One user's limits are not what is measured.
        let mut api = Arguments::server(&api_database, self.identity.issuer()).unlimited();
        if setting.watched {
            api = api.with("--admin-token", ADMIN_TOKEN);
        }
        let api = common(api, setting);
        for nth in 0..setting.apis {
            let api = self
                .programs
                .serve("errand-api", &format!("api-{nth}"), &api)?;
            programs.urls.push(api.url.clone());
            if setting.watched {
                programs.metrics.push(format!("{}/metrics", api.url));
            }
            programs.apis.push(api);
        }
        programs.ready().await?;
        Ok(programs)
    }

    fn worker_arguments(&self, database: &str, setting: Setting) -> Result<Arguments> {
        let runs = setting.runs.div_ceil(setting.workers.max(1)).max(1);
        let worker = Arguments::worker(database)
            .model(&self.model_url, "x")
            .with("--openai-model", setting.pace.name());
        let worker = common(worker, setting);
        // As many as it takes.
        for runs in [runs, 5000, 2000] {
            let worker = worker.clone().with("--worker-concurrency", runs);
            if worker.worker_config().is_ok() {
                return Ok(worker);
            }
        }
        bail!("the worker takes none of these numbers of runs")
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.model.stop(STOP).await?;
        self.database.stop().await
    }
}

/// What is said to all programs.
fn common(mut arguments: Arguments, setting: Setting) -> Arguments {
    if let Some(after) = setting.sleep_after {
        arguments = arguments.with("--sleep-after", format!("{}ms", after.as_millis()));
    }
    if let Some(collector) = setting.traced {
        arguments = arguments.with("--otel-exporter-otlp-endpoint", collector);
    }
    arguments
}

impl Programs {
    /// Ids of the processes: APIs, workers.
    pub(crate) fn pids(&self) -> [Vec<u32>; 2] {
        let apis = self.apis.iter().map(|api| api.process.pid());
        let workers = self.workers.iter().map(Process::pid);
        [apis.collect(), workers.collect()]
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
        for api in &mut self.apis {
            api.until_ready(START).await?;
        }
        self.workers.iter_mut().try_for_each(Process::check)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let apis = self.apis.into_iter().map(|api| api.process);
        for program in self.workers.into_iter().chain(apis) {
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
