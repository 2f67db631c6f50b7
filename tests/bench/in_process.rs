//! API, worker, model, identity provider and Postgres for a benchmark, all on this machine and but for Postgres in this process.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use errand_devkit::{
    identity::IdentityProvider,
    model::ScriptedModel,
    postgres::ClusterOptions,
    system::{Database, InProcess, System},
};
use serde_json::Value;

/// For everything to stop.
const STOP: Duration = Duration::from_secs(60);

/// A running system, without limits on users. The database is a real one with its default durability.
pub struct TestSystem {
    pub model: ScriptedModel,
    pub identity: IdentityProvider,
    /// Of the API.
    pub url: String,
    http: reqwest::Client,
    database: Database,
    here: InProcess,
}

impl TestSystem {
    /// Starts everything, with its data in this folder.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn open(state: &Path) -> Result<Self> {
        let database = Database::private(ClusterOptions::durable(state)).await?;
        let system = System::scripted(database).await?;
        let mut here = InProcess::default();
        let api = system.api().unlimited().with("--rate-calls-per-minute", 0);
        let url = here.api(&api).await?;
        here.worker(&system.worker(&system.model.base_url()))
            .await?;
        let System {
            database,
            identity,
            model,
        } = system;
        Ok(Self {
            model,
            identity,
            url,
            http: reqwest::Client::new(),
            database,
            here,
        })
    }

    /// Posts a message as the user of this token; the answer, whose status is one of `expected`.
    ///
    /// # Errors
    /// It is another one, or does not come in two minutes.
    pub async fn post(
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
    pub fn database(&self) -> String {
        self.database.url().to_owned()
    }

    /// Stops everything in good order.
    ///
    /// # Errors
    /// Something has failed before, or does not stop.
    pub async fn close(self) -> Result<()> {
        self.here.stop(STOP).await?;
        self.database.stop().await
    }
}

/// This share of a sample, in milliseconds; sorts it.
pub fn quantile(sample: &mut [Duration], share: f64) -> f64 {
    sample.sort();
    let last = sample.len().saturating_sub(1);
    sample
        .get((last as f64 * share) as usize)
        .map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}
