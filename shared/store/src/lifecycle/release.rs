//! A run goes back to the queue for another attempt: `queued` again, with all that was committed of it.

use std::time::Duration;

use errand_core::faults;
use uuid::Uuid;

use crate::{Pool, WriteError, queue::jobs, read::usage::Tokens};

/// Why a run goes back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// This attempt failed; the next one starts after the delay.
    Retry(Duration),
    /// The database was away; the next attempt starts after the delay, and this one is not counted.
    Outage(Duration),
    /// The worker stops in good order; another may start at once, and no attempt is counted.
    Drained,
}

/// Gives a run back to the queue. What was committed of it stays; tokens that were `cut_off` with an answer count at its end.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run, nothing was written.
pub async fn release(
    pool: &Pool,
    run_id: Uuid,
    attempt: i32,
    why: Release,
    cut_off: Tokens,
) -> Result<(), WriteError> {
    let (delay, handbacks) = match why {
        Release::Retry(delay) => (delay, 0),
        Release::Outage(delay) => (delay, 1),
        Release::Drained => (Duration::ZERO, 1),
    };
    let mut tx = pool.begin().await?;
    let returned = sqlx::query!(
        "update runs set status = 'queued', handbacks = handbacks + $3,
                         cut_off_input_tokens = cut_off_input_tokens + $4,
                         cut_off_output_tokens = cut_off_output_tokens + $5,
                         usage_estimated = usage_estimated or $6
         where id = $1 and attempt = $2 and status = 'running'",
        run_id,
        attempt,
        handbacks,
        cut_off.input,
        cut_off.output,
        cut_off.is_estimate
    )
    .execute(&mut *tx)
    .await?;
    if returned.rows_affected() == 0 {
        return Err(WriteError::Fenced);
    }
    jobs::release(&mut tx, run_id, delay).await?;
    faults::point("release.before-commit");
    tx.commit().await?;
    Ok(())
}
