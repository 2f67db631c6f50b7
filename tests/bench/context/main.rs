//! What a turn costs in a long conversation: tokens, statements and time of turns in conversations of 50 messages and of 10,000.
//!
//! `cargo measure context`. The past is made in SQL; a few turns follow it, so that its summary is written, and then turns in conversations of
//! either length are taken in alternation. What they cost besides, the summaries, is told apart. Exits with 1 if a turn of the long ones costs more
//! than a tenth more tokens or statements. The model answers at once, so times are Errand's and Postgres'.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod beside;
mod stage;

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use errand_bench::{folder::with_folder, in_process::quantile};

/// A long conversation may cost so much more than a short one, in hundredths.
const MORE: f64 = 1.10;

#[derive(Parser)]
pub(crate) struct Options {
    /// Messages of the past, of the short conversations and of the long ones
    #[arg(long, value_delimiter = ',', default_value = "50,10000")]
    pub(crate) messages: Vec<i32>,
    /// Conversations of each length
    #[arg(long, default_value_t = 4)]
    pub(crate) conversations: usize,
    /// Turns in each of them, of which each second adds a task
    #[arg(long, default_value_t = 12)]
    pub(crate) turns: usize,
    /// Measure instead what turns take while summaries are written and while none is: so many rounds
    #[arg(long)]
    pub(crate) beside: Option<usize>,
    /// Seconds of each of the three windows of a round
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// Turns in flight while it is found out how many a second there can be
    #[arg(long, default_value_t = 16)]
    pub(crate) in_flight: usize,
    /// Which share of that is then asked for
    #[arg(long, default_value_t = 0.5)]
    pub(crate) load: f64,
    /// Milliseconds that the model takes for an answer
    #[arg(long, default_value_t = 0)]
    pub(crate) answer_after: u64,
    /// Of so many turns one makes a summary due: 20 is what it comes to where each conversation is long
    #[arg(long, default_value_t = 20)]
    pub(crate) per_summary: usize,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let holds = with_folder(async |state| Box::pin(measure(&options, state)).await).await?;
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn measure(options: &Options, state: &Path) -> Result<bool> {
    if let Some(windows) = options.beside {
        return beside::measure(options, windows, state).await;
    }
    let mut kinds = Vec::new();
    // Twice: what is counted goes through a proxy, and what goes through a proxy is not timed.
    for (name, is_counted) in [("time", false), ("counts", true)] {
        let folder = state.join(name);
        std::fs::create_dir_all(&folder)?;
        let costs = Box::pin(stage::run(options, &folder, is_counted)).await?;
        kinds.push(costs);
    }
    let [timed, counted] = kinds.as_mut_slice() else {
        return Ok(false);
    };
    println!(
        "\n{:>9} {:>7} {:>13} {:>13} {:>12} {:>9} {:>9} {:>9}",
        "messages",
        "turns",
        "tokens/turn",
        "statements",
        "round trips",
        "commits",
        "p50 ms",
        "p90 ms"
    );
    let mut rows = Vec::new();
    for ((messages, timed), counted) in options.messages.iter().zip(timed).zip(counted) {
        let each = |number: u64| number as f64 / counted.turns as f64;
        let tokens = timed.tokens as f64 / timed.turns as f64;
        let statements = each(counted.counts.statements);
        let (p50, p90) = (
            quantile(&mut timed.took, 0.5),
            quantile(&mut timed.took, 0.9),
        );
        println!(
            "{messages:>9} {:>7} {tokens:>13.0} {statements:>13.2} {:>12.2} {:>9.2} {p50:>9.2} {p90:>9.2}",
            timed.turns,
            each(counted.counts.round_trips),
            each(counted.counts.commits),
        );
        rows.push([tokens, statements, p50]);
    }
    let (Some(short), Some(long)) = (rows.first(), rows.last()) else {
        return Ok(false);
    };
    let ratio: Vec<f64> = short
        .iter()
        .zip(long)
        .map(|(short, long)| long / short)
        .collect();
    println!(
        "\nlong to short: tokens {:.3}, statements {:.3}, p50 {:.3}",
        ratio[0], ratio[1], ratio[2]
    );
    Ok(ratio[0] < MORE && ratio[1] < MORE)
}
