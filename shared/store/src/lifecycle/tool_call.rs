//! Records of tool calls: each commits with the call's effect, under the key (run, step, ordinal).

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use errand_core::{faults, hints::Hint, ids::CallKey};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    Connection, Pool, StoreError, WriteError,
    db::lane::{self, Answers, Lane, Lanes, Transition},
    tasks::{self, Change, Refused},
};

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The structured output.
    pub result: Value,
    /// Whether it is an error for the model to read.
    pub is_error: bool,
}

/// A call that is about to be made.
#[derive(Debug)]
pub struct NewCall<'a> {
    /// Its key.
    pub key: CallKey,
    /// The owner of the run.
    pub user_id: &'a str,
    /// The attempt that makes it: the fence.
    pub attempt: i32,
    /// The tool.
    pub tool_name: &'a str,
    /// Its full parameters.
    pub parameters: &'a Value,
    /// What it makes of the owner's tasks, if anything.
    pub change: Option<&'a Change>,
    /// What it comes to if that is made.
    pub record: &'a Record,
    /// How long it took to plan.
    pub took: Duration,
}

/// What came of a call.
#[derive(Debug)]
pub enum Made {
    /// It is made.
    Now(Record),
    /// It was made before: its effect is committed, and was not repeated.
    Before(Record),
    /// Nothing is written: it has to be planned anew, or comes to an error.
    Refused(Refused),
}

/// What the routine says of a call whose run is another attempt's.
const FENCED: &str = "fenced";

/// Makes a call as `run_call` has it, together with others: its effect and its record commit together, and its step if that
/// was held ([`super::hold_step`]).
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the step does not exist
/// (`tool_calls_step_fkey`).
pub async fn make(pool: &Pool, call: &NewCall<'_>) -> Result<Made, WriteError> {
    let row = Row {
        run_id: call.key.run_id,
        user_id: call.user_id,
        attempt: call.attempt,
        is_fenced: !faults::is_mutated(faults::NO_FENCE),
        step: call.key.step,
        ordinal: call.key.ordinal,
        tool_name: call.tool_name,
        parameters: call.parameters,
        change: call.change,
        result: &call.record.result,
        is_error: call.record.is_error,
        duration_ms: i32::try_from(call.took.as_millis()).unwrap_or(i32::MAX),
        answer: pool.held_steps().of_call(call.key.run_id, call.key.step),
    };
    let answer = lane::make::<Make>(pool, &row).await?;
    if answer.outcome != FENCED {
        let zone = call.change.and_then(|change| change.zone());
        let list = answer.tasks.map(|tasks| tasks::shown(tasks, zone));
        let steps = pool.held_steps();
        if steps.written(call.key.run_id, call.key.step, list) {
            pool.tell_soon([Hint::RunEvents(call.key.run_id)]);
        }
    }
    let record = answer.result.map(|result| Record {
        result: success_first(result),
        is_error: answer.is_error.unwrap_or(false),
    });
    match (answer.outcome.as_str(), record) {
        ("made", Some(record)) => Ok(Made::Now(record)),
        ("recorded", Some(record)) => Ok(Made::Before(record)),
        (outcome, _) => match Refused::named(outcome) {
            Some(refused) => Ok(Made::Refused(refused)),
            None => Err(WriteError::Fenced),
        },
    }
}

/// A row of `run_calls`.
#[derive(Serialize)]
struct Row<'a> {
    run_id: Uuid,
    user_id: &'a str,
    attempt: i32,
    is_fenced: bool,
    step: i32,
    ordinal: i32,
    tool_name: &'a str,
    parameters: &'a Value,
    change: Option<&'a Change>,
    result: &'a Value,
    is_error: bool,
    duration_ms: i32,
    /// The step, if it is to be written with the call.
    answer: Option<Arc<RawValue>>,
}

/// What the routine says of a call.
pub(in super::super) struct Answer {
    outcome: String,
    result: Option<Value>,
    is_error: Option<bool>,
    /// The owner's list, if the call has changed it and brought its step along.
    tasks: Option<Vec<tasks::Row>>,
}

/// Calls of many runs, as `run_calls` has it.
pub(in super::super) struct Make;

impl Transition for Make {
    type Answer = Answer;

    async fn send(
        db: &mut Connection,
        rows: &str,
        is_patient: bool,
    ) -> Result<Answers<Answer>, StoreError> {
        let answers = sqlx::query!(
            r#"select place as "place!", outcome as "outcome!", result, is_error, tasks as "tasks: Json<Vec<tasks::Row>>"
             from run_calls($1::text::jsonb, $2, $3)"#,
            rows,
            is_patient,
            tasks::MOST_LIVE
        )
        .fetch_all(db)
        .await?;
        let made = answers.into_iter().map(|row| {
            let answer = Answer {
                outcome: row.outcome,
                result: row.result,
                is_error: row.is_error,
                tasks: row.tasks.map(|tasks| tasks.0),
            };
            (row.place, (answer.outcome != "alone").then_some(answer))
        });
        Ok(made.collect())
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.call
    }
}

/// A call as its owner sees it.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool.
    pub tool_name: String,
    /// Its full parameters.
    pub parameters: Value,
    /// Its structured output.
    pub result: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl ToolCall {
    /// As it is read from its row.
    pub(super) fn read(
        tool_name: String,
        parameters: Value,
        result: Value,
        created_at: DateTime<Utc>,
    ) -> Self {
        Self {
            tool_name,
            parameters,
            result: success_first(result),
            created_at,
        }
    }
}

/// jsonb forgets the order of fields; the contract has `success` first.
#[must_use]
pub fn success_first(result: Value) -> Value {
    let Value::Object(mut fields) = result else {
        return result;
    };
    if let Some(success) = fields.remove("success") {
        fields.shift_insert(0, "success".to_owned(), success);
    }
    Value::Object(fields)
}
