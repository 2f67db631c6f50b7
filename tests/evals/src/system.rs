//! The whole system for a run of evals: an API and a worker in this process, an identity provider, a migrated database.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use errand_api::{Api, ApiStartError};
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    postgres::{Cluster, ClusterOptions},
};
use errand_store::db::migrate;
use errand_worker::{Worker, WorkerError, config::ModelConfig};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    models::{Choice, Stage},
    said::Said,
};

/// How long one turn may take in all, whatever the model does.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a request waits for a run; the API waits no longer.
const WAIT: u64 = 60;
/// How long the end may take.
const STOP: Duration = Duration::from_secs(30);
/// Connections of each of the two pools: of the programs' login, and of the superuser.
const CONNECTIONS: u32 = 4;

/// A database that is migrated.
#[derive(Debug, Clone)]
pub struct Database {
    /// As the programs log in.
    pub url: String,
    /// As a superuser does, who can put tasks there without a tool call.
    pub admin_url: String,
}

/// A Postgres of its own, which goes with this value.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    /// Its one database.
    pub database: Database,
}

impl PrivatePostgres {
    /// Starts it and migrates its database.
    ///
    /// # Errors
    /// There are no programs of Postgres, or they do not start.
    pub async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::throwaway()).await?;
        cluster.ensure_database("evals").await?;
        let database = Database {
            url: cluster.url("evals"),
            admin_url: cluster.admin_url("evals"),
        };
        migrate::run(&database.url).await.context("migrations")?;
        Ok(Self { cluster, database })
    }

    /// Stops it and waits for its end.
    ///
    /// # Errors
    /// It does not stop.
    pub async fn stop(self) -> Result<()> {
        self.cluster.stop().await
    }
}

/// The system, without limits on users.
pub struct System {
    pub(crate) db: PgPool,
    pub(crate) admin: PgPool,
    pub(crate) stage: Stage,
    identity: IdentityProvider,
    url: String,
    http: reqwest::Client,
    stop: CancellationToken,
    api: JoinHandle<Result<(), ApiStartError>>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl System {
    /// Starts everything around a database and a model.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(database: &Database, choice: &Choice) -> Result<Self> {
        let stage = Stage::set(choice).await?;
        let identity = IdentityProvider::start(IdentityOptions::default()).await?;
        let stop = CancellationToken::new();
        let mut arguments = vec![
            "--database-url",
            &database.url,
            "--database-direct-url",
            &database.url,
        ];
        arguments.extend([
            "--better-auth-url",
            identity.issuer(),
            "--port",
            "0",
            "--host",
            "127.0.0.1",
        ]);
        arguments.extend([
            "--rate-runs-per-minute",
            "0",
            "--max-active-runs",
            "0",
            "--tokens-per-day",
            "0",
        ]);
        let config = errand_api::Config::from_arguments(arguments)?;
        let api = Api::build(&config, stop.clone()).await?;
        let url = format!("http://{}", api.address()?);
        let worker = Worker::build(&worker_config(&database.url, stage.config())?).await?;
        let pool = |url: &str| {
            PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .connect_lazy(url)
        };
        Ok(Self {
            db: pool(&database.url)?,
            admin: pool(&database.admin_url)?,
            stage,
            identity,
            url,
            http: reqwest::Client::builder()
                .pool_idle_timeout(Duration::from_secs(10))
                .build()?,
            api: tokio::spawn(api.serve()),
            worker: tokio::spawn(worker.run(stop.clone())),
            stop,
        })
    }

    /// Says something as this user and waits for what comes of it.
    pub(crate) async fn say(
        &self,
        user: &str,
        zone: &str,
        conversation: Option<&str>,
        message: &str,
    ) -> Result<Said> {
        let begun = Instant::now();
        let mut body = json!({"message": message});
        if let Some(conversation) = conversation {
            body["conversation_id"] = json!(conversation);
        }
        let request = self
            .request(Method::POST, user, "chat")
            .header("x-time-zone", zone)
            .json(&body);
        let (mut status, mut answer) =
            answer(request.header("prefer", format!("wait={WAIT}"))).await?;
        // A slow model: the run goes on, and is asked about.
        while status == 202
            || ["queued", "running"]
                .iter()
                .any(|still| answer["status"] == *still)
        {
            ensure!(
                begun.elapsed() < PATIENCE,
                "no end after {PATIENCE:?}: {answer}"
            );
            let run = answer["run_id"].as_str().context("no run")?.to_owned();
            let path = format!("runs/{run}?wait={WAIT}");
            (status, answer) = self::answer(self.request(Method::GET, user, &path)).await?;
        }
        Ok(Said::new(status, answer, begun.elapsed()))
    }

    fn request(&self, method: Method, user: &str, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/{user}/{path}", self.url))
            .bearer_auth(self.identity.token(user))
            .timeout(Duration::from_secs(WAIT + 10))
    }

    /// Stops everything in good order.
    ///
    /// # Errors
    /// Something failed on the way, or does not stop.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let ended = async {
            self.api.await??;
            self.worker.await??;
            anyhow::Ok(())
        };
        tokio::time::timeout(STOP, ended)
            .await
            .context("API and worker do not stop")??;
        self.db.close().await;
        self.admin.close().await;
        Ok(())
    }
}

/// Whether a worker can be started with this model.
///
/// # Errors
/// Names the variable that is missing or wrong.
pub(crate) fn check(model: &ModelConfig) -> Result<()> {
    worker_config("postgres://localhost/none", model.clone()).map(|_| ())
}

/// As the environment has it, but for what would make cases wait for people.
fn worker_config(database_url: &str, model: ModelConfig) -> Result<errand_worker::Config> {
    let arguments = [
        "errand-worker",
        "--database-url",
        database_url,
        "--require-approval=",
    ];
    let mut config = errand_worker::Config::try_parse_from(arguments)?;
    config.model = model;
    config.check()?;
    Ok(config)
}

async fn answer(request: RequestBuilder) -> Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, response.json().await?))
}
