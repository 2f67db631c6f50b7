//! How a run ends, or goes back for another attempt: each in one fenced transaction.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Connection, Pool, WriteError, admission, jobs,
    messages::{self, NewMessage},
    runs::Claimed,
};

/// What a run came to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The reply.
    Completed(String),
    /// It failed for good.
    Failed {
        /// A stable code: `model_error`, `run_timeout` or `run_failed`.
        code: &'static str,
        /// For people; nothing internal.
        message: String,
    },
}

/// Ends a run: reply, status, job and the admission of the next run commit together, then waiters get a hint.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run, nothing was written. The database failed: whether the
/// transaction committed is unknown, and doing it again is safe, because a run that ended is fenced.
pub async fn finish(
    pool: &Pool,
    run: &Claimed,
    outcome: &Outcome,
    max_ready: i64,
) -> Result<(), WriteError> {
    let mut tx = pool.begin().await?;
    // The same order of locks as acceptance: the user, then the run.
    admission::lock_user(&mut tx, &run.user_id).await?;
    end(&mut tx, run, outcome).await?;
    if let Outcome::Completed(reply) = outcome {
        let reply = NewMessage {
            conversation_id: run.conversation_id,
            user_id: &run.user_id,
            run_id: run.id,
            role: "assistant",
            content: reply,
            metadata: None,
        };
        messages::insert(&mut tx, reply).await?;
    }
    jobs::done(&mut tx, run.id).await?;
    admission::admit(&mut tx, &run.user_id, max_ready).await?;
    sqlx::query!(
        "select pg_notify($1, $2)",
        crate::hints::RUN_ENDED,
        run.id.to_string()
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// The usage is that of the committed steps, whichever attempt wrote them.
async fn end(db: &mut Connection, run: &Claimed, outcome: &Outcome) -> Result<(), WriteError> {
    let (status, code, message) = match outcome {
        Outcome::Completed(_) => ("completed", None, None),
        Outcome::Failed { code, message } => ("failed", Some(*code), Some(message.as_str())),
    };
    let ended = sqlx::query!(
        "update runs
         set status = $3, error_code = $4, error_message = $5, finished_at = clock_timestamp(),
             input_tokens = used.input, output_tokens = used.output, model_calls = used.calls
         from (
             select coalesce(sum(input_tokens), 0)::bigint as input, coalesce(sum(output_tokens), 0)::bigint as output,
                    count(*)::integer as calls
             from steps where run_id = $1
         ) used
         where id = $1 and attempt = $2 and status = 'running'",
        run.id,
        run.attempt,
        status,
        code,
        message
    )
    .execute(db)
    .await?;
    if ended.rows_affected() == 1 {
        Ok(())
    } else {
        Err(WriteError::Fenced)
    }
}

/// Why a run goes back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// This attempt failed; the next one starts after the delay.
    Retry(Duration),
    /// The worker stops in good order; another may start at once, and no attempt is counted.
    Handback,
}

/// Gives a run back to the queue. What was committed of it stays.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run, nothing was written. The database failed.
pub async fn give_back(
    pool: &Pool,
    run_id: Uuid,
    attempt: i32,
    why: Return,
) -> Result<(), WriteError> {
    let (delay, handbacks) = match why {
        Return::Retry(delay) => (delay, 0),
        Return::Handback => (Duration::ZERO, 1),
    };
    let mut tx = pool.begin().await?;
    let returned = sqlx::query!(
        "update runs set status = 'queued', handbacks = handbacks + $3
         where id = $1 and attempt = $2 and status = 'running'",
        run_id,
        attempt,
        handbacks
    )
    .execute(&mut *tx)
    .await?;
    if returned.rows_affected() == 0 {
        return Err(WriteError::Fenced);
    }
    jobs::give_back(&mut tx, run_id, delay).await?;
    tx.commit().await?;
    Ok(())
}
