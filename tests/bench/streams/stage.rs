//! Everything that runs for the benchmark: Postgres, the stand-ins, API and worker.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use errand_bench::{
    gauge::{self, Statements},
    model::PacedModel,
};
use errand_devkit::{
    postgres::{Cluster, ClusterOptions},
    process::Process,
    programs::Build,
    system::{Database, Programs, Served, System},
};
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
    system: System<PacedModel>,
    pub(crate) statements: Statements,
    api: Served,
    worker: Process,
    programs: Programs,
}

impl Stage {
    /// Starts everything, with a worker for this many runs at the same time.
    pub(crate) async fn start(state: &Path, runs: usize) -> Result<Self> {
        let programs = Programs::build(Build::Shipped, state).await?;
        let database = Database::on(cluster(state).await?).await?;
        let admin_url = database.server()?.admin_url("postgres");
        let statements = Statements::connect(&admin_url).await?;
        let system = System::around(database, PacedModel::start().await?).await?;
        let api = start_api(&programs, &system).await?;
        let worker = system.worker(&system.model.base_url);
        let worker = worker.with("--worker-concurrency", runs);
        let worker = programs.start("errand-worker", "worker", &worker)?;
        Ok(Self {
            system,
            statements,
            api,
            worker,
            programs,
        })
    }

    /// One more API, which has served nobody yet.
    pub(crate) async fn fresh_api(&self) -> Result<Served> {
        start_api(&self.programs, &self.system).await
    }

    /// A client of the API as this user.
    pub(crate) async fn client(&self, user: &str) -> Result<Client> {
        self.client_of(&self.api, user).await
    }

    pub(crate) async fn client_of(&self, api: &Served, user: &str) -> Result<Client> {
        Client::connect(&api.url, user, &self.system.identity.token(user)).await
    }

    /// This many clients, each another user.
    pub(crate) async fn clients_of(&self, api: &Served, count: usize) -> Result<Vec<Client>> {
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
        let server = self.system.database.server();
        let postgres = server.and_then(|server| gauge::postmaster(server.data_dir()));
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
        self.system.stop().await
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

async fn start_api(programs: &Programs, system: &System<PacedModel>) -> Result<Served> {
    let mut api = programs.serve("errand-api", "api", &system.api().unlimited())?;
    api.until_ready(START).await?;
    Ok(api)
}
