//! Steps: the model's answers, written ahead of the tool calls they ask for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Connection, Pool, WriteError, events,
    runs::{self, Claimed},
};
use crate::{events::Event, faults};

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedCall {
    /// The model's own id for the call; unique within the step.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as raw text, valid JSON or not.
    pub arguments: String,
}

impl AskedCall {
    /// Whether the arguments are what a tool takes: a JSON object, or nothing at all.
    pub fn has_object(&self) -> bool {
        self.arguments.trim().is_empty()
            || serde_json::from_str::<serde_json::Map<String, Value>>(&self.arguments).is_ok()
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
    pub calls: &'a [AskedCall],
    /// Why the model stopped.
    pub finish_reason: Option<&'a str>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}

/// Commits an answer of the model with the events that tell of it, fenced by the attempt.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run. The database failed: whether the step was written is unknown,
/// and the next attempt finds out by reading.
pub async fn commit(
    pool: &Pool,
    run: &Claimed,
    step: NewStep<'_>,
    first_seq: i64,
    events: &[Event],
) -> Result<(), WriteError> {
    let mut tx = pool.begin().await?;
    runs::enter(&mut tx, run.id, &run.user_id, run.attempt).await?;
    insert(&mut tx, run, step).await?;
    events::write(&mut tx, run.id, first_seq, events).await?;
    faults::point("step.before-commit");
    tx.commit().await?;
    Ok(())
}

/// Writes a step as part of the caller's transaction, which has proven that it owns the run.
///
/// # Errors
/// The database failed; the step is there already (`steps_pkey`).
pub async fn insert(
    db: &mut Connection,
    run: &Claimed,
    step: NewStep<'_>,
) -> Result<(), WriteError> {
    let calls = serde_json::to_value(step.calls).unwrap_or_else(|_| Value::Array(Vec::new()));
    sqlx::query!(
        "insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        run.id,
        step.step,
        run.attempt,
        step.content,
        calls,
        step.finish_reason,
        step.input_tokens,
        step.output_tokens
    )
    .execute(db)
    .await?;
    Ok(())
}
