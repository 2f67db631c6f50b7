//! What watching takes of the machine's processors: those of Postgres and of the programs that are watched, with nothing else to do.
//!
//! A share of turns a second cannot be told apart from what a machine does besides, if it is a hundredth. Processor time can: what is used while
//! nobody watches is some milliseconds a minute.

use std::{thread::available_parallelism, time::Duration};

use anyhow::Result;
use sqlx::{Connection, PgConnection, Row};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    rest::COUNTS,
    system::{Programs, System},
    used::{Gauges, KINDS},
};

/// For programs to come to rest.
const SETTLE: Duration = Duration::from_secs(10);

/// Of [`KINDS`]: Postgres, the API, the worker. The others watch.
const WATCHED: usize = 3;

/// Statements that are shown, and characters of each.
const SHOWN: i64 = 12;
const WIDTH: i32 = 130;

/// What watching takes, measured over this time with and without.
pub(crate) async fn of(
    system: &System,
    programs: &Programs,
    watching: impl AsyncFnOnce(&mut JoinSet<Result<()>>) -> Result<()>,
    over: Duration,
) -> Result<f64> {
    let mut db = PgConnection::connect(system.maintenance()).await?;
    let create = format!("create extension if not exists {COUNTS}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut db)
        .await?;
    let mut gauges = Gauges::of(system, programs).await?;
    sleep(SETTLE).await;
    gauges.begin().await?;
    sleep(over).await;
    let alone = gauges.end().await?.processor;

    let mut watchers = JoinSet::new();
    watching(&mut watchers).await?;
    // The first look fills caches.
    sleep(SETTLE).await;
    sqlx::query("select pg_stat_statements_reset()")
        .execute(&mut db)
        .await?;
    gauges.begin().await?;
    sleep(over).await;
    let watched = gauges.end().await?.processor;
    if let Some(failed) = watchers.try_join_next() {
        failed??;
    }
    statements(&mut db, over).await?;

    let minutes = over.as_secs_f64() / 60.0;
    let mut all = 0.0;
    for (nth, kind) in KINDS.iter().enumerate().take(WATCHED) {
        let each = |used: &[Duration]| used[nth].as_secs_f64() * 1000.0 / minutes;
        let (alone, watched) = (each(&alone), each(&watched));
        println!(
            "{kind:>10}: {watched:.0} ms of processor time a minute while it is watched, {alone:.0} while not"
        );
        all += watched - alone;
    }
    let processors = available_parallelism()?.get() as f64;
    Ok(all / (60_000.0 * processors))
}

/// What took longest in the database.
async fn statements(db: &mut PgConnection, over: Duration) -> Result<()> {
    let most = sqlx::query(
        "select s.calls, s.total_exec_time, left(regexp_replace(s.query, '\\s+', ' ', 'g'), $2)
         from pg_stat_statements s join pg_database d on d.oid = s.dbid
         where d.datname = 'errand' order by s.total_exec_time desc limit $1",
    );
    let most = most.bind(SHOWN).bind(WIDTH).fetch_all(db).await?;
    let minutes = over.as_secs_f64() / 60.0;
    println!("\n{:>9} {:>11}  statement", "a minute", "ms a minute");
    for row in &most {
        let (calls, time, query): (i64, f64, String) = (row.get(0), row.get(1), row.get(2));
        println!(
            "{:>9.0} {:>11.1}  {query}",
            calls as f64 / minutes,
            time / minutes
        );
    }
    println!();
    Ok(())
}
