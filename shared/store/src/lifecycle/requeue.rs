//! Requeue: an operator's second chance for a run that failed.

use errand_core::hints::Hint;
use uuid::Uuid;

use super::{RunStatus, admit};
use crate::{StoreError, Transaction, queue::jobs};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// The run waits for a worker again.
    Queued,
    /// There is no such run.
    Unknown,
    /// It has another status than `failed`, and stays as it is.
    NotFailed(RunStatus),
    /// Its user has retried it: this run has gone on from it, and the turn is that one's.
    Continued(Uuid),
}

/// Opens a failed run again, as part of the caller's transaction. Its steps and tool calls stay: the next attempt goes on
/// behind them and repeats none. Attempts count from zero again; its place in the conversation is the old one.
pub async fn requeue(
    tx: &mut Transaction,
    run_id: Uuid,
    max_ready: i64,
) -> Result<Requeued, StoreError> {
    let Some(run) = sqlx::query!(
        "select r.user_id, r.conversation_id from runs r join conversations v on v.id = r.conversation_id and v.deleted_at is null
         where r.id = $1",
        run_id
    )
    .fetch_optional(&mut **tx)
    .await?
    else {
        return Ok(Requeued::Unknown);
    };
    // The same order of locks as acceptance: the user, then the run.
    admit::lock_user(tx, &run.user_id).await?;
    let Some(now) = sqlx::query!(
        r#"select r.status as "status: RunStatus", (select c.id from runs c where c.parent_run_id = r.id) as continued_by
         from runs r join conversations v on v.id = r.conversation_id and v.deleted_at is null
         where r.id = $1 for update of r"#,
        run_id
    )
    .fetch_optional(&mut **tx)
    .await?
    else {
        return Ok(Requeued::Unknown);
    };
    if now.status != RunStatus::Failed {
        return Ok(Requeued::NotFailed(now.status));
    }
    if let Some(run_id) = now.continued_by {
        return Ok(Requeued::Continued(run_id));
    }
    sqlx::query!(
        "update runs
         set status = 'queued', finished_at = null, error_code = null, error_message = null,
             admitted_at = null, cancel_requested_at = null, handbacks = attempt
         where id = $1",
        run_id
    )
    .execute(&mut **tx)
    .await?;
    jobs::forget(tx, run_id).await?;
    admit::admit(tx, &run.user_id, run.conversation_id, max_ready).await?;
    tx.tell(Hint::Conversation(run.conversation_id));
    Ok(Requeued::Queued)
}
