//! The whole system for a run of evals: an API and a worker in this process, an identity provider, a migrated database.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    postgres::ClusterOptions,
    system::{self, Arguments, InProcess},
};
use errand_worker::config::ModelConfig;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::Instant;

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

impl Database {
    /// The one of a private server.
    ///
    /// # Errors
    /// It is on somebody else's.
    pub fn of(private: &system::Database) -> Result<Self> {
        let url = private.url().to_owned();
        let (_, name) = url.rsplit_once('/').context("no name of a database")?;
        let admin_url = private.server()?.admin_url(name);
        Ok(Self { url, admin_url })
    }
}

/// A database that goes with a server of its own.
///
/// # Errors
/// There are no programs of Postgres, or they do not start.
pub(crate) async fn private() -> Result<system::Database> {
    system::Database::private(ClusterOptions::throwaway()).await
}

/// The system, without limits on users.
pub struct System {
    pub(crate) db: PgPool,
    pub(crate) admin: PgPool,
    pub(crate) stage: Stage,
    identity: IdentityProvider,
    url: String,
    http: reqwest::Client,
    programs: InProcess,
}

impl System {
    /// Starts everything around a database and a model.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(database: &Database, choice: &Choice) -> Result<Self> {
        let stage = Stage::set(choice).await?;
        let identity = IdentityProvider::start(IdentityOptions::default()).await?;
        let mut programs = InProcess::default();
        let api = Arguments::server(&database.url, identity.issuer())
            .unlimited()
            .with("--tokens-per-day", 0);
        let url = programs.api(&api).await?;
        programs
            .worker_as(&worker_config(&database.url, stage.config())?)
            .await?;
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
            programs,
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
        self.programs.stop(STOP).await?;
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
