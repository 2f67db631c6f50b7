//! What an operator asks on the command line: the queue, one run, where time goes, and to have something done (`act`).
//!
//! Answers go to the standard output, as lines for people or, with `--json`, as JSON; what was done goes to the log, with who did it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use chrono::{DateTime, Utc};
use errand_store::{
    self as store, Pool, StoreError,
    queue::{
        inspect::{self, AtWork, Cause, Heard, Story},
        state::{self, QueueState},
        stops::{self, Stop},
    },
};
use errand_tools::NAMES;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    ApiStartError,
    config::{QueueConfig, RunConfig},
};

mod act;
mod scrape;
mod times;

pub use act::{cancel, drain, pause, requeue, resume};
pub use times::times;

/// Pause between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);
/// Runs at work that are listed.
const MAX_AT_WORK: i64 = 50;
/// Hours of failures that are told of.
const HOURS: i32 = 24;
/// Workers that are listed.
const MAX_WORKERS: i64 = 200;

/// The queue as it is.
#[derive(Debug, Serialize)]
struct Queue {
    ready: i64,
    oldest_ready_seconds: f64,
    running: i64,
    oldest_running_seconds: f64,
    behind: i64,
    awaiting_approval: i64,
    workers: i64,
    slots: i64,
    paused: Option<Stop>,
    workers_heard: Vec<Heard>,
    at_work: Vec<AtWork>,
    failed_by_cause: Vec<Cause>,
}

/// `errand-api queue`: prints the queue, once or until the stop.
pub async fn queue(config: &QueueConfig, stop: CancellationToken) -> Result<(), ApiStartError> {
    let pool = pool(
        config.database.direct_url().expose_secret(),
        "errand-api-queue",
    )?;
    loop {
        match store::within(look(&pool)).await {
            Ok(seen) if config.json => print(&json(&seen))?,
            Ok(seen) if config.watch => print(&format!(
                "{}\n{}",
                Utc::now().format("%H:%M:%S"),
                table(&seen)
            ))?,
            Ok(seen) => print(&table(&seen))?,
            Err(error) if config.watch && error.is_outage() => {
                tracing::warn!(%error, "the queue cannot be seen; looking again");
            }
            Err(error) => return Err(error.into()),
        }
        if !config.watch {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(WATCH) => {}
        }
    }
}

async fn look(pool: &Pool) -> Result<Queue, StoreError> {
    let mut db = store::connection(pool).await?;
    let QueueState {
        ready,
        oldest_ready,
        running,
        oldest_running,
        behind,
        awaiting_approval,
        workers,
        slots,
        ..
    } = state::queue_state(&mut db, Duration::ZERO).await?;
    let paused = stops::paused(&mut db).await?;
    let workers_heard = inspect::workers(&mut db, MAX_WORKERS).await?;
    let at_work = inspect::at_work(&mut db, MAX_AT_WORK).await?;
    let failed = inspect::causes(&mut db, HOURS).await;
    Ok(Queue {
        ready,
        oldest_ready_seconds: oldest_ready.as_secs_f64(),
        running,
        oldest_running_seconds: oldest_running.as_secs_f64(),
        behind,
        awaiting_approval,
        workers,
        slots,
        paused,
        workers_heard,
        at_work,
        failed_by_cause: db.done(failed)?,
    })
}

fn table(queue: &Queue) -> String {
    let mut text = format!(
        "ready {} (oldest {:.1} s)   running {} (oldest {:.1} s)   behind {}   awaiting approval {}   workers {} with {} slots\n",
        queue.ready,
        queue.oldest_ready_seconds,
        queue.running,
        queue.oldest_running_seconds,
        queue.behind,
        queue.awaiting_approval,
        queue.workers,
        queue.slots,
    );
    if let Some(Stop { since, by }) = &queue.paused {
        let since = since.format("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(
            text,
            "PAUSED since {since}, by {by}: no worker takes any run until `errand-api resume`"
        );
    }
    if !queue.workers_heard.is_empty() {
        text += "\nworkers                                            busy  slots     heard\n";
    }
    for worker in &queue.workers_heard {
        let drains = match &worker.draining_by {
            Some(by) => format!("   draining, by {by}"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "{:<47}  {:>5}  {:>5}  {:>8}{drains}",
            worker.worker,
            worker.busy,
            worker.slots,
            ago(worker.heard),
        );
    }
    if !queue.at_work.is_empty() {
        text += "\nat work                               attempt   for     heard   worker                                         user\n";
    }
    for run in &queue.at_work {
        let _ = writeln!(
            text,
            "{}  {:>7}  {:>6}  {:>6}   {}  {}",
            run.run_id,
            run.attempt,
            ago(run.since),
            ago(run.heard),
            run.worker,
            run.user_id
        );
    }
    if !queue.failed_by_cause.is_empty() {
        text += "\nfailed in the last 24 h    runs   the last one\n";
    }
    for cause in &queue.failed_by_cause {
        let _ = writeln!(
            text,
            "{:<24} {:>6}   {}",
            cause.code, cause.runs, cause.last_run_id
        );
    }
    text
}

/// `errand-api run`: prints what became of a run.
///
/// # Errors
/// There is no such run.
pub async fn run(config: &RunConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.database.direct_url().expose_secret(),
        "errand-api-run",
    )?;
    let story = store::within(async {
        let mut db = store::connection(&pool).await?;
        let story = inspect::story(&mut db, config.run_id, &NAMES.map(str::to_owned)).await;
        db.done(story)
    });
    let story = story.await?.ok_or_else(unknown)?;
    let text = match config.json {
        true => json(&story),
        false => lines(&story),
    };
    Ok(print(&text)?)
}

fn lines(story: &Story) -> String {
    let mut text = format!(
        "run {}: {}\nuser {}, conversation {}\nattempts {}, given back {}; tokens {} read, {} written; events kept {}\n",
        story.run_id,
        story.status,
        story.user_id,
        story.conversation_id,
        story.attempt,
        story.given_back,
        story.input_tokens,
        story.output_tokens,
        story.events,
    );
    for (what, whose) in [
        ("at work with", story.worker.clone()),
        ("goes on from", story.parent_run_id.map(|id| id.to_string())),
        ("continued by", story.continued_by.map(|id| id.to_string())),
        ("error", story.error_code.clone()),
        ("told", story.error_message.clone()),
    ] {
        if let Some(whose) = whose {
            let _ = writeln!(text, "{what} {whose}");
        }
    }
    let first = story.happened.first().map(|happened| happened.at);
    for happened in &story.happened {
        let behind = first.map_or(0, |first| (happened.at - first).num_milliseconds());
        let at = happened.at.format("%Y-%m-%d %H:%M:%S%.3f");
        let line = format!(
            "{at}  +{behind:>7} ms  {:<9}  {}",
            happened.what, happened.detail
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn pool(url: &str, application: &str) -> Result<Pool, StoreError> {
    store::pool(url, application, 1, true)
}

fn unknown() -> ApiStartError {
    ApiStartError::Operate("there is no such run".to_owned())
}

fn ago(moment: DateTime<Utc>) -> String {
    format!("{:.1} s", (Utc::now() - moment).as_seconds_f64().max(0.0))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn print_either(as_json: bool, value: &serde_json::Value, text: &str) -> Result<(), ApiStartError> {
    match as_json {
        true => print(&json(value))?,
        false => print(text)?,
    }
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
