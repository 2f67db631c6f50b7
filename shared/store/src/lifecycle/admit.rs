//! Admission: which runs may be in the job queue.
//!
//! A run enters the queue only when its conversation is free and its user has fewer than `MAX_READY_RUNS` runs there;
//! until then it waits in `runs` and holds no worker. So one user's backlog never stands in front of the others.
//! Acceptance and the end of a run both happen under the user's lock, so neither can miss the other's rows.

use errand_core::hints::Hint;
use uuid::Uuid;

use super::super::{Connection, StoreError, Transaction};

/// Runs of one user that may wait for a decision; more messages are refused until some are decided or cancelled.
pub const MAX_UNDECIDED: i64 = 100;

/// Acts for the user and takes the user's lock until the transaction ends: acceptance, admission and limits of one user
/// are serial.
///
/// Behind a pooler no start-up option limits what a client that went silent keeps, so this transaction limits itself.
///
/// # Errors
/// The database failed, or the lock was not free in time.
pub(crate) async fn lock_user(db: &mut Connection, user_id: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "select set_config('statement_timeout', '5s', true) as statements,
                set_config('lock_timeout', '4s', true) as locks,
                set_config('idle_in_transaction_session_timeout', '5s', true) as idle,
                act_for($1),
                pg_advisory_xact_lock(hashtextextended($1, 1))",
        user_id
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Puts the user's runs that may start now into the job queue, as `run_admit` has it, after something has changed in a conversation.
/// Returns them. The caller holds the user's lock.
pub async fn admit(
    tx: &mut Transaction,
    user_id: &str,
    conversation_id: Uuid,
    max_ready: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let admitted = sqlx::query_scalar!(
        r#"select run_admit($1, $2, $3) as "admitted!""#,
        user_id,
        conversation_id,
        max_ready
    )
    .fetch_one(&mut **tx)
    .await?;
    if !admitted.is_empty() {
        tx.tell(Hint::JobReady);
    }
    Ok(admitted)
}

/// How far usage is counted, at most; 0: not at all.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that are not over.
    pub active: i64,
    /// Runs that have not been started.
    pub queued: i64,
    /// Runs accepted in the last minute.
    pub per_minute: i64,
}

/// How much a user has asked for lately, counted no further than the bounds.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Runs that are not over.
    pub active: i64,
    /// Runs that have not been started, or were given back.
    pub queued: i64,
    /// Runs that wait for the user's decision; they hold no worker and are not active.
    pub undecided: i64,
    /// Runs accepted in the last minute.
    pub last_minute: i64,
    /// Seconds until one run less than the bound is in the window.
    pub window_frees_in: f64,
    /// Tokens of the runs that ended today (UTC).
    pub tokens_today: i64,
    /// Seconds until tomorrow.
    pub day_ends_in: f64,
}

/// The user's usage, as `run_usage` has it. Exact up to the bounds while the caller holds the user's lock.
pub async fn usage(
    db: &mut Connection,
    user_id: &str,
    bounds: Bounds,
) -> Result<Usage, StoreError> {
    Ok(sqlx::query_as!(
        Usage,
        r#"select active as "active!", queued as "queued!", undecided as "undecided!", last_minute as "last_minute!",
                  window_frees_in as "window_frees_in!", tokens_today as "tokens_today!", day_ends_in as "day_ends_in!"
           from run_usage($1, $2, $3, $4, $5)"#,
        user_id,
        bounds.active,
        bounds.queued,
        bounds.per_minute,
        MAX_UNDECIDED
    )
    .fetch_one(db)
    .await?)
}
