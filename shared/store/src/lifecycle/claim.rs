//! A worker claims a run: it is `running`, and from here on only this attempt writes for it.

use chrono::{DateTime, Utc};
use errand_core::{events::PROTOCOL_VERSION, faults};
use uuid::Uuid;

use crate::{
    Connection, StoreError, WriteError,
    read::history::{self, History},
};

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
    /// Where it belongs to in a trace (W3C `traceparent`), if anybody traces.
    pub traceparent: Option<String>,
}

/// A run that was claimed, and what its worker has to read first.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The run.
    pub run: Claimed,
    /// What its conversation said before; none if that could not be read along.
    pub history: Option<History>,
}

/// Takes up to `limit` jobs for a worker and begins an attempt at the run of each, as `run_claims` has it; with up to `history` earlier turns.
///
/// From here on every earlier attempt is fenced off: its next write finds another attempt number and changes nothing. A first attempt is told
/// of, as the run's first event.
///
/// # Errors
/// The database failed: which jobs were taken is unknown, and the worker's lease gives them back.
pub async fn claim(
    db: &mut Connection,
    worker: &str,
    limit: i32,
    history: i64,
) -> Result<Vec<Taken>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", conversation_id as "conversation_id!", user_id as "user_id!", attempt as "attempt!",
                  lost_attempts as "lost_attempts!", root_run_id as "root_run_id!", parent_run_id, is_retry as "is_retry!",
                  "position" as "position!", message as "message!", said_at as "said_at!", said_in, created_at as "created_at!", time_zone,
                  cancel_requested as "cancel_requested!", wants_title as "wants_title!", asks_before_deleting as "asks_before_deleting!",
                  traceparent, history::text
           from run_claims($1, $2, $3, $4)"#,
        worker,
        limit,
        history,
        PROTOCOL_VERSION
    )
    .fetch_all(db)
    .await?;
    let taken = rows.into_iter().map(|row| Taken {
        run: Claimed {
            id: row.id,
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            attempt: row.attempt,
            lost_attempts: row.lost_attempts,
            root_run_id: row.root_run_id,
            parent_run_id: row.parent_run_id,
            is_retry: row.is_retry,
            position: row.position,
            message: row.message,
            said_at: row.said_at,
            said_in: row.said_in,
            created_at: row.created_at,
            time_zone: row.time_zone,
            cancel_requested: row.cancel_requested,
            wants_title: row.wants_title,
            asks_before_deleting: row.asks_before_deleting,
            traceparent: row.traceparent,
        },
        // One that cannot be understood is read again by its worker, which says so.
        history: row.history.and_then(|turns| history::read(&turns).ok()),
    });
    Ok(taken.collect())
}

/// Proves that an attempt still owns its run, in a transaction that acts for the owner and ends the run. It waits for whatever is still being
/// written for the run, so that nothing is dated, counted or committed behind the end.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it.
pub(super) async fn lock_for_finish(
    db: &mut Connection,
    id: Uuid,
    attempt: i32,
) -> Result<(), WriteError> {
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
