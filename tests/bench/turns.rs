//! What a turn costs beyond the model's own time: latency and turns per second with 1, 8 and 32 turns in flight.
//!
//! `cargo measure turns -- --seconds 5`. Everything runs on this machine, the model included, which
//! answers at once: so the figures are Errand's and Postgres'.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use errand_bench::{
    folder::with_folder,
    in_process::{TestSystem, quantile},
};
use errand_devkit::model::{Turn, request};
use serde_json::json;
use sqlx::{Connection, PgConnection};

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
    system: TestSystem,
    tokens: Vec<String>,
    turns: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    with_folder(async |state| measure(&options, state).await).await
}

async fn measure(options: &Options, state: &Path) -> Result<()> {
    let system = TestSystem::open(state).await?;
    // A third of the turns adds a task, a third lists, a third only talks: 1.67 model calls a turn.
    system.model.script(|asked| {
        let step = request::steps(asked).len();
        match (request::last_user(asked).as_str(), step) {
            ("add", 0) => Turn::call("add_task", json!({"title": "buy milk and some more words"})),
            ("list", 0) => Turn::call("list_tasks", json!({"limit": 20})),
            _ => Turn::text("Done: the plan for today is clear and each step has one owner"),
        }
    });
    let tokens = (0..USERS).map(|user| system.identity.token(&format!("user-{user}")));
    let load = Arc::new(Load {
        tokens: tokens.collect(),
        system,
        turns: AtomicU64::new(0),
    });
    run(&load, 4, Duration::from_secs(1)).await?;
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "in flight", "turns", "turns/s", "p50 ms", "p99 ms", "commits/turn"
    );
    let mut db = PgConnection::connect(&load.system.database()).await?;
    for &in_flight in &options.in_flight {
        let before = commits(&mut db).await?;
        let mut latencies = run(&load, in_flight, Duration::from_secs(options.seconds)).await?;
        let turns = latencies.len() as f64;
        println!(
            "{in_flight:>9} {turns:>9} {:>9.1} {:>9.2} {:>9.2} {:>9.1}",
            turns / options.seconds as f64,
            quantile(&mut latencies, 0.5),
            quantile(&mut latencies, 0.99),
            (commits(&mut db).await? - before) as f64 / turns,
        );
    }
    drop(db);
    let load = Arc::into_inner(load).context("somebody still takes a turn")?;
    load.system.close().await
}

async fn commits(db: &mut PgConnection) -> Result<i64> {
    // Backends report what they did at most once a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let query = "select xact_commit from pg_stat_database where datname = current_database()";
    Ok(sqlx::query_scalar(query).fetch_one(db).await?)
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
        let message = ["add", "list", "talk"][usize::try_from(turn % 3)?];
        let body = json!({"message": message});
        let token = &self.tokens[usize::try_from(user)?];
        let begun = Instant::now();
        let user = format!("user-{user}");
        self.system
            .post(&user, token, &body, "wait=60", &[200])
            .await?;
        Ok(begun.elapsed())
    }
}
