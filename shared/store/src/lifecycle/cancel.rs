//! A run is cancelled: at once if nobody works on it, else as soon as its worker hears of it.

use errand_core::hints::Hint;
use uuid::Uuid;

use super::{
    RunStatus,
    finish::{CANCELLED, after_end, closing, end},
};
use crate::{Transaction, WriteError, events, read::usage::Tokens};

/// Asks for a run to be cancelled: a waiting one ends here and now, one at work as soon as its worker hears of it.
///
/// Returns the run's status afterwards; none if the user has no such run. A run that is over stays as it is.
/// The caller holds the user's lock.
pub async fn cancel(
    tx: &mut Transaction,
    user_id: &str,
    run_id: Uuid,
    max_ready: i64,
) -> Result<Option<RunStatus>, WriteError> {
    let run = sqlx::query!(
        r#"select r.status as "status: RunStatus", r.conversation_id, r.parent_run_id
         from runs r join conversations v on v.id = r.conversation_id and v.deleted_at is null
         where r.id = $1 and r.user_id = $2
         for update of r"#,
        run_id,
        user_id
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(run) = run else { return Ok(None) };
    match run.status {
        RunStatus::Queued | RunStatus::AwaitingApproval => {
            let took = end(tx, run_id, &CANCELLED, Tokens::default(), None).await?;
            // The events of a run that waits have ended.
            if run.status == RunStatus::Queued {
                let (last, mut closing) =
                    closing(tx, run_id, run.conversation_id, run.parent_run_id).await?;
                let mut cancelled = CANCELLED.event(run.conversation_id, run_id);
                cancelled.set_usage(took);
                closing.push(cancelled);
                events::write(tx, run_id, last + 1, &closing).await?;
            }
            after_end(tx, user_id, run.conversation_id, run_id, max_ready).await?;
            Ok(Some(RunStatus::Cancelled))
        }
        RunStatus::Running => {
            sqlx::query!(
                "update runs set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) where id = $1",
                run_id
            )
            .execute(&mut **tx)
            .await?;
            tx.tell(Hint::Cancel(run_id));
            Ok(Some(run.status))
        }
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => Ok(Some(run.status)),
    }
}
