//! A run comes to its reply: `completed`, in one round trip.

use super::{
    super::{StoreError, UserTurn, WriteError, events},
    claim::Claimed,
    finish::Ending,
};
use crate::{faults, hints::Hint, jobs::job_id};

/// Completes a run as `run_finish` has it: last step, reply, events, status, job and the admission of the next run commit together, then
/// others are told. The turn is that of the run's owner.
///
/// # Errors
/// As [`super::finish`].
pub(super) async fn complete(
    turn: &UserTurn<'_>,
    run: &Claimed,
    ending: &Ending<'_>,
    reply: &str,
    cut_short: Option<&str>,
    max_ready: i64,
) -> Result<(), WriteError> {
    let step = ending.step.as_ref();
    let events = events::json(ending.events)?;
    let is_fenced = !faults::is_mutated(faults::NO_FENCE);
    let pool = turn.pool();
    let mut db = pool.acquire().await?;
    faults::point("finish.before-commit");
    let admitted = sqlx::query_scalar!(
        "select run_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
        run.id,
        run.user_id,
        run.conversation_id,
        run.attempt,
        is_fenced,
        step.map(|step| step.step),
        reply,
        step.map(|step| step.calls_json()),
        step.and_then(|step| step.finish_reason),
        step.map(|step| step.input_tokens),
        step.map(|step| step.output_tokens),
        step.map(|step| step.usage_estimated),
        ending.model,
        step.and_then(|step| step.extra_json()),
        step.map(|step| step.cached_input_tokens),
        ending.message_id,
        cut_short,
        ending.cut_off.input,
        ending.cut_off.output,
        ending.cut_off.is_estimate,
        ending.first_seq,
        &events,
        job_id(run.id),
        max_ready
    )
    .fetch_one(&mut *db)
    .await
    .map_err(StoreError::from);
    let Some(admitted) = db.done(admitted)? else {
        return Err(WriteError::Fenced);
    };
    faults::point("finish.committed");
    pool.tell_all([Hint::RunEvents(run.id), Hint::RunEnded(run.id)]);
    if !admitted.is_empty() {
        pool.tell(Hint::JobReady);
    }
    Ok(())
}
