//! Records of tool calls: each commits with the call's effect, under the key (run, step, ordinal).

use std::time::Duration;

use super::super::{Connection, WriteError};
use crate::{faults, ids::CallKey};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The structured output.
    pub result: Value,
    /// Whether it is an error for the model to read.
    pub is_error: bool,
}

/// Opens the record of a call, as `run_open_call` has it, and with it this transaction's right to change the owner's tasks: from here on it
/// has the tools' role.
///
/// Returns the earlier record if the call was made before: then its effect is committed and must not be repeated.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the database failed; the step does not exist
/// (`tool_calls_step_fkey`).
pub async fn open(
    db: &mut Connection,
    key: CallKey,
    user_id: &str,
    attempt: i32,
    tool_name: &str,
    parameters: &Value,
) -> Result<Option<Record>, WriteError> {
    let opened = sqlx::query!(
        r#"select outcome as "outcome!", result, is_error from run_open_call($1, $2, $3, $4, $5, $6, $7, $8)"#,
        key.run_id,
        user_id,
        attempt,
        !faults::is_mutated(faults::NO_FENCE),
        key.step,
        key.ordinal,
        tool_name,
        parameters
    )
    .fetch_one(db)
    .await?;
    match (opened.outcome.as_str(), opened.result) {
        ("opened", _) => Ok(None),
        ("recorded", Some(result)) => Ok(Some(Record {
            result: success_first(result),
            is_error: opened.is_error.unwrap_or(false),
        })),
        _ => Err(WriteError::Fenced),
    }
}

/// Closes the record with the call's result. The effect and the record commit together.
///
/// # Errors
/// The database failed.
pub async fn close(
    db: &mut Connection,
    key: CallKey,
    record: &Record,
    took: Duration,
) -> Result<(), WriteError> {
    sqlx::query!(
        "update tool_calls set result = $4, is_error = $5, duration_ms = $6
         where run_id = $1 and step = $2 and ordinal = $3",
        key.run_id,
        key.step,
        key.ordinal,
        record.result,
        record.is_error,
        i32::try_from(took.as_millis()).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
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
fn success_first(result: Value) -> Value {
    let Value::Object(mut fields) = result else {
        return result;
    };
    if let Some(success) = fields.remove("success") {
        fields.shift_insert(0, "success".to_owned(), success);
    }
    Value::Object(fields)
}
