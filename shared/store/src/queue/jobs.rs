//! Jobs in apalis's table: enqueued in our transactions, and ended in them.
//!
//! What must commit together with a run's own rows and is in none of the routines: enqueue again, done, back for another try.

use std::time::Duration;

use apalis_core::task::{builder::TaskBuilder, task_id::TaskId};
use errand_core::{
    hints::Hint,
    jobs::{QUEUE, RunAgent, job_id},
};
use uuid::Uuid;

use crate::{Connection, StoreError, Transaction};

/// Puts one job for each run into the queue, as part of the caller's transaction. `now` is the server's time in
/// seconds: a job must be due by its clock, whatever ours says.
pub async fn enqueue(tx: &mut Transaction, runs: &[Uuid], now: i64) -> Result<(), StoreError> {
    if runs.is_empty() {
        return Ok(());
    }
    let due = u64::try_from(now).unwrap_or(0);
    let tasks = runs
        .iter()
        .map(|&run_id| {
            let payload = serde_json::to_vec(&RunAgent { run_id })
                .map_err(|error| StoreError::Queue(error.to_string()))?;
            Ok(TaskBuilder::new(payload)
                .task_id(TaskId::from_ulid(ulid::Ulid::from(run_id.as_u128())))
                .run_at_timestamp(due)
                .build())
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    apalis_postgres::queries::push_tasks(&mut **tx, QUEUE, tasks).await?;
    tx.tell(Hint::JobReady);
    Ok(())
}

/// Deletes a run's job, whoever holds it: the run's end decides, the job only delivered it. Another can be enqueued under its id.
pub async fn forget(db: &mut Connection, run_id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("delete from apalis.jobs where id = $1", job_id(run_id))
        .execute(db)
        .await?;
    Ok(())
}

/// Gives a run's job back, to be claimed again after `delay`.
pub async fn release(
    tx: &mut Transaction,
    run_id: Uuid,
    delay: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update apalis.jobs
         set status = 'Pending', lock_by = null, lock_at = null, done_at = null, attempts = attempts + 1,
             run_at = now() + make_interval(secs => $2) - interval '1 second'
         where id = $1 and status in ('Queued', 'Running')",
        job_id(run_id),
        delay.as_secs_f64()
    )
    .execute(&mut **tx)
    .await?;
    if delay.is_zero() {
        tx.tell(Hint::JobReady);
    }
    Ok(())
}

/// Takes jobs whose id can be no run's, which apalis cannot even read, out of the queue: one would spoil each claim that it is part of.
/// Returns how many.
pub async fn kill_unreadable(db: &mut Connection) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        r#"update apalis.jobs set status = 'Killed', done_at = now(), last_result = '{"Err":"malformed"}'
           where id = any (array(
               (select id from apalis.jobs
                where job_type = $1 and (status = 'Pending' or status = 'Failed' and attempts < max_attempts)
                  and run_of_job(id) is null
                limit 100)
               union all
               (select id from apalis.jobs
                where job_type = $1 and status in ('Queued', 'Running') and lock_by is not null
                  and run_of_job(id) is null
                limit 100)
           ))"#,
        QUEUE
    )
    .execute(db)
    .await?
    .rows_affected())
}
