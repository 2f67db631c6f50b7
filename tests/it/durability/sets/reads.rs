//! What a set reads grows with the set and not with the tables, also in a database that is so new that no table has statistics.

use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::alike::{answers, asked, begin_worker, claimed, ends, jobs, together};
use crate::system::{database, rows};

const USERS: usize = 10;
/// Rows of `runs` that a transition may read for each run of a set: itself, its keys, what its user has at work.
const ENOUGH: i64 = 12;

/// Messages of these users, from this number on.
fn messages(first: usize) -> Vec<Value> {
    (0..USERS)
        .map(|n| asked(first + n, &format!("user-{n}"), &json!({})))
        .collect()
}

/// Takes runs from their messages to their ends, in a transaction; how many rows of `runs` each transition read.
async fn turns(db: &PgPool, first: usize) -> Vec<(&'static str, i64)> {
    rows::execute(db, "begin").await;
    let mut read = vec![("before", rows_read(db).await)];
    together(db, "run_accepts", &messages(first), false).await;
    read.push(("run_accepts", rows_read(db).await));
    let runs = claimed(db).await;
    assert_eq!(runs.len(), USERS);
    read.push(("run_claims", rows_read(db).await));
    together(db, "run_steps", &answers(&runs, 1, |_| json!({})), false).await;
    read.push(("run_steps", rows_read(db).await));
    let jobs = jobs(db, &runs).await;
    together(db, "run_finishes", &ends(&runs, &jobs), false).await;
    read.push(("run_finishes", rows_read(db).await));
    rows::execute(db, "commit").await;
    read.windows(2)
        .map(|two| (two[1].0, two[1].1 - two[0].1))
        .collect()
}

/// Rows of `runs` that this connection has read. It is told and forgotten between two transactions, not in one.
async fn rows_read(db: &PgPool) -> i64 {
    sqlx::query_scalar("select coalesce(seq_tup_read + idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = 'runs'")
        .fetch_one(db)
        .await
        .expect("statistics")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_reads_the_runs_it_names_and_no_others() {
    // One connection, so that all is in its transactions and plans that are kept are those of the first turns.
    let one = PgPoolOptions::new().max_connections(1);
    let db = one.connect(&database().await).await.expect("connects");
    begin_worker(&db).await;
    rows::execute(&db, "alter table runs set (autovacuum_enabled = off)").await;
    for first in [100, 200] {
        turns(&db, first).await;
    }
    let more = "insert into runs overriding user value
        select (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'created_at', '2020-01-01'))).*
        from runs r, generate_series(1, 100) where r.finished_at is not null";
    rows::execute(&db, more).await;
    for (transition, read) in turns(&db, 300).await {
        assert!(
            read <= ENOUGH * USERS as i64,
            "{transition} read {read} rows for {USERS} runs"
        );
    }
}
