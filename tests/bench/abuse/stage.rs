//! Everything that runs: Postgres, the stand-ins, and the three programs as processes.

use std::{path::Path, time::Duration};

use anyhow::Result;
use errand_bench::gauge;
use errand_devkit::{
    model::{ScriptedModel, Turn, request},
    postgres::ClusterOptions,
    process::Process,
    programs::Build,
    system::{Database, Programs, System},
};
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
    system: System<ScriptedModel>,
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
        let programs = Programs::build(Build::Shipped, state).await?;
        let database = Database::private(ClusterOptions::durable(state)).await?;
        let system = System::scripted(database).await?;
        // Who asks for it is asked for approval, again and again; everybody else is greeted.
        system.model.script(move |asked| {
            let turn = match request::last_user(asked).as_str() {
                "add" => Turn::call("add_task", json!({"title": "milk"})),
                "slow" => Turn::endless("word ").chunk_every(Duration::from_secs(1)),
                _ => Turn::text("Hello."),
            };
            turn.first_byte_after(pace)
        });
        let api = system.api().with("--rate-runs-per-minute", 900);
        let api = api.with("--log-format", "json");
        let mut api = programs.serve("errand-api", "errand-api", &api)?;
        let worker = system.worker(&system.model.base_url());
        let worker = worker.with("--openai-model", "scripted");
        let worker = worker.with("--require-approval", "add_task");
        let worker = programs.start("errand-worker", "errand-worker", &worker)?;
        let mut mcp = programs.serve("errand-mcp", "errand-mcp", &system.api())?;
        for server in [&mut api, &mut mcp] {
            server.until_ready(PATIENCE).await?;
        }
        Ok(Self {
            attackers_token: system.identity.token(ME),
            quiet_token: system.identity.token(QUIET),
            system,
            http: reqwest::Client::new(),
            api: api.url,
            mcp: mcp.url,
            programs: vec![
                ("api", api.process),
                ("worker", worker),
                ("mcp", mcp.process),
            ],
        })
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
        self.system.stop().await
    }
}
