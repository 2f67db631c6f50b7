//! What streaming costs: time to the first token and per token, statements per second, memory per socket.
//!
//! `cargo measure streams`. API and worker run as processes of their own with Postgres beside
//! them; the clients and the model, which stamps each token with the time, share the machine with them. So the
//! figures are those of everything together, and the processor time printed says how much of it is the benchmark's own.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{path::Path, thread::available_parallelism, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

#[path = "streams/client.rs"]
mod client;
#[path = "streams/load.rs"]
mod load;
#[path = "streams/sockets.rs"]
mod sockets;
#[path = "streams/stage.rs"]
mod stage;

use errand_bench::{
    gauge::{self, Sample},
    model::Pace,
};
use load::{Seen, Used};
use stage::Stage;

/// Open files besides the sockets.
const OTHER_FILES: usize = 500;

#[derive(Parser)]
struct Options {
    /// Streams at the same time
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1800))]
    streams: u16,
    /// Idle sockets; half as many never say who they are, at most 1,000
    #[arg(long, default_value_t = 2000)]
    sockets: usize,
    /// Shorter, with less exact tails
    #[arg(long)]
    quick: bool,
    /// Print which statements the database ran
    #[arg(long)]
    statements: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    gauge::allow_files(usize::from(options.streams).max(options.sockets) + OTHER_FILES)?;
    let state = std::env::temp_dir().join(format!("errand-bench-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    measure(&options, &state)
        .await
        .with_context(|| format!("logs and data are left in {}", state.display()))?;
    std::fs::remove_dir_all(&state).context("the data cannot be removed")
}

async fn measure(options: &Options, state: &Path) -> Result<()> {
    let streams = usize::from(options.streams);
    let mut stage = Stage::start(state, streams + 100).await?;
    let cores = available_parallelism()?;
    println!("{cores} cores for everything, the clients and the model included\n");
    println!("{:<50} {:>8} {:>8} {:>8}", "", "p50 ms", "p99 ms", "max ms");

    let short = Pace {
        tokens: 5,
        gap: Duration::from_millis(50),
        first: Duration::from_millis(50),
    };
    let turns = if options.quick { 50 } else { 200 };
    let mut seen = load::alone(&stage, turns, short).await?;
    print_seen(&format!("1 stream, {turns} turns"), &mut seen);

    let time = Duration::from_secs(if options.quick { 8 } else { 30 });
    let first = Duration::from_millis(500);
    for (tokens, gap) in [(100, 50), (200, 25)] {
        let gap = Duration::from_millis(gap);
        let pace = Pace { tokens, gap, first };
        let (mut seen, used) = load::together(&mut stage, streams, pace, time).await?;
        let rate = 1000 / gap.as_millis();
        let title = format!("{streams} streams, {rate} tokens/s each, {time:?}");
        print_seen(&title, &mut seen);
        print_used(
            &used,
            &seen,
            time,
            options.statements,
            stage.statements.single,
        );
    }
    let pace = Pace {
        tokens: 20,
        gap: Duration::from_millis(50),
        first,
    };
    let mut seen = load::at_once(&stage, streams, pace).await?;
    print_seen(&format!("{streams} turns begun at once"), &mut seen);

    let api = stage.fresh_api().await?;
    let idle = sockets::idle(&stage, &api, options.sockets, !options.quick).await?;
    println!("{} idle sockets on a fresh API", options.sockets);
    let per_socket = |used: u64| (used as f64 - idle.before as f64) / options.sockets as f64;
    print_memory("before", idle.before, None);
    print_memory(
        "connected",
        idle.connected,
        Some(per_socket(idle.connected)),
    );
    if let Some(pinged) = idle.pinged {
        print_memory("after a ping each", pinged, Some(per_socket(pinged)));
    }
    print_memory("gone", idle.gone, None);

    let count = (options.sockets / 2).min(1000);
    let mut seen = sockets::strangers(&stage, &api, count, short).await?;
    println!("\n{count} sockets that never say who they are");
    println!("  closed with (code: sockets) {:?}", seen.codes);
    print_sample("time until the close", &mut seen.open);
    print_sample("first token of another user meanwhile", &mut seen.bystander);
    for (when, (memory, files)) in ["before", "most seen", "afterwards"].iter().zip(seen.used) {
        println!(
            "  {when:<12} {:>6.1} MiB {files:>6} files",
            memory as f64 / 1024.0
        );
    }
    api.process.stop(stage::STOP).await?;
    stage.stop().await
}

fn print_sample(what: &str, sample: &mut Sample) {
    let what = format!("  {what} ({})", sample.len());
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| sample.milliseconds(share));
    println!("{what:<50} {p50:>8.1} {p99:>8.1} {max:>8.1}");
}

fn print_seen(title: &str, seen: &mut Seen) {
    println!("{title}");
    print_sample("first token over the model's own", &mut seen.first);
    print_sample("of it until the model is asked", &mut seen.pick_up);
    print_sample("each token, model to client", &mut seen.tokens);
    println!();
}

fn print_used(used: &Used, seen: &Seen, time: Duration, listed: bool, single: bool) {
    let seconds = time.as_secs_f64();
    let tokens = seen.tokens.len() as f64 / seconds;
    let turns = seen.first.len() as f64 / seconds;
    let unit = if single { "statements" } else { "transactions" };
    println!(
        "  per second: {:.0} {unit}, {turns:.1} turns begun, {tokens:.0} tokens",
        used.statements
    );
    let [api, worker, postgres, own, all] = used.cores;
    let others = (all - api - worker - postgres - own).max(0.0);
    println!(
        "  cores: API {api:.2}, worker {worker:.2}, Postgres {postgres:.2}, benchmark {own:.2}, others {others:.2}
"
    );
    if listed {
        for (rate, statement) in &used.busiest {
            let text: String = statement.text.chars().take(90).collect();
            println!("  {rate:>7.1}/s {:>8.3} ms  {text}", statement.mean_ms);
        }
        println!();
    }
}

fn print_memory(when: &str, used: u64, per_socket: Option<f64>) {
    let used = used as f64 / 1024.0;
    let each = per_socket.map_or(String::new(), |each| format!(", {each:.1} KiB a socket"));
    println!("  {when:<18} {used:>6.1} MiB{each}");
}
