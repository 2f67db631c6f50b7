//! One account against all: it does one thing with all its might, beside one quiet user who takes turn after turn.
//!
//! `cargo measure abuse`. The programs run as they ship, each in a process of its own, with limits in
//! force. For each attack the quiet user's turns are compared with those taken alone before and after; no answer of theirs may be
//! 5xx, and the memory of each process has to come back to where it was. Everything runs on this machine, but the attacker's
//! own work, which would be done elsewhere, gets only what nobody else wants.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

mod attacker;
mod attacks;
mod quiet;
mod sockets;
mod stage;

use attacker::{Answers, Attacker, Orders};
use attacks::Attack;
use quiet::Quiet;
use stage::{Memory, Stage};

/// After so many rounds of attacks in which a process grew, it leaks.
const ROUNDS: usize = 3;

#[derive(Parser)]
struct Options {
    /// Seconds of each attack, and of the time alone before it
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// What the attacker does at the same time
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Only these attacks
    #[arg(long, value_delimiter = ',')]
    only: Vec<Attack>,
    /// How many times as long as alone the quiet user's turns may take (p99); 0: any time
    #[arg(long, default_value_t = 2.0)]
    max_ratio: f64,
    /// Milliseconds that the model takes for an answer
    #[arg(long, default_value_t = 50)]
    model_ms: u64,
    #[command(flatten)]
    orders: Orders,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(attacked) = options.orders.follow(options.at_once).await {
        return attacked.map(|()| ExitCode::SUCCESS);
    }
    let state = std::env::temp_dir().join(format!("errand-abuse-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    let result = measure(&options, &state).await;
    match &result {
        Ok(_) => std::fs::remove_dir_all(&state).context("the data cannot be removed")?,
        Err(_) => println!("the logs are in {}", state.display()),
    }
    result
}

async fn measure(options: &Options, state: &Path) -> Result<ExitCode> {
    let stage = Stage::start(state, Duration::from_millis(options.model_ms)).await?;
    let time = Duration::from_secs(options.seconds);
    let attacks = match options.only.as_slice() {
        [] => Attack::ALL.to_vec(),
        only => only.to_vec(),
    };
    // Everything has been used once before anything is measured, also what a process keeps from then on.
    for attack in &attacks {
        beside(&stage, *attack, options.at_once, time / 5).await?;
    }
    let base = stage.settled_memory().await?;
    println!(
        "{:<10} {:>7} {:>7} {:>8} {:>8} {:>8} {:>6}  answers to the attacker",
        "attack", "tries", "turns", "p50 ms", "p99 ms", "alone", "ratio"
    );
    let mut failures = Vec::new();
    for attack in attacks.iter().copied() {
        let mut alone = Quiet::alone(&stage, time).await?;
        let (mut during, answers) = beside(&stage, attack, options.at_once, time).await?;
        alone.extend(Quiet::alone(&stage, time / 2).await?);
        let ratio = during.p99() / alone.p99();
        println!(
            "{:<10} {:>7} {:>7} {:>8.1} {:>8.1} {:>8.1} {ratio:>6.2}  {answers}",
            attack.name(),
            answers.total(),
            during.turns(),
            during.p50(),
            during.p99(),
            alone.p99(),
        );
        for trouble in during.troubles() {
            failures.push(format!(
                "{}: the quiet user was answered {trouble}",
                attack.name()
            ));
        }
        if options.max_ratio > 0.0 && ratio > options.max_ratio {
            failures.push(format!(
                "{}: {ratio:.2} times as long as alone",
                attack.name()
            ));
        }
    }
    for name in growing(&stage, &attacks, options, base).await? {
        failures.push(format!("the memory of {name} does not come back"));
    }
    stage.stop().await?;
    for failure in &failures {
        println!("FAILED {failure}");
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whose memory grows, from this on, with every round of attacks.
///
/// What an allocator keeps is as much as was needed at once, and how much that was depends on what the machine else had to do. A
/// second round of the same needs no more; a leak does.
async fn growing(
    stage: &Stage,
    attacks: &[Attack],
    options: &Options,
    mut base: Memory,
) -> Result<Vec<&'static str>> {
    for round in 1..=ROUNDS {
        let after = stage.settled_memory().await?;
        let mut growing = Vec::new();
        for ((name, base), (_, after)) in base.iter().zip(&after) {
            println!("memory of {name}: {base:.0} MiB before, {after:.0} MiB after");
            if *after > base * 1.25 + 16.0 {
                growing.push(*name);
            }
        }
        if growing.is_empty() || round == ROUNDS {
            return Ok(growing);
        }
        println!("once more, to tell what is kept from what is lost");
        base = after;
        for attack in attacks {
            beside(
                stage,
                *attack,
                options.at_once,
                Duration::from_secs(options.seconds),
            )
            .await?;
        }
    }
    Ok(Vec::new())
}

/// The quiet user's turns while the attack goes on.
async fn beside(
    stage: &Stage,
    attack: Attack,
    at_once: usize,
    time: Duration,
) -> Result<(Quiet, Answers)> {
    let attacker = Attacker::start(stage, attack, at_once)?;
    // The first moment is the attack's own beginning.
    tokio::time::sleep(time / 5).await;
    let quiet = Quiet::alone(stage, time).await?;
    Ok((quiet, attacker.stop().await?))
}
