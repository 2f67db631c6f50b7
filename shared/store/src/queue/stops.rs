//! What an operator stops: the whole queue (a pause), or one worker (a drain).
//!
//! `run_claims` reads both, so they hold for every worker from the commit on, whatever that worker has heard. A claim that has read them
//! before is waited for: once a stop is committed, no claim is under way that does not know of it.

use chrono::{DateTime, Utc};
use errand_core::{hints::Hint, jobs::QUEUE};
use serde::Serialize;

use crate::{Connection, StoreError, Transaction};

/// Characters of the name of who asked that are kept.
const MAX_NAME: usize = 200;

/// Since when something is stopped, and who wanted it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// When it was asked for.
    pub since: DateTime<Utc>,
    /// Who asked for it.
    pub by: String,
}

/// What time it is for the database.
///
/// # Errors
/// The database failed.
pub async fn now(db: &mut Connection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(db)
        .await?)
}

/// The pause; none if workers take runs.
///
/// # Errors
/// The database failed.
pub async fn paused(db: &mut Connection) -> Result<Option<Stop>, StoreError> {
    Ok(sqlx::query_as!(
        Stop,
        "select since, asked_by as by from queue_pause where is_only"
    )
    .fetch_optional(db)
    .await?)
}

/// Pauses the queue, as part of the caller's transaction: no worker takes any run. One that is paused stays as it is. Returns the pause.
///
/// # Errors
/// The database failed, or a claim under way did not end within 4 s.
pub async fn pause(tx: &mut Transaction, by: &str) -> Result<Stop, StoreError> {
    wait_no_longer(tx).await?;
    sqlx::raw_sql("lock table queue_pause in access exclusive mode")
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "insert into queue_pause (asked_by) values ($1) on conflict do nothing",
        name(by)
    )
    .execute(&mut **tx)
    .await?;
    Ok(sqlx::query_as!(
        Stop,
        "select since, asked_by as by from queue_pause where is_only"
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Ends the pause, and has the workers told. Returns it; none if there was none.
///
/// # Errors
/// The database failed.
pub async fn resume(tx: &mut Transaction) -> Result<Option<Stop>, StoreError> {
    let ended = sqlx::query_as!(
        Stop,
        "delete from queue_pause where is_only returning since, asked_by as by"
    )
    .fetch_optional(&mut **tx)
    .await?;
    tx.tell(Hint::JobReady);
    Ok(ended)
}

/// Has a worker take no more runs, and end when those that it has are over. One that drains already stays as it is. Returns the drain; none if
/// there is no such worker, or it has ended.
///
/// # Errors
/// The database failed, or a claim under way did not end within 4 s.
pub async fn drain(
    tx: &mut Transaction,
    worker: &str,
    by: &str,
) -> Result<Option<Stop>, StoreError> {
    wait_no_longer(tx).await?;
    sqlx::raw_sql("lock table worker_drains in access exclusive mode")
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "insert into worker_drains (worker, asked_by)
         select w.id, $2 from apalis.workers w where w.id = $1 and w.worker_type = $3 and w.layers <> 'slots=0'
         on conflict do nothing",
        worker,
        name(by),
        QUEUE
    )
    .execute(&mut **tx)
    .await?;
    let drain = sqlx::query_as!(
        Stop,
        "select d.since, d.asked_by as by from worker_drains d join apalis.workers w on w.id = d.worker
         where d.worker = $1 and w.layers <> 'slots=0'",
        worker
    )
    .fetch_optional(&mut **tx)
    .await?;
    if drain.is_some() {
        tx.tell(Hint::Drain);
    }
    Ok(drain)
}

/// All claims wait behind one that waits for the lock.
async fn wait_no_longer(tx: &mut Transaction) -> Result<(), StoreError> {
    sqlx::query!("select set_config('lock_timeout', '4s', true) as locks")
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Whatever it is called by, the database can keep it.
fn name(by: &str) -> String {
    let name: String = by
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME)
        .collect();
    match name.is_empty() {
        true => "unknown".to_owned(),
        false => name,
    }
}
