//! Steps: the model's answers, written ahead of the tool calls they ask for.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Pool, WriteError, runs};

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

/// Commits an answer of the model, fenced by the attempt.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run. The database failed: repeating is safe, since the same step
/// of the same attempt is written once.
pub async fn commit(
    pool: &Pool,
    run_id: Uuid,
    attempt: i32,
    step: NewStep<'_>,
) -> Result<(), WriteError> {
    let calls = serde_json::to_value(step.calls).unwrap_or_else(|_| Value::Array(Vec::new()));
    let mut tx = pool.begin().await?;
    runs::fence(&mut tx, run_id, attempt).await?;
    sqlx::query!(
        "insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint steps_pkey do nothing",
        run_id,
        step.step,
        attempt,
        step.content,
        calls,
        step.finish_reason,
        step.input_tokens,
        step.output_tokens
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
