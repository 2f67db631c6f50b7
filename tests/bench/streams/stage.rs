//! Everything that runs for the benchmark: Postgres, the stand-ins, API and worker.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use errand_bench::{
    gauge::{self, Statements},
    model::PacedModel,
};
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    postgres::{Cluster, ClusterOptions},
    process::{self, Process},
    programs::{self, Build},
};
use errand_store::db::migrate;
use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, PgConnection};

use crate::client::Client;

/// Clients that connect at the same time.
const CONNECTING: usize = 64;
/// For an API to get ready.
const START: Duration = Duration::from_secs(20);
/// A worker gives what runs up to 20 s.
pub(crate) const STOP: Duration = Duration::from_secs(40);

pub(crate) struct Stage {
    cluster: Cluster,
    database: String,
    identity: IdentityProvider,
    model: PacedModel,
    pub(crate) statements: Statements,
    api: ApiPart,
    worker: Process,
    programs: PathBuf,
    state: PathBuf,
}

/// An API and where it listens.
pub(crate) struct ApiPart {
    pub(crate) process: Process,
    /// Its base URL.
    pub(crate) url: String,
}

impl Stage {
    /// Starts everything, with a worker for this many runs at the same time.
    pub(crate) async fn start(state: &Path, runs: usize) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| programs::build(Build::Shipped)).await??;
        let cluster = cluster(state).await?;
        cluster.ensure_database("errand").await?;
        let database = cluster.url("errand");
        migrate::run(&database).await?;
        let statements = Statements::connect(&cluster.admin_url("postgres")).await?;
        let identity = IdentityProvider::start(IdentityOptions::default()).await?;
        let model = PacedModel::start().await?;
        let api = start_api(&programs, &database, identity.issuer(), state).await?;
        let worker = [
            "--database-url",
            &database,
            "--openai-base-url",
            &model.base_url,
            "--openai-api-key",
            "x",
            "--worker-concurrency",
            &runs.to_string(),
        ];
        let worker = start("worker", &programs.join("errand-worker"), &worker, state)?;
        Ok(Self {
            cluster,
            database,
            identity,
            model,
            statements,
            api,
            worker,
            programs,
            state: state.to_owned(),
        })
    }

    /// One more API, which has served nobody yet.
    pub(crate) async fn fresh_api(&self) -> Result<ApiPart> {
        start_api(
            &self.programs,
            &self.database,
            self.identity.issuer(),
            &self.state,
        )
        .await
    }

    /// A client of the API as this user.
    pub(crate) async fn client(&self, user: &str) -> Result<Client> {
        self.client_of(&self.api, user).await
    }

    pub(crate) async fn client_of(&self, api: &ApiPart, user: &str) -> Result<Client> {
        Client::connect(&api.url, user, &self.identity.token(user)).await
    }

    /// This many clients, each another user.
    pub(crate) async fn clients_of(&self, api: &ApiPart, count: usize) -> Result<Vec<Client>> {
        let connecting = futures::stream::iter(0..count).map(|nth| async move {
            let user = format!("user-{nth}");
            let connected = self.client_of(api, &user).await;
            connected.with_context(|| format!("socket {nth} of {count}"))
        });
        connecting.buffer_unordered(CONNECTING).try_collect().await
    }

    pub(crate) async fn clients(&self, count: usize) -> Result<Vec<Client>> {
        self.clients_of(&self.api, count).await
    }

    /// Processor time so far: of the API, the worker, Postgres, of us, who play the clients and the model, and of all that
    /// runs on this machine.
    pub(crate) fn processor_time(&self) -> [Duration; 5] {
        let postgres = gauge::postmaster(self.cluster.data_dir());
        [
            gauge::processor_time(self.api.process.pid(), false),
            gauge::processor_time(self.worker.pid(), false),
            postgres.map_or(Duration::ZERO, |pid| gauge::processor_time(pid, true)),
            gauge::processor_time(std::process::id(), false),
            gauge::all_processor_time(),
        ]
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.worker.stop(STOP).await?;
        self.api.process.stop(STOP).await?;
        drop(self.model);
        self.cluster.stop().await
    }
}

/// A server with the default durability, which counts statements if it has the extension.
async fn cluster(state: &Path) -> Result<Cluster> {
    let start = || Cluster::start(ClusterOptions::durable(state));
    let cluster = start().await?;
    let mut db = PgConnection::connect(&cluster.admin_url("postgres")).await?;
    let has =
        "select exists (select from pg_available_extensions where name = 'pg_stat_statements')";
    if !sqlx::query_scalar(has).fetch_one(&mut db).await? {
        return Ok(cluster);
    }
    let load = "alter system set shared_preload_libraries = 'pg_stat_statements'";
    sqlx::query(load).execute(&mut db).await?;
    db.close().await?;
    cluster.stop().await?;
    start().await
}

fn start(name: &str, program: &Path, arguments: &[&str], state: &Path) -> Result<Process> {
    let mut command = process::command(program);
    command.args(arguments);
    process::log_to(&mut command, &state.join(format!("{name}.log")))?;
    Process::start(name, &mut command)
}

async fn start_api(programs: &Path, database: &str, issuer: &str, state: &Path) -> Result<ApiPart> {
    let port = process::free_port();
    let arguments = [
        "--database-url",
        database,
        "--better-auth-url",
        issuer,
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--rate-runs-per-minute",
        "0",
        "--max-active-runs",
        "0",
    ];
    let mut process = start("api", &programs.join("errand-api"), &arguments, state)?;
    let url = format!("http://127.0.0.1:{port}");
    process::until_ready(&format!("{url}/readyz"), START, || process.check()).await?;
    Ok(ApiPart { process, url })
}
