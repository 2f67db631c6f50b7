//! A run that failed or was cancelled is gone on from, behind what it has done.

use errand_core::hints::Hint;
use uuid::Uuid;

use super::{
    super::{Connection, StoreError, Transaction},
    RunStatus,
    accept::{self, Successor},
    admit,
};

/// What can be said of a run that somebody wants to be retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retriable {
    /// It is the last of its turn and did not come to its end.
    Yes {
        /// Its conversation.
        conversation_id: Uuid,
    },
    /// The user has no such run.
    Unknown,
    /// It is not over, or it completed.
    NotStopped,
    /// This run has gone on from it.
    Continued {
        /// The run.
        run_id: Uuid,
        /// Its conversation.
        conversation_id: Uuid,
    },
}

/// Looks whether a run can be retried, and keeps it so until the transaction ends. The caller holds the user's lock.
pub async fn retriable(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
) -> Result<Retriable, StoreError> {
    let run = sqlx::query!(
        r#"select r.conversation_id, r.status as "status: RunStatus",
                  (select c.id from runs c where c.parent_run_id = r.id and c.user_id = r.user_id) as continued_by
           from runs r join conversations v on v.id = r.conversation_id and v.deleted_at is null
           where r.id = $1 and r.user_id = $2
           for update of r"#,
        run_id,
        user_id
    )
    .fetch_optional(db)
    .await?;
    let Some(run) = run else {
        return Ok(Retriable::Unknown);
    };
    let conversation_id = run.conversation_id;
    Ok(match (run.status, run.continued_by) {
        (_, Some(run_id)) => Retriable::Continued {
            run_id,
            conversation_id,
        },
        (RunStatus::Failed | RunStatus::Cancelled, None) => Retriable::Yes { conversation_id },
        _ => Retriable::NotStopped,
    })
}

/// Accepts the run that goes on behind one that [`retriable`] has found to be retriable in this transaction. It has no message and no
/// step of its own: its worker reads the whole turn and repeats none of an earlier run's calls.
///
/// # Errors
/// The new run's id is taken (`runs_pkey`).
pub async fn retry(
    tx: &mut Transaction,
    user_id: &str,
    conversation_id: Uuid,
    successor: Successor<'_>,
    max_ready: i64,
) -> Result<(), StoreError> {
    accept::accept_successor(tx, user_id, successor).await?;
    admit::admit(tx, user_id, conversation_id, max_ready).await?;
    tx.tell(Hint::Conversation(conversation_id));
    Ok(())
}
