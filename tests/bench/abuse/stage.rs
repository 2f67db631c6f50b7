//! Everything that runs: Postgres, the stand-ins, and the three programs as processes.

use std::{path::Path, time::Duration};

use anyhow::Result;
use errand_bench::gauge;
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn, request},
    postgres::{Cluster, ClusterOptions},
    process::{self, Process},
    programs::{self, Build},
};
use errand_store::db::migrate;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::attacks::ME;

/// The user beside the attacker.
const QUIET: &str = "quiet";
/// How long a program may take to get ready, or the memory to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// MiB that each program uses.
pub(crate) type Memory = Vec<(&'static str, f64)>;

pub(crate) struct Stage {
    cluster: Cluster,
    identity: IdentityProvider,
    _model: ScriptedModel,
    http: reqwest::Client,
    pub(crate) api: String,
    pub(crate) mcp: String,
    pub(crate) attackers_token: String,
    quiet_token: String,
    programs: Vec<(&'static str, Process)>,
}

impl Stage {
    /// Starts everything, with data and logs in this folder.
    pub(crate) async fn start(state: &Path, pace: Duration) -> Result<Self> {
        let folder = tokio::task::spawn_blocking(|| programs::build(Build::Shipped)).await??;
        let cluster = Cluster::start(ClusterOptions::durable(state)).await?;
        cluster.ensure_database("errand").await?;
        let database = cluster.url("errand");
        migrate::run(&database).await?;
        let identity = IdentityProvider::start(IdentityOptions::default()).await?;
        let model = ScriptedModel::start().await?;
        // Who asks for it is asked for approval, again and again; everybody else is greeted.
        model.script(move |asked| {
            let turn = match request::last_user(asked).as_str() {
                "add" => Turn::call("add_task", json!({"title": "milk"})),
                "slow" => Turn::endless("word ").chunk_every(Duration::from_secs(1)),
                _ => Turn::text("Hello."),
            };
            turn.first_byte_after(pace)
        });
        let [api, mcp] = [(); 2].map(|()| process::free_port().to_string());
        let issuer = identity.issuer().to_owned();
        let base_url = model.base_url();
        let common = [("DATABASE_URL", database.as_str()), ("HOST", "127.0.0.1")];
        let served = [("BETTER_AUTH_URL", issuer.as_str())];
        let plans: [(&str, Vec<(&str, &str)>); 3] = [
            (
                "errand-api",
                [
                    ("PORT", api.as_str()),
                    ("RATE_RUNS_PER_MINUTE", "900"),
                    ("LOG_FORMAT", "json"),
                ]
                .into(),
            ),
            (
                "errand-worker",
                [
                    ("OPENAI_BASE_URL", base_url.as_str()),
                    ("OPENAI_API_KEY", "x"),
                    ("OPENAI_MODEL", "scripted"),
                    ("REQUIRE_APPROVAL", "add_task"),
                ]
                .into(),
            ),
            ("errand-mcp", [("PORT", mcp.as_str())].into()),
        ];
        let mut programs = Vec::new();
        for (program, environment) in plans {
            let mut command = process::command(folder.join(program));
            process::log_to(&mut command, &state.join(format!("{program}.log")))?;
            command.envs(common).envs(served).envs(environment);
            programs.push((program, Process::start(program, &mut command)?));
        }
        let stage = Self {
            attackers_token: identity.token(ME),
            quiet_token: identity.token(QUIET),
            cluster,
            identity,
            _model: model,
            http: reqwest::Client::new(),
            api: format!("http://127.0.0.1:{api}"),
            mcp: format!("http://127.0.0.1:{mcp}"),
            programs: programs
                .into_iter()
                .map(|(name, process)| (name.strip_prefix("errand-").unwrap_or(name), process))
                .collect(),
        };
        for server in [&stage.api, &stage.mcp] {
            process::until_ready(&format!("{server}/readyz"), PATIENCE, || Ok(())).await?;
        }
        Ok(stage)
    }

    /// A request of the quiet user, to a path below `/api/{user}/`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/{QUIET}/{path}", self.api))
            .bearer_auth(&self.quiet_token)
    }

    /// MiB that each program uses, once that has stopped falling.
    pub(crate) async fn settled_memory(&self) -> Result<Memory> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = self.memory()?;
        loop {
            sleep(Duration::from_secs(3)).await;
            let now = self.memory()?;
            let falls = last
                .iter()
                .zip(&now)
                .any(|(last, now)| now.1 < last.1 - 0.5);
            if !falls || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }

    fn memory(&self) -> Result<Memory> {
        let of = |(name, process): &(&'static str, Process)| {
            let kib = gauge::memory(process.pid())?;
            anyhow::Ok((*name, kib as f64 / 1024.0))
        };
        self.programs.iter().map(of).collect()
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        for (_, process) in &mut self.programs {
            process.check()?;
            process.kill().await?;
        }
        drop(self.identity);
        self.cluster.stop().await
    }
}
