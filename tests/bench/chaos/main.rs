//! The fault campaign: clients take turns while processes are killed, frozen and cut off; then the database is asked.
//!
//! `cargo chaos --seconds 120 --seed 7`. Ends with 0 only if no invariant is violated. With
//! `--mutate` a safeguard is taken away: then the checker has to find violations.
#![expect(clippy::print_stdout, reason = "a campaign prints its verdict")]

mod check;
mod clients;
mod faults;
mod history;
mod model_script;
mod slot;
mod stage;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use check::{BOUND, Runs};
use clap::{Parser, ValueEnum};
use errand_core::faults::{NO_FENCE, NO_TOOL_KEY};
use futures::future::try_join_all;
use history::History;
use stage::{Size, Stage};
use tokio::time::Instant;

/// Share of accepted runs that has to complete, in percent.
const COMPLETED: f64 = 98.0;
/// Violations that are printed.
const SHOWN: usize = 40;

#[derive(Parser)]
struct Options {
    /// Seconds of turns and faults
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Decides the schedule
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Takes a safeguard away
    #[arg(long)]
    mutate: Option<Mutation>,
    /// Calls that add tasks wait for a decision: three in four are approved
    #[arg(long)]
    approvals: bool,
    /// Clients, in equal parts by POST, server-sent events and WebSocket
    #[arg(long, default_value_t = 15)]
    clients: usize,
    #[arg(long, default_value_t = 2)]
    apis: u16,
    #[arg(long, default_value_t = 3)]
    workers: u16,
    /// Milliseconds between two faults, on average
    #[arg(long, default_value_t = 1500)]
    pause: u64,
    /// Do not judge how many runs completed: for a machine that is busy with other things
    #[arg(long)]
    only_invariants: bool,
    /// Keep logs, history and database
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mutation {
    Fence,
    ToolKey,
}

impl Mutation {
    fn fail_point(self) -> &'static str {
        match self {
            Self::Fence => NO_FENCE,
            Self::ToolKey => NO_TOOL_KEY,
        }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let state = std::env::temp_dir().join(format!("errand-chaos-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    let held = campaign(&options, &state)
        .await
        .with_context(|| format!("logs and data are left in {}", state.display()))?;
    if options.keep || (!held && options.mutate.is_none()) {
        println!("history, logs and data are left in {}", state.display());
    } else {
        std::fs::remove_dir_all(&state).context("the data cannot be removed")?;
    }
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether every invariant held.
async fn campaign(options: &Options, state: &Path) -> Result<bool> {
    let path = state.join("history.jsonl");
    let history = Arc::new(History::create(&path)?);
    let size = Size {
        apis: options.apis,
        workers: options.workers,
        seed: options.seed,
        approvals: options.approvals,
        mutation: options.mutate.map(Mutation::fail_point),
    };
    let mut stage = Stage::open(state, &size, &history).await?;
    println!("seed {}, {} seconds", options.seed, options.seconds);
    if !slot::clocks_jump() {
        println!("left out: clock jumps, as there is no libfaketime");
    }
    let turns = turns(options, &mut stage, &history).await?;
    history.flush()?;
    check::rest(&stage.database_url).await?;
    stage.leave().await?;
    let runs = check::runs(&stage.database_url).await?;
    let violations = check::check(&stage.database_url, &path).await?;
    stage.close().await?;
    print_faults(&history);
    print_runs(turns, &runs);
    print_violations(&violations);
    let wanted = runs.accepted - runs.cancelled;
    let share = 100.0 * runs.completed as f64 / wanted.max(1) as f64;
    println!("{share:.2} % of the accepted runs that nobody cancelled completed");
    Ok(violations.is_empty() && (options.only_invariants || share >= COMPLETED))
}

/// Lets clients take turns while faults come, then heals the house and lets them end. Returns how many turns were taken.
async fn turns(options: &Options, stage: &mut Stage, history: &History) -> Result<u64> {
    let time = Duration::from_secs(options.seconds);
    let apis = stage.apis.clone();
    let slots = stage.slots.clone();
    let database = stage.database_url.clone();
    let world = clients::TestSystem {
        apis: &apis,
        identity: &stage.identity.clone(),
        history,
        seed: options.seed,
        cancels: match options.mutate {
            Some(Mutation::Fence) => 1.0,
            _ => 0.1,
        },
        until: Instant::now() + time,
    };
    let clients = try_join_all((0..options.clients).map(|n| clients::live(&world, n)));
    let faults = async {
        let plan = faults::Plan {
            seed: options.seed,
            time,
            pause: Duration::from_millis(options.pause),
            only_wake: matches!(options.mutate, Some(Mutation::Fence)),
        };
        faults::inflict(&slots, &database, plan, history).await?;
        for slot in &slots {
            slot.heal().await;
        }
        anyhow::Ok(())
    };
    let work = async {
        let (turns, ()) = tokio::try_join!(clients, faults)?;
        anyhow::Ok(turns.into_iter().sum())
    };
    tokio::select! {
        turns = work => turns,
        error = stage.broken() => Err(error),
    }
}

fn print_faults(history: &History) {
    let faults = history.faults();
    println!("\n{:<44} {:>6}", "faults", "");
    for (kind, count) in &faults {
        println!("  {kind:<42} {count:>6}");
    }
    println!("  {:<42} {:>6}", "in all", faults.values().sum::<u64>());
}

fn print_runs(turns: u64, runs: &Runs) {
    println!("\n{turns} turns taken, {} runs accepted", runs.accepted);
    for (end, count) in &runs.ends {
        println!("  {end:<42} {count:>6}");
    }
    let over = format!("> {:.0} s", BOUND / 1000.0);
    println!(
        "{:<44} {:>8} {:>8} {over:>8}",
        "a turn takes, ms", "p50", "p99"
    );
    for times in &runs.times {
        let title = match times.lost {
            0 => "hit by no kill".to_owned(),
            1 => "hit by one".to_owned(),
            lost => format!("hit by {lost}"),
        };
        let title = format!("{title} ({})", times.turns);
        println!(
            "  {title:<42} {:>8.0} {:>8.0} {:>8}",
            times.p50, times.p99, times.late
        );
    }
}

fn print_violations(violations: &[(String, String)]) {
    println!("\n{} violations", violations.len());
    for (invariant, found) in violations.iter().take(SHOWN) {
        println!("  {invariant}: {found}");
    }
}
