//! A worker claims a run: it is `running`, and from here on only this attempt writes for it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::{Connection, StoreError, WriteError};
use crate::faults;

/// A run that a worker has claimed: it may write for it as this attempt.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The run.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// The attempt that the claim began: the fence of every write.
    pub attempt: i32,
    /// Attempts that were lost or failed before this one.
    pub lost_attempts: i32,
    /// The run whose message it answers: itself, or, for one that goes on from another, the first of the turn.
    pub root_run_id: Uuid,
    /// The run that it goes on from: one that waited for a decision, or failed, or was cancelled.
    pub parent_run_id: Option<Uuid>,
    /// The run that it goes on from was interrupted: it failed, or was cancelled.
    pub is_retry: bool,
    /// The root's place in the order of acceptance.
    pub position: i64,
    /// The user's message.
    pub message: String,
    /// When the message was accepted.
    pub said_at: DateTime<Utc>,
    /// The user's zone then, if it was known.
    pub said_in: Option<String>,
    /// When the run itself was accepted: the same, unless it goes on from another.
    pub created_at: DateTime<Utc>,
    /// The user's zone then.
    pub time_zone: Option<String>,
    /// Somebody has asked for it to be cancelled.
    pub cancel_requested: bool,
    /// The client has asked for a title of the conversation that the message begins.
    pub wants_title: bool,
    /// The user wants to be asked before a task is deleted.
    pub asks_before_deleting: bool,
}

/// Begins a new attempt at a run, if it is not over and this worker still holds its job.
///
/// From here on every earlier attempt is fenced off: its next write finds another attempt number and changes nothing.
///
/// # Errors
/// The database failed.
pub async fn claim(
    db: &mut Connection,
    id: Uuid,
    worker: &str,
) -> Result<Option<Claimed>, StoreError> {
    Ok(sqlx::query_as!(
        Claimed,
        r#"with job as (
             update apalis.jobs set status = 'Running'
             where id = $2 and lock_by = $3 and status in ('Queued', 'Running')
             returning id
         )
         update runs r
         set status = 'running', attempt = r.attempt + 1, started_at = coalesce(r.started_at, clock_timestamp())
         from messages m, runs root
         where r.id = $1 and r.status in ('queued', 'running') and r.admitted_at is not null
           and root.id = coalesce(r.root_run_id, r.id) and m.run_id = root.id and m.role = 'user'
           and exists (select 1 from job)
         returning r.id, r.conversation_id, r.user_id, r.attempt, r.attempt - 1 - r.handbacks as "lost_attempts!",
                   root.id as root_run_id, r.parent_run_id, root.position, m.content as message,
                   root.created_at as said_at, root.time_zone as said_in, r.created_at, r.time_zone,
                   exists (
                       select 1 from runs p where p.id = r.parent_run_id and p.status in ('failed', 'cancelled')
                   ) as "is_retry!",
                   r.cancel_requested_at is not null as "cancel_requested!",
                   coalesce(m.metadata -> 'auto_title' = 'true'::jsonb, false) as "wants_title!",
                   coalesce(m.metadata -> 'ask_before_deleting' = 'true'::jsonb, false) as "asks_before_deleting!""#,
        id,
        crate::jobs::job_id(id),
        worker
    )
    .fetch_optional(db)
    .await?)
}

/// Begins what an attempt writes for its run: proves that it still owns the run, keeps it so until the transaction ends (a
/// claim has to wait), and acts for the run's owner from here on.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the database failed.
pub async fn enter(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    attempt: i32,
) -> Result<(), WriteError> {
    let is_fenced = !faults::is_mutated(faults::NO_FENCE);
    sqlx::query!(
        "select act_for($2) from runs
         where id = $1 and user_id = $2 and (not $4 or (attempt = $3 and status = 'running'))
         for share",
        id,
        user_id,
        attempt,
        is_fenced
    )
    .fetch_optional(db)
    .await?
    .map(|_| ())
    .ok_or(WriteError::Fenced)
}

/// As [`enter`], in a transaction that acts for the owner already and ends the run: it waits for whatever is still being
/// written for the run, so that nothing is dated, counted or committed behind the end.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the database failed.
pub async fn fence(db: &mut Connection, id: Uuid, attempt: i32) -> Result<(), WriteError> {
    if faults::is_mutated(faults::NO_FENCE) {
        return Ok(());
    }
    sqlx::query_scalar!(
        "select 1 from runs where id = $1 and attempt = $2 and status = 'running' for no key update",
        id,
        attempt
    )
    .fetch_optional(db)
    .await?
    .map(|_| ())
    .ok_or(WriteError::Fenced)
}
