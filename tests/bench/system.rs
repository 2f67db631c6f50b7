//! API, worker, model, identity provider and Postgres for a benchmark, all on this machine and but for Postgres in this process.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;
use errand_api::{Api, ApiStartError};
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::ScriptedModel,
    postgres::{Cluster, ClusterOptions},
};
use errand_store::db::migrate;
use errand_worker::{Worker, WorkerError};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running system, without limits on users. The database is a real one with its default durability.
pub(crate) struct TestSystem {
    pub(crate) model: ScriptedModel,
    pub(crate) identity: IdentityProvider,
    /// Of the API.
    pub(crate) url: String,
    http: reqwest::Client,
    cluster: Cluster,
    stop: CancellationToken,
    api: JoinHandle<Result<(), ApiStartError>>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl TestSystem {
    /// Starts everything, with its data in this folder.
    pub(crate) async fn open(state: &Path) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::durable(state)).await?;
        cluster.ensure_database("errand").await?;
        let database = cluster.url("errand");
        migrate::run(&database).await?;
        let model = ScriptedModel::start().await?;
        let identity = IdentityProvider::start(IdentityOptions::default()).await?;
        let stop = CancellationToken::new();
        let mut api = vec!["--database-url", &database];
        api.extend(["--better-auth-url", identity.issuer()]);
        api.extend(["--port", "0", "--host", "127.0.0.1"]);
        api.extend(["--rate-runs-per-minute", "0", "--max-active-runs", "0"]);
        api.extend(["--rate-calls-per-minute", "0"]);
        let api = Api::build(&errand_api::Config::from_arguments(api)?, stop.clone()).await?;
        let url = format!("http://{}", api.address()?);
        let base_url = model.base_url();
        let mut worker = vec!["errand-worker", "--database-url", &database];
        worker.extend(["--openai-base-url", &base_url, "--openai-api-key", "x"]);
        let worker = Worker::build(&errand_worker::Config::try_parse_from(worker)?).await?;
        Ok(Self {
            model,
            identity,
            url,
            http: reqwest::Client::new(),
            cluster,
            api: tokio::spawn(api.serve()),
            worker: tokio::spawn(worker.run(stop.clone())),
            stop,
        })
    }

    /// Posts a message as the user of this token; the answer, whose status is one of `expected`.
    pub(crate) async fn post(
        &self,
        user: &str,
        token: &str,
        body: &Value,
        prefer: &str,
        expected: &[u16],
    ) -> Result<(u16, Value)> {
        let response = self
            .http
            .post(format!("{}/api/{user}/chat", self.url))
            .bearer_auth(token)
            .header("prefer", prefer)
            .json(body)
            .timeout(Duration::from_secs(120))
            .send()
            .await?;
        let status = response.status().as_u16();
        let answer: Value = response.json().await?;
        ensure!(expected.contains(&status), "{status}: {answer}");
        Ok((status, answer))
    }

    /// The database's URL.
    pub(crate) fn database(&self) -> String {
        self.cluster.url("errand")
    }

    /// Stops everything in good order.
    pub(crate) async fn close(self) -> Result<()> {
        self.stop.cancel();
        self.api.await??;
        self.worker.await??;
        self.cluster.stop().await
    }
}

/// This share of a sample, in milliseconds; sorts it.
pub(crate) fn quantile(sample: &mut [Duration], share: f64) -> f64 {
    sample.sort();
    let last = sample.len().saturating_sub(1);
    sample
        .get((last as f64 * share) as usize)
        .map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}
