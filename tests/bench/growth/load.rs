//! The present: runs from acceptance to end, in the transactions that API and worker make of a turn, many runs in each statement.

use std::time::Duration;

use anyhow::Result;
use errand_core::{ids::new_id, jobs::job_id};
use sqlx::{Connection, PgConnection};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Batches of runs in a second.
const TICKS: u32 = 10;

/// Writes `rate` runs a second until `stop`; returns how many.
pub(crate) async fn write(url: String, rate: u32, stop: CancellationToken) -> Result<u64> {
    let mut db = PgConnection::connect(&url).await?;
    sqlx::query("insert into apalis.workers (id, worker_type, storage_name, last_seen) values ('bench', 'bench', 'bench', now()) on conflict do nothing")
        .execute(&mut db)
        .await?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / TICKS);
    // What was missed is made up for.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut written = 0;
    while !stop.is_cancelled() {
        tick.tick().await;
        turns(&mut db, (rate / TICKS) as usize).await?;
        written += u64::from(rate / TICKS);
    }
    Ok(written)
}

async fn turns(db: &mut PgConnection, count: usize) -> Result<()> {
    let runs: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
    let conversations: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
    let jobs: Vec<String> = runs.iter().map(|&run| job_id(run)).collect();
    for statements in TRANSACTIONS {
        let mut tx = db.begin().await?;
        for &statement in *statements {
            sqlx::query(statement)
                .bind(&runs)
                .bind(&conversations)
                .bind(&jobs)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// `n` are the runs with their conversations, users and jobs.
macro_rules! of_runs {
    ($statement:literal) => {
        concat!(
            "with n as (select run_id, conversation_id, job_id, 'user-' || abs(hashtext(run_id::text)) % 2000 as user_id
                        from unnest($1::uuid[], $2::uuid[], $3::text[]) as u (run_id, conversation_id, job_id)) ",
            $statement
        )
    };
}

const TRANSACTIONS: &[&[&str]] = &[
    // Acceptance.
    &[
        of_runs!("insert into conversations (id, user_id, title) select conversation_id, user_id, 'hello' from n"),
        of_runs!(
            "insert into runs (id, conversation_id, user_id, idempotency_key, request_hash)
             select run_id, conversation_id, user_id, run_id::text, sha256('x') from n"
        ),
        of_runs!(
            "insert into messages (id, conversation_id, user_id, run_id, role, content)
             select gen_random_uuid(), conversation_id, user_id, run_id, 'user', 'some words that somebody says' from n"
        ),
        of_runs!("update runs set admitted_at = clock_timestamp() from n where id = run_id"),
        // Of a queue that the worker does not take from.
        of_runs!(
            "insert into apalis.jobs (job, id, job_type, run_at, priority)
             select convert_to('{\"run_id\":\"' || run_id || '\"}', 'UTF8'), job_id, 'bench', now(), 0 from n"
        ),
    ],
    // The claims of job and run.
    &[of_runs!(
        "update apalis.jobs set status = 'Queued', lock_by = 'bench', lock_at = now() from n where id = job_id"
    )],
    &[
        of_runs!("update apalis.jobs set status = 'Running' from n where id = job_id"),
        of_runs!("update runs set status = 'running', attempt = attempt + 1, started_at = clock_timestamp() from n where id = run_id"),
    ],
    // Words, a step, more words.
    &[of_runs!(
        "insert into run_events (run_id, seq, event, bytes)
         select run_id, seq, '{\"type\": \"TEXT_MESSAGE_CONTENT\", \"messageId\": \"x\", \"delta\": \"some words\"}', 80
         from n, generate_series(1, 6) seq"
    )],
    &[
        of_runs!(
            "insert into steps (run_id, step, attempt, content, tool_calls) select run_id, 1, 1, 'some words', '[]' from n"
        ),
        of_runs!(
            "insert into run_events (run_id, seq, event, bytes)
             select run_id, seq, '{\"type\": \"TEXT_MESSAGE_CONTENT\", \"messageId\": \"x\", \"delta\": \"some words\"}', 80
             from n, generate_series(7, 10) seq"
        ),
    ],
    // The end.
    &[
        of_runs!(
            "insert into messages (id, conversation_id, user_id, run_id, role, content)
             select gen_random_uuid(), conversation_id, user_id, run_id, 'assistant', 'some words that the model says' from n"
        ),
        of_runs!(
            "insert into run_events (run_id, seq, event, bytes)
             select run_id, seq, '{\"type\": \"RUN_FINISHED\"}', 30 from n, generate_series(11, 12) seq"
        ),
        of_runs!(
            "update runs set status = 'completed', finished_at = clock_timestamp(), input_tokens = 400, output_tokens = 20, model_calls = 1
             from n where id = run_id"
        ),
        of_runs!(
            "insert into usage_days (user_id, day, tokens)
             select user_id, (now() at time zone 'utc')::date, 420 from n group by user_id
             on conflict (user_id, day) do update set tokens = usage_days.tokens + excluded.tokens"
        ),
        of_runs!("update apalis.jobs set status = 'Done', done_at = now(), last_result = '{\"Ok\":null}' from n where id = job_id"),
    ],
    // As many calls from outside.
    &[
        of_runs!(
            "insert into mcp_calls (id, user_id, tool_name, parameters) select run_id, user_id, 'list_tasks', '{}' from n"
        ),
        of_runs!("update mcp_calls set result = '{\"success\": true}', duration_ms = 1 from n where id = run_id"),
    ],
];
