//! One user's crowd beside a quiet user: what thousands of messages at once cost somebody else.
//!
//! `cargo measure fairness`. The quiet user takes turn after turn: alone, while the crowd is
//! posted, while it is worked off. Everything runs on this machine, so the crowd also takes the processor.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use errand_bench::{
    folder::with_folder,
    gauge,
    in_process::{TestSystem, quantile},
};
use errand_devkit::model::Turn;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use sqlx::{Connection, PgConnection};

#[derive(Parser)]
struct Options {
    /// Messages of the crowd
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Messages of the crowd on their way at the same time
    #[arg(long, default_value_t = 200)]
    at_once: usize,
    /// All in one conversation, instead of one for each message
    #[arg(long)]
    one_conversation: bool,
    /// Milliseconds that the model takes for an answer
    #[arg(long, default_value_t = 50)]
    model_ms: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    with_folder(async |state| measure(&options, state).await).await
}

async fn measure(options: &Options, state: &Path) -> Result<()> {
    let system = TestSystem::open(state).await?;
    let pace = Duration::from_millis(options.model_ms);
    system
        .model
        .script(move |_| Turn::text("Done.").first_byte_after(pace));
    let mut db = PgConnection::connect(&system.database()).await?;
    let quiet = system.identity.token("quiet");
    let crowd_token = system.identity.token("crowd");
    for _ in 0..20 {
        turn(&system, &quiet).await?;
    }
    println!(
        "{:<28} {:>7} {:>9} {:>9} {:>9} {:>9}",
        "the quiet user's turns", "turns", "p50 ms", "p99 ms", "max ms", "MiB"
    );
    let mut alone = Vec::new();
    for _ in 0..100 {
        alone.push(turn(&system, &quiet).await?);
    }
    print_turns("alone", &mut alone)?;

    let begun = Instant::now();
    let crowd = post_crowd(&system, &crowd_token, options);
    let (mut during, statuses) = beside(&system, &quiet, crowd).await?;
    let posted = begun.elapsed();
    print_turns("while the crowd is posted", &mut during)?;
    let left = "select count(*) from runs where user_id = 'crowd' and finished_at is null";
    let worked_off = async {
        while sqlx::query_scalar::<_, i64>(left)
            .fetch_one(&mut db)
            .await?
            > 0
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    let (mut after, ()) = beside(&system, &quiet, worked_off).await?;
    print_turns("while it is worked off", &mut after)?;
    println!(
        "\n{} messages posted in {posted:.1?}, worked off after {:.1?}; answers {statuses:?}",
        options.messages,
        begun.elapsed()
    );
    for (what, sample) in [("posted", &mut during), ("worked off", &mut after)] {
        let ratio = quantile(sample, 0.5) / quantile(&mut alone, 0.5);
        println!("{what}: {ratio:.2} times the unloaded turn (p50)");
    }
    db.close().await?;
    system.close().await
}

/// Takes the quiet user's turns until something else is done.
async fn beside<T>(
    system: &TestSystem,
    token: &str,
    other: impl Future<Output = Result<T>>,
) -> Result<(Vec<Duration>, T)> {
    let mut turns = Vec::new();
    tokio::pin!(other);
    loop {
        tokio::select! {
            done = &mut other => return Ok((turns, done?)),
            took = turn(system, token) => turns.push(took.context("the quiet user")?),
        }
    }
}

async fn turn(system: &TestSystem, token: &str) -> Result<Duration> {
    let begun = Instant::now();
    let body = json!({"message": "hello"});
    system
        .post("quiet", token, &body, "wait=60", &[200])
        .await?;
    Ok(begun.elapsed())
}

/// Posts the crowd; how often which status was answered.
async fn post_crowd(
    system: &TestSystem,
    token: &str,
    options: &Options,
) -> Result<BTreeMap<u16, usize>> {
    let post = async |body| {
        system
            .post("crowd", token, &body, "respond-async", &[202, 429, 503])
            .await
    };
    let mut conversation = None;
    if options.one_conversation {
        let (_, first) = post(json!({"message": "message"})).await?;
        conversation = Some(first["conversation_id"].clone());
    }
    let posts = (0..options.messages).map(|n| {
        let mut body = json!({"message": format!("message {n}")});
        if let Some(conversation) = &conversation {
            body["conversation_id"] = conversation.clone();
        }
        post(body)
    });
    let mut statuses = BTreeMap::new();
    let mut posts = futures::stream::iter(posts).buffer_unordered(options.at_once);
    while let Some((status, _)) = posts.try_next().await? {
        *statuses.entry(status).or_default() += 1;
    }
    Ok(statuses)
}

fn print_turns(what: &str, turns: &mut [Duration]) -> Result<()> {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(turns, share));
    let memory = gauge::memory(std::process::id())? as f64;
    println!(
        "{what:<28} {:>7} {p50:>9.2} {p99:>9.2} {max:>9.2} {:>9.1}",
        turns.len(),
        memory / 1024.0
    );
    Ok(())
}
