//! Sets: what many runs read that go together. A join of a few rows with a table may become one that reads the table.

use errand_core::jobs::job_id;
use errand_store::Transaction;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::blocks;

/// Calls a routine for rows that go together, in at most so many blocks; how many of them were `made`.
async fn reads_at_most(db: &mut Transaction, most: i64, call: &str, rows: &[Value]) -> i64 {
    let before = blocks(db).await;
    let row = sqlx::query(AssertSqlSafe(call.to_owned()))
        .bind(json!(rows))
        .fetch_one(&mut **db)
        .await;
    let made = row.expect(call).get(0);
    let read = blocks(db).await - before;
    assert!(read <= most, "{read} blocks: {call}");
    made
}

/// A turn of three users, with every transition made together. The transaction is the owner's.
pub(super) async fn turn(db: &mut Transaction) {
    let runs: Vec<(Uuid, String, Uuid)> = (1..4)
        .map(|n| (Uuid::now_v7(), format!("user-{n}"), Uuid::now_v7()))
        .collect();
    let asked: Vec<Value> = runs
        .iter()
        .map(|(run, user, conversation)| {
            json!({"run_id": run, "user_id": user, "new_conversation_id": conversation, "title": "t", "rejects_busy": false,
                   "message_id": Uuid::now_v7(), "content": "x", "key": run, "request_hash": "\\x01", "max_active": 10, "max_queued": 10,
                   "per_minute": 1000, "tokens_per_day": 0, "max_undecided": 10, "max_ready": 1000, "is_second_try": false})
        })
        .collect();
    let accept = "select count(*) from run_accept_all($1)";
    assert_eq!(reads_at_most(db, 1_500, accept, &asked).await, 3);
    let admitted = "update runs set status = 'running', attempt = 1 where id = $1";
    for (run, ..) in &runs {
        sqlx::query(admitted)
            .bind(run)
            .execute(&mut **db)
            .await
            .expect("running");
    }
    let step = |step: i32, run: &(Uuid, String, Uuid)| {
        json!({"run_id": run.0, "user_id": run.1, "conversation_id": run.2, "attempt": 1, "is_fenced": true, "step": step, "content": "x",
               "tool_calls": [], "input_tokens": 1, "output_tokens": 1, "usage_estimated": false, "model": "m", "cached_input_tokens": 0,
               "first_seq": step, "events": [{"type": "CUSTOM"}], "message_id": Uuid::now_v7(), "cut_off_input": 0, "cut_off_output": 0,
               "cut_off_estimated": false, "job_id": job_id(run.0), "max_ready": 4})
    };
    let steps: Vec<Value> = runs.iter().map(|run| step(1, run)).collect();
    assert_eq!(
        reads_at_most(
            db,
            400,
            "select cardinality(run_step_all($1))::bigint",
            &steps
        )
        .await,
        3
    );
    let ends: Vec<Value> = runs.iter().map(|run| step(2, run)).collect();
    let end = "select count(*) from run_finish_all($1) where admitted is not null";
    assert_eq!(reads_at_most(db, 1_500, end, &ends).await, 3);
}

/// What everybody who scrapes is told.
pub(super) async fn state(db: &mut Transaction) {
    let counted = "select ready + running + behind + length($1::jsonb::text) from queue_state(interval '0', 100000)";
    reads_at_most(db, 300, counted, &[]).await;
}
