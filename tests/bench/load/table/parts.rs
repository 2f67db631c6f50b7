//! The longer parts: a slow model, more processes, long conversations, a long past.

use std::time::Duration;

use anyhow::{Result, ensure};
use errand_bench::{model::Pace, past as made};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{TableOptions, keep};
use crate::{
    case::Case,
    figures::Report,
    print,
    run::Loop,
    system::{Setting, System},
};

/// Turns in flight where their number is not what is asked about.
const IN_FLIGHT: usize = 32;
/// The same with long conversations, of which each has one.
const LONG: usize = 8;

/// Longer than a purge takes.
const PURGED: Duration = Duration::from_secs(600);

/// Many turns that wait for the model, each of whose answers takes a second.
pub(super) async fn slow_model(
    numbers: &[usize],
    options: &TableOptions,
    system: &System,
    report: &mut Report,
) -> Result<()> {
    println!("\na model whose answers take a second");
    print::head();
    let pace = Pace {
        first: Duration::from_secs(1),
        ..Pace::default()
    };
    for &runs in numbers {
        // Memory that earlier ones have used would not show.
        let setting = Setting {
            runs,
            pace,
            ..Setting::default()
        };
        let programs = system.start(setting).await?;
        let mut case = options.case(runs).at_pace(pace);
        case.name = format!("1 s model, {runs} in flight");
        let row = case.timed(system, &programs).await?;
        keep(report, row.clone());
        print::waiting(&row, runs, case.ideal());
        programs.stop().await?;
    }
    Ok(())
}

/// More workers, more APIs.
pub(super) async fn processes(
    options: &TableOptions,
    system: &System,
    report: &mut Report,
) -> Result<()> {
    println!("\nmore processes, {IN_FLIGHT} in flight");
    print::head();
    for (apis, workers) in [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4)] {
        let setting = Setting {
            apis,
            workers,
            ..Setting::default()
        };
        let programs = system.start(setting).await?;
        let mut case = options.case(IN_FLIGHT);
        case.name = format!("{apis} API, {workers} workers");
        keep(report, case.timed(system, &programs).await?);
        programs.stop().await?;
    }
    Ok(())
}

/// Long conversations.
pub(super) async fn messages(
    numbers: &[i32],
    options: &TableOptions,
    system: &System,
    report: &mut Report,
) -> Result<()> {
    println!("\nlong conversations, {LONG} in flight, each in its own");
    print::head();
    let programs = system.start(Setting::default()).await?;
    for &messages in numbers {
        let mut case = Case::new(Loop::Closed(LONG), options.time());
        case.name = format!("{messages} messages");
        case.users = LONG;
        case.turns = u32::MAX;
        case.past = vec![messages / 2];
        keep(report, case.timed(system, &programs).await?);
    }
    programs.stop().await
}

/// A long past of other users.
pub(super) async fn past(
    numbers: &[u32],
    options: &TableOptions,
    system: &System,
    report: &mut Report,
) -> Result<()> {
    println!("\nfinished runs of others, {IN_FLIGHT} in flight");
    print::head();
    let mut db = PgConnection::connect(system.database()).await?;
    let mut there = 0;
    for &runs in std::iter::once(&0).chain(numbers) {
        if runs > there {
            made::make(&mut db, there..runs, runs).await?;
            there = runs;
        }
        let programs = system.start(Setting::default()).await?;
        until_purged(&mut db).await?;
        let mut case = options.case(IN_FLIGHT);
        case.name = format!("{runs} finished runs");
        keep(report, case.timed(system, &programs).await?);
        programs.stop().await?;
    }
    db.close().await?;
    Ok(())
}

/// Waits until the worker has purged what is due of a past: that is not what is measured.
async fn until_purged(db: &mut PgConnection) -> Result<()> {
    let rests = "select count(*) > 0 from periodic_work where name = 'purge' and free_at > now() + interval '30 s'";
    let begun = Instant::now();
    while !sqlx::query_scalar(rests).fetch_one(&mut *db).await? {
        ensure!(
            begun.elapsed() < PURGED,
            "the worker does not finish its purge"
        );
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
