//! Deleting a conversation: what is under way is cancelled, and from the commit on the conversation is not there for anybody. Its rows go
//! later (`purge`).

use uuid::Uuid;

use crate::{
    Connection, StoreError, Transaction, WriteError, lifecycle, read::conversations, summaries,
};

/// Runs that one step cancels, so that a transaction stays short however long a queue is.
const STEP: i64 = 50;

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is deleted.
    Done,
    /// Some runs are cancelled, and there are more: once more, in another transaction.
    NotYet,
    /// The user has no such conversation.
    Unknown,
}

/// Cancels what is not over in a conversation and deletes it, or takes a step towards that. The caller holds the user's lock, and
/// commits.
///
/// A run that waits, in whatever line, ends here. One at work ends as soon as its worker hears of it, with all that it took, as with any
/// cancel; the purge waits for that.
pub async fn delete(
    tx: &mut Transaction,
    user_id: &str,
    conversation_id: Uuid,
    max_ready: i64,
) -> Result<Deleted, WriteError> {
    if !conversations::exists(tx, conversation_id, user_id).await? {
        return Ok(Deleted::Unknown);
    }
    // The last one first, so that no end of one lets another begin.
    let open = sqlx::query_scalar!(
        "select id from runs
         where conversation_id = $1 and user_id = $2 and finished_at is null
           and (status <> 'running' or cancel_requested_at is null)
         order by position desc
         limit $3",
        conversation_id,
        user_id,
        STEP
    )
    .fetch_all(&mut **tx)
    .await?;
    for run_id in &open {
        lifecycle::cancel(tx, user_id, *run_id, max_ready).await?;
    }
    if i64::try_from(open.len()).is_ok_and(|cancelled| cancelled == STEP) {
        return Ok(Deleted::NotYet);
    }
    hide(tx, user_id, conversation_id).await?;
    summaries::end(tx, user_id, conversation_id).await?;
    Ok(Deleted::Done)
}

/// The name that a client gave it is free for another one.
async fn hide(db: &mut Connection, user_id: &str, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update conversations set deleted_at = clock_timestamp(), thread_name = null where id = $1 and user_id = $2",
        id,
        user_id
    )
    .execute(db)
    .await?;
    Ok(())
}
