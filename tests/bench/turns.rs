//! What a turn costs beyond the model's own time: latency and turns per second with 1, 8 and 32 turns in flight.
//!
//! `cargo run --release -p errand-tests --bin turns -- --seconds 5`. Everything runs on this machine, the model included, which
//! answers at once: so the figures are Errand's and Postgres'. The database is a real one with its default durability.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use errand_api::Api;
use errand_shared::store::migrate;
use errand_tests::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn, request},
    postgres::{Cluster, ClusterOptions},
};
use errand_worker::Worker;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Users that take turns; a turn's cost grows with its history, so many users keep it short.
const USERS: u64 = 200;

#[derive(Parser)]
struct Options {
    /// Seconds for each number in flight
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Turns in flight
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    in_flight: Vec<usize>,
}

struct Load {
    url: String,
    http: reqwest::Client,
    tokens: Vec<String>,
    turns: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let state = std::env::temp_dir().join(format!("errand-bench-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    let result = measure(&options, &state).await;
    std::fs::remove_dir_all(&state).context("the data cannot be removed")?;
    result
}

async fn measure(options: &Options, state: &std::path::Path) -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::durable(state)).await?;
    cluster.ensure_database("errand").await?;
    let database = cluster.url("errand");
    migrate::run(&database).await?;
    let model = ScriptedModel::start().await?;
    // A third of the turns adds a task, a third lists, a third only talks: 1.67 model calls a turn.
    model.script(|asked| {
        match (
            request::last_user(asked).as_str(),
            request::steps(asked).len(),
        ) {
            ("add", 0) => Turn::call("add_task", json!({"title": "buy milk and some more words"})),
            ("list", 0) => Turn::call("list_tasks", json!({"limit": 20})),
            _ => Turn::text("Done: the plan for today is clear and each step has one owner"),
        }
    });
    let identity = IdentityProvider::start(IdentityOptions::default()).await?;
    let stop = CancellationToken::new();
    let api = [
        "--database-url",
        &database,
        "--better-auth-url",
        identity.issuer(),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ];
    let unlimited = ["--rate-runs-per-minute", "0", "--max-active-runs", "0"];
    let api = errand_api::Config::from_arguments(api.into_iter().chain(unlimited))?;
    let api = Api::build(&api, stop.clone()).await?;
    let load = Arc::new(Load {
        url: format!("http://{}", api.address()?),
        http: reqwest::Client::new(),
        tokens: (0..USERS)
            .map(|user| identity.token(&format!("user-{user}")))
            .collect(),
        turns: AtomicU64::new(0),
    });
    let base_url = model.base_url();
    let worker = [
        "errand-worker",
        "--database-url",
        &database,
        "--openai-base-url",
        &base_url,
        "--openai-api-key",
        "x",
    ];
    let worker = Worker::build(&errand_worker::Config::try_parse_from(worker)?).await?;
    let api = tokio::spawn(api.serve());
    let worker = tokio::spawn(worker.run(stop.clone()));

    run(&load, 4, Duration::from_secs(1)).await?;
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9}",
        "in flight", "turns", "turns/s", "p50 ms", "p99 ms"
    );
    for &in_flight in &options.in_flight {
        let mut latencies = run(&load, in_flight, Duration::from_secs(options.seconds)).await?;
        latencies.sort();
        let at = |share: f64| {
            latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
        };
        let rate = latencies.len() as f64 / options.seconds as f64;
        println!(
            "{in_flight:>9} {:>9} {rate:>9.1} {:>9.2} {:>9.2}",
            latencies.len(),
            at(0.5),
            at(0.99)
        );
    }
    stop.cancel();
    api.await??;
    worker.await??;
    cluster.stop().await
}

/// Keeps this many turns in flight for this long; returns the latency of each turn that ended in it.
async fn run(load: &Arc<Load>, in_flight: usize, time: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let lanes = (0..in_flight).map(|_| {
        let load = Arc::clone(load);
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                latencies.push(load.turn().await?);
            }
            anyhow::Ok(latencies)
        })
    });
    let mut all = Vec::new();
    for lane in futures::future::join_all(lanes).await {
        all.append(&mut lane??);
    }
    ensure!(!all.is_empty(), "no turn ended in time");
    Ok(all)
}

impl Load {
    async fn turn(&self) -> Result<Duration> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let user = turn % USERS;
        let message = ["add", "list", "talk"][usize::try_from(turn / USERS % 3)?];
        let begun = Instant::now();
        let response = self
            .http
            .post(format!("{}/api/user-{user}/chat", self.url))
            .bearer_auth(&self.tokens[usize::try_from(user)?])
            .json(&json!({"message": message}))
            .send()
            .await?;
        ensure!(
            response.status() == 200,
            "{}: {}",
            response.status(),
            response.text().await?
        );
        response.bytes().await?;
        Ok(begun.elapsed())
    }
}
