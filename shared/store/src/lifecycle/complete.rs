//! A run comes to its reply: `completed`, in one round trip, with as many others as do so at the same moment.

use std::sync::Arc;

use errand_core::{faults, hints::Hint, jobs::job_id};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{claim::Claimed, ending::Ending, step::Columns};
use crate::{
    Connection, StoreError, UserTurn, WriteError,
    db::lane::{self, Answers, Lane, Lanes, Transition},
    events,
    read::history,
};

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
    let row = Row {
        run_id: run.id,
        user_id: &run.user_id,
        conversation_id: run.conversation_id,
        attempt: run.attempt,
        is_fenced: !faults::is_mutated(faults::NO_FENCE),
        step: ending.step.as_ref().map(Columns::of),
        content: reply,
        model: ending.model,
        message_id: ending.message_id,
        cut_short,
        cut_off_input: ending.cut_off.input,
        cut_off_output: ending.cut_off.output,
        cut_off_estimated: ending.cut_off.is_estimate,
        first_seq: ending.first_seq,
        events: events::json(ending.events)?,
        job_id: job_id(run.id),
        max_ready,
        turn_steps: ending
            .step
            .as_ref()
            .and_then(|last| history::written(ending.steps, run, last)),
    };
    let pool = turn.pool();
    faults::point("finish.before-commit");
    let Some(admitted) = lane::make::<Complete>(pool, &row).await? else {
        return Err(WriteError::Fenced);
    };
    faults::point("finish.committed");
    pool.tell_all([Hint::RunEvents(run.id), Hint::RunEnded(run.id)]);
    if !admitted.is_empty() {
        pool.tell(Hint::JobReady);
    }
    Ok(())
}

/// A row of `run_finishes`.
#[derive(Serialize)]
struct Row<'a> {
    run_id: Uuid,
    user_id: &'a str,
    conversation_id: Uuid,
    attempt: i32,
    is_fenced: bool,
    #[serde(flatten)]
    step: Option<Columns<'a>>,
    content: &'a str,
    model: &'a str,
    message_id: Uuid,
    cut_short: Option<&'a str>,
    cut_off_input: i64,
    cut_off_output: i64,
    cut_off_estimated: bool,
    first_seq: i64,
    events: Vec<Value>,
    job_id: String,
    max_ready: i64,
    turn_steps: Option<String>,
}

/// The ends of many runs, as `run_finishes` has it. Each says which runs may start now; none if the run is another attempt's.
pub(in super::super) struct Complete;

impl Transition for Complete {
    type Answer = Option<Vec<Uuid>>;

    async fn send(
        db: &mut Connection,
        rows: &str,
        is_patient: bool,
    ) -> Result<Answers<Self::Answer>, StoreError> {
        let answers = sqlx::query!(
            r#"select place as "place!", alone as "alone!", admitted from run_finishes($1::text::jsonb, $2)"#,
            rows,
            is_patient
        )
        .fetch_all(db)
        .await?;
        Ok(answers
            .into_iter()
            .map(|row| (row.place, (!row.alone).then_some(row.admitted)))
            .collect())
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.complete
    }
}
