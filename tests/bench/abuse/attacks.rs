//! What the attacker does, each thing with all its might: as many at once as asked for, each again as soon as it is answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use futures::StreamExt;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sockets;

/// Who attacks.
pub(crate) const ME: &str = "attacker";

/// One way to attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Messages, each in a conversation of its own.
    Messages,
    /// Cancels of a run.
    Cancels,
    /// Lists of everything.
    Reads,
    /// Searches that are dear, in texts that are long.
    Searches,
    /// Streams of a run that does not end.
    Streams,
    /// Sockets, opened and flooded.
    Sockets,
    /// Calls from outside.
    Calls,
    /// Decisions, each of which leads to another question.
    Decisions,
    /// Bodies as large as may be, and larger.
    Bodies,
}

/// What the attacker was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<BTreeMap<String, usize>>>);

impl Counts {
    pub(crate) fn add(&self, what: impl ToString) {
        *self.lock().entry(what.to_string()).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attack {
    pub(crate) const ALL: [Self; 9] = [
        Self::Messages,
        Self::Cancels,
        Self::Reads,
        Self::Searches,
        Self::Streams,
        Self::Sockets,
        Self::Calls,
        Self::Decisions,
        Self::Bodies,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Cancels => "cancels",
            Self::Reads => "reads",
            Self::Searches => "searches",
            Self::Streams => "streams",
            Self::Sockets => "sockets",
            Self::Calls => "calls",
            Self::Decisions => "decisions",
            Self::Bodies => "bodies",
        }
    }

    /// Attacks until `stop`.
    pub(crate) async fn run(
        self,
        target: Target,
        at_once: usize,
        counts: &Counts,
        stop: CancellationToken,
    ) -> Result<()> {
        let run = Arc::new(self.prepare(&target).await?);
        let target = Arc::new(target);
        let mut attackers = JoinSet::new();
        for nth in 0..at_once {
            let (target, run) = (Arc::clone(&target), Arc::clone(&run));
            let (counts, stop) = (counts.clone(), stop.clone());
            attackers.spawn(async move {
                while !stop.is_cancelled() {
                    let once = self.once(&target, &run, nth, &counts);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        result = once => if result.is_err() {
                            counts.add("no answer");
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            });
        }
        while attackers.join_next().await.is_some() {}
        self.clean_up(&target, &run).await
    }

    /// Makes what the attack needs; the id of a run, where it takes one.
    async fn prepare(self, target: &Target) -> Result<String> {
        match self {
            Self::Cancels => begin(target, "hello").await,
            Self::Streams | Self::Sockets => begin(target, "slow").await,
            Self::Searches => {
                let long = "a".repeat(8_000);
                for nth in 0..110 {
                    let task =
                        json!({"user_id": ME, "title": format!("long {nth}"), "description": long});
                    target.call("add_task", &task).send().await?;
                }
                Ok(String::new())
            }
            _ => Ok(String::new()),
        }
    }

    async fn once(self, target: &Target, run: &str, nth: usize, counts: &Counts) -> Result<()> {
        let post = |body: &Value| target.say(body);
        let get = |path: &str| target.request(Method::GET, path);
        match self {
            Self::Messages => send(post(&json!({"message": "hello"})), counts).await,
            Self::Cancels => {
                let path = format!("runs/{run}/cancel");
                send(target.request(Method::POST, &path), counts).await
            }
            Self::Reads => {
                let paths = ["tasks?limit=200", "conversations?limit=200"];
                send(get(paths[nth % paths.len()]), counts).await
            }
            Self::Searches => {
                let (many, most) = ("a".repeat(4_000), "a".repeat(254));
                let searches = [format!("{many}b"), format!("b{most}"), format!("{most}b")];
                let search = &searches[nth % searches.len()];
                send(get(&format!("tasks?search={search}")), counts).await
            }
            Self::Streams => stream(get(&format!("runs/{run}/events")), counts).await,
            Self::Sockets => sockets::flood(target, counts).await,
            Self::Calls => {
                let list = json!({"user_id": ME, "limit": 200});
                send(target.call("list_tasks", &list), counts).await
            }
            Self::Decisions => decide(target, counts).await,
            Self::Bodies => match nth % 3 {
                0 => {
                    let metadata = json!({"x": "y".repeat(60_000)});
                    send(
                        post(&json!({"message": "hello", "metadata": metadata})),
                        counts,
                    )
                    .await
                }
                1 => send(post(&json!({"message": "x".repeat(1 << 20)})), counts).await,
                _ => send(history(target), counts).await,
            },
        }
    }

    async fn clean_up(self, target: &Target, run: &str) -> Result<()> {
        if matches!(self, Self::Streams | Self::Sockets) {
            let path = format!("runs/{run}/cancel");
            target.request(Method::POST, &path).send().await?;
        }
        Ok(())
    }
}

/// Begins a run, as soon as the limits let it; its id.
async fn begin(target: &Target, message: &str) -> Result<String> {
    for _ in 0..100 {
        let response = target.say(&json!({"message": message})).send().await?;
        if response.status() == 202 {
            let body: Value = response.json().await?;
            return Ok(body["run_id"].as_str().context("no run")?.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("no run begins")
}

async fn send(request: RequestBuilder, counts: &Counts) -> Result<()> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    response.bytes().await?;
    counts.add(status);
    Ok(())
}

/// Opens a stream and reads a while.
async fn stream(request: RequestBuilder, counts: &Counts) -> Result<()> {
    let response = request.send().await?;
    counts.add(response.status().as_u16());
    let mut body = response.bytes_stream();
    let read = async { while let Some(Ok(_)) = body.next().await {} };
    let _ = tokio::time::timeout(Duration::from_millis(500), read).await;
    Ok(())
}

/// Has a run wait for a decision, and decides: the run that goes on asks again.
async fn decide(target: &Target, counts: &Counts) -> Result<()> {
    let mut run = begin(target, "add").await?;
    loop {
        let path = format!("runs/{run}/decision");
        let decision = target
            .request(Method::POST, &path)
            .header("prefer", "respond-async")
            .json(&json!({"approve": true}));
        let response = decision.send().await?;
        let status = response.status().as_u16();
        let body: Value = response.json().await?;
        counts.add(status);
        match status {
            202 => body["run_id"]
                .as_str()
                .context("no run")?
                .clone_into(&mut run),
            // It does not ask yet, or the limits are reached.
            409 | 429 => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => return Ok(()),
        }
    }
}

/// A history of nearly 8 MiB, as an AG-UI client sends it.
fn history(target: &Target) -> RequestBuilder {
    let ids = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()];
    let body = target.history.replacen("THREAD", &ids[0].to_string(), 1);
    target
        .request(Method::POST, "chat")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .body(body.replacen("RUN", &ids[1].to_string(), 1))
}

/// Whom it is done to, and in whose name.
pub(crate) struct Target {
    pub(crate) api: String,
    mcp: String,
    pub(crate) token: String,
    history: String,
    http: reqwest::Client,
}

impl Target {
    pub(crate) fn new(api: &str, mcp: &str, token: &str) -> Result<Self> {
        let old = json!({"id": "m", "role": "user", "content": "z".repeat(7 << 20)});
        let new = json!({"id": "n", "role": "user", "content": "hello"});
        let history = json!({
            "threadId": "THREAD", "runId": "RUN", "state": {}, "messages": [old, new],
            "tools": [], "context": [], "forwardedProps": {},
        });
        Ok(Self {
            api: api.to_owned(),
            mcp: mcp.to_owned(),
            token: token.to_owned(),
            history: history.to_string(),
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(1_000)
                .build()?,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/{ME}/{path}", self.api))
            .bearer_auth(&self.token)
    }

    fn say(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "chat")
            .header("prefer", "respond-async")
            .json(body)
    }

    /// A call of a tool from outside.
    fn call(&self, tool: &str, arguments: &Value) -> RequestBuilder {
        let params = json!({"name": tool, "arguments": arguments});
        self.http
            .post(format!("{}/mcp", self.mcp))
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
    }
}
