//! Steps: the model's answers, written ahead of the tool calls they ask for.

use std::sync::Arc;

use errand_core::{events::Event, faults, hints::Hint, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::claim::Claimed;
use crate::{
    Connection, Pool, StoreError, WriteError,
    db::lane::{self, Answers, Lane, Lanes, Transition},
    events,
};

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedCall {
    /// The model's own id for the call; unique within the step.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as raw text, valid JSON or not.
    pub arguments: String,
    /// Fields of the call that are the provider's own, for the model that made it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// The parts of the call could not be told from those of another: it must not be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unclear: bool,
}

impl RequestedCall {
    /// The arguments as a tool takes them: a JSON object with each name once, an empty one if there is nothing at all. None if
    /// they are something else: then there is nothing to call a tool with.
    pub fn object(&self) -> Option<Map<String, Value>> {
        if self.arguments.trim().is_empty() {
            return Some(Map::new());
        }
        // Of two values under one name nobody knows which was meant.
        json::check_keys(&self.arguments).ok()?;
        serde_json::from_str(&self.arguments).ok()
    }
}

/// One answer of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStep<'a> {
    /// Its number in the run, from 1.
    pub step: i32,
    /// The text, possibly empty.
    pub content: &'a str,
    /// The calls it asks for.
    pub calls: &'a [RequestedCall],
    /// Why the model stopped.
    pub finish_reason: Option<&'a str>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Of these, tokens from the provider's prompt cache.
    pub cached_input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Of these, tokens of reasoning that nobody is shown.
    pub reasoning_tokens: i64,
    /// The provider did not report the tokens.
    pub usage_estimated: bool,
    /// The model that answered.
    pub model: &'a str,
    /// Fields of the message that are the provider's own.
    pub extra: &'a Map<String, Value>,
}

/// Commits an answer of the model with the events that tell of it, fenced by the attempt.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run. The database failed: whether the step was written is unknown,
/// and the next attempt finds out by reading.
pub async fn commit_step(
    pool: &Pool,
    run: &Claimed,
    step: NewStep<'_>,
    first_seq: i64,
    events: &[Event],
) -> Result<(), WriteError> {
    let row = row(run, &step, first_seq, events)?;
    faults::point("step.before-commit");
    if !lane::make::<Step>(pool, &row).await? {
        return Err(WriteError::Fenced);
    }
    pool.tell_soon([Hint::RunEvents(run.id)]);
    Ok(())
}

/// A step as `run_steps` takes it, and `run_calls` with its call.
pub(super) fn row<'a>(
    run: &'a Claimed,
    step: &NewStep<'a>,
    first_seq: i64,
    events: &[Event],
) -> Result<Row<'a>, StoreError> {
    Ok(Row {
        run_id: run.id,
        user_id: &run.user_id,
        attempt: run.attempt,
        is_fenced: !faults::is_mutated(faults::NO_FENCE),
        columns: Columns::of(step),
        content: step.content,
        model: step.model,
        first_seq,
        events: events::json(events)?,
    })
}

/// A row of `run_steps`.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    run_id: Uuid,
    user_id: &'a str,
    attempt: i32,
    is_fenced: bool,
    #[serde(flatten)]
    columns: Columns<'a>,
    content: &'a str,
    model: &'a str,
    first_seq: i64,
    events: Vec<Value>,
}

/// What is kept of a step, but for its text and its model, which an end without a step has too.
#[derive(Serialize)]
pub(super) struct Columns<'a> {
    step: i32,
    tool_calls: Value,
    finish_reason: Option<&'a str>,
    input_tokens: i64,
    output_tokens: i64,
    usage_estimated: bool,
    extra: Option<Value>,
    cached_input_tokens: i64,
    reasoning_tokens: i64,
}

impl<'a> Columns<'a> {
    pub(super) fn of(step: &NewStep<'a>) -> Self {
        Self {
            step: step.step,
            tool_calls: step.calls_json(),
            finish_reason: step.finish_reason,
            input_tokens: step.input_tokens,
            output_tokens: step.output_tokens,
            usage_estimated: step.usage_estimated,
            extra: step.extra_json(),
            cached_input_tokens: step.cached_input_tokens,
            reasoning_tokens: step.reasoning_tokens,
        }
    }
}

/// Steps of many runs, as `run_steps` has it. Each is written, or its run is another attempt's.
pub(in super::super) struct Step;

impl Transition for Step {
    type Answer = bool;

    async fn send(
        db: &mut Connection,
        rows: &str,
        is_patient: bool,
    ) -> Result<Answers<bool>, StoreError> {
        let answers = sqlx::query!(
            r#"select place as "place!", is_written from run_steps($1::text::jsonb, $2)"#,
            rows,
            is_patient
        )
        .fetch_all(db)
        .await?;
        Ok(answers
            .into_iter()
            .map(|row| (row.place, row.is_written))
            .collect())
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.step
    }
}

impl NewStep<'_> {
    /// The calls as they are kept.
    pub(super) fn calls_json(&self) -> Value {
        serde_json::to_value(self.calls).unwrap_or_else(|_| Value::Array(Vec::new()))
    }

    /// The provider's own fields as they are kept: none if there are none.
    pub(super) fn extra_json(&self) -> Option<Value> {
        (!self.extra.is_empty()).then(|| Value::Object(self.extra.clone()))
    }
}

/// Writes a step as part of the caller's transaction, which has proven that it owns the run.
///
/// # Errors
/// The step is there already (`steps_pkey`).
pub(super) async fn insert(
    db: &mut Connection,
    run: &Claimed,
    step: NewStep<'_>,
) -> Result<(), WriteError> {
    sqlx::query!(
        "insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
                            usage_estimated, model, extra, cached_input_tokens, reasoning_tokens)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        run.id,
        step.step,
        run.attempt,
        step.content,
        step.calls_json(),
        step.finish_reason,
        step.input_tokens,
        step.output_tokens,
        step.usage_estimated,
        step.model,
        step.extra_json(),
        step.cached_input_tokens,
        step.reasoning_tokens
    )
    .execute(db)
    .await?;
    Ok(())
}
