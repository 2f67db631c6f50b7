//! Growth: an installation with millions of finished runs takes hundreds more a second, and its tables stay as large as they are.
//!
//! `cargo measure growth`. The past is made in SQL; the present is written in SQL too, in the transactions that
//! API and worker make of a turn; what is purged is purged by a real worker, with short times. Exits with 1 if a table that should be flat
//! grew, a statement of a purge took more than 100 ms, or a query is planned otherwise than before.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod load;
mod plans;
mod statements;

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;
use errand_bench::{folder::with_folder, past};
use errand_devkit::{
    model::ScriptedModel,
    postgres::{Cluster, ClusterOptions, Shutdown},
    system::{Arguments, InProcess, migrated},
};
use plans::Plans;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

/// For the worker to stop.
const STOP: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Options {
    /// Finished runs of the past
    #[arg(long, default_value_t = 2_000_000)]
    runs: u32,
    /// Runs written in a second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of load
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Seconds that everything is kept which is kept for a time
    #[arg(long, default_value_t = 30)]
    keep: u64,
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
    let mut cluster = Cluster::start(ClusterOptions::durable(state)).await?;
    let url = migrated(&cluster, "errand").await?;
    let admin_url = cluster.admin_url("errand");
    statements::prepare(&admin_url).await?;
    cluster.shut_down(Shutdown::Fast).await?;
    cluster.start_again().await?;

    let mut admin = PgConnection::connect(&admin_url).await?;
    let begun = Instant::now();
    // A young installation: large enough that nothing is planned for tables of a page.
    let young = options.runs.min(50_000);
    past::make(&mut admin, 0..young, options.runs).await?;
    let warm = CancellationToken::new();
    let writing = tokio::spawn(load::write(url.clone(), options.rate, warm.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    warm.cancel();
    writing.await??;
    sqlx::raw_sql("analyze").execute(&mut admin).await?;
    let before = Plans::read(&url).await?;
    past::make(&mut admin, young..options.runs, options.runs).await?;
    let old = Plans::read(&url).await?;
    println!(
        "{} finished runs made in {:.0?}",
        options.runs,
        begun.elapsed()
    );

    statements::begin(&admin_url).await?;
    let stop = CancellationToken::new();
    let model = ScriptedModel::start().await?;
    let keep = format!("{}s", options.keep);
    let mut worker = Arguments::worker(&url).model(&model.base_url(), "x");
    for kept in [
        "--keep-events",
        "--keep-jobs",
        "--keep-keys",
        "--keep-calls",
    ] {
        worker = worker.with(kept, &keep);
    }
    let mut here = InProcess::default();
    here.worker(&worker).await?;
    let writing = tokio::spawn(load::write(url.clone(), options.rate, stop.clone()));
    let begun = Instant::now();
    until_rest(&mut admin).await?;
    println!("what was due of it purged in {:.0?}", begun.elapsed());
    let samples = watch(&url, Duration::from_secs(options.seconds)).await?;
    stop.cancel();
    let written = writing.await??;
    here.stop(STOP).await?;

    println!(
        "\n{written} runs written, {:.0} a second",
        written as f64 / begun.elapsed().as_secs_f64()
    );
    let flat = is_flat(&samples);
    let fast = statements::report(&admin_url).await?;
    let after = Plans::read(&url).await?;
    println!("\nplans: {} queries, as owner and as a user", before.len());
    let changes = [
        before.report_changes(&old, "with the past, against before it"),
        before.report_changes(&after, "after the load, against before the past"),
    ];
    admin.close().await?;
    cluster.stop().await?;
    Ok(flat && fast && changes == [0, 0])
}

/// Waits until a purge has come to its end.
async fn until_rest(db: &mut PgConnection) -> Result<()> {
    let rests = "select free_at > now() + interval '30 s' from periodic_work where name = 'purge'";
    while !sqlx::query_scalar(rests).fetch_one(&mut *db).await? {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Rows of what is kept for a time only.
const TABLES: [(&str, &str); 5] = [
    ("run_events", "select count(*) from run_events"),
    ("jobs", "select count(*) from apalis.jobs"),
    ("mcp_calls", "select count(*) from mcp_calls"),
    (
        "keys",
        "select count(*) from runs where finished_at > now() - interval '20 minutes' and idempotency_key is not null",
    ),
    (
        "dead rows",
        "select sum(n_dead_tup)::bigint from pg_stat_user_tables where relname in ('run_events', 'jobs', 'mcp_calls')",
    ),
];

/// Prints how many rows there are, every ten seconds.
async fn watch(url: &str, time: Duration) -> Result<Vec<[i64; TABLES.len()]>> {
    let mut db = PgConnection::connect(url).await?;
    print!("\n{:>7}", "s");
    for (name, _) in TABLES {
        print!(" {name:>11}");
    }
    println!(" {:>11} {:>11}", "purged MiB", "total MiB");
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < time {
        let mut sample = [0; TABLES.len()];
        for (count, (_, query)) in sample.iter_mut().zip(TABLES) {
            *count = sqlx::query_scalar(query).fetch_one(&mut db).await?;
        }
        let sizes: (i64, i64) = sqlx::query_as(
            "select (pg_total_relation_size('run_events') + pg_total_relation_size('apalis.jobs')
                     + pg_total_relation_size('mcp_calls')) / 1048576, pg_database_size(current_database()) / 1048576",
        )
        .fetch_one(&mut db)
        .await?;
        print!("{:>7.0}", begun.elapsed().as_secs_f64());
        for count in sample {
            print!(" {count:>11}");
        }
        println!(" {:>11} {:>11}", sizes.0, sizes.1);
        samples.push(sample);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    Ok(samples)
}

/// Whether no table had more rows in the second half of the samples than in the first, but for a tenth.
fn is_flat(samples: &[[i64; TABLES.len()]]) -> bool {
    let (first, second) = samples.split_at(samples.len() / 2);
    let most = |samples: &[[i64; TABLES.len()]], table: usize| {
        let counts = samples.iter().filter_map(|sample| sample.get(table));
        counts.copied().max().unwrap_or(0)
    };
    let mut flat = true;
    for (table, (name, _)) in TABLES.iter().enumerate().take(4) {
        let (before, after) = (most(first, table), most(second, table));
        let holds = after as f64 <= before as f64 * 1.1;
        println!(
            "{name}: at most {before}, then {after}{}",
            if holds { "" } else { ": GROWS" }
        );
        flat &= holds;
    }
    flat
}
