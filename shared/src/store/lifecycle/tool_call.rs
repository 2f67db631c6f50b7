//! Records of tool calls: each commits with the call's effect, under the key (run, step, ordinal).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::super::{Connection, StoreError, WriteError};
use crate::ids::CallKey;

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The structured output.
    pub result: Value,
    /// Whether it is an error for the model to read.
    pub is_error: bool,
}

/// Opens the record of a call, and with it this transaction's right to change the owner's tasks: from here on it has the
/// tools' role. The caller acts for the owner.
///
/// Returns the earlier record if the call was made before: then its effect is committed and must not be repeated.
///
/// # Errors
/// The database failed; the step does not exist (`tool_calls_step_fkey`).
pub async fn open(
    db: &mut Connection,
    key: CallKey,
    user_id: &str,
    tool_name: &str,
    parameters: &Value,
) -> Result<Option<Record>, WriteError> {
    let opened = sqlx::query!(
        "insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint tool_calls_pkey do nothing",
        key.run_id,
        key.step,
        key.ordinal,
        user_id,
        tool_name,
        parameters
    )
    .execute(&mut *db)
    .await?;
    if opened.rows_affected() == 0 {
        let record = sqlx::query_as!(
            Record,
            r#"select result as "result!", is_error from tool_calls
               where run_id = $1 and step = $2 and ordinal = $3 and user_id = $4"#,
            key.run_id,
            key.step,
            key.ordinal,
            user_id
        )
        .fetch_one(db)
        .await?;
        return Ok(Some(Record {
            result: success_first(record.result),
            ..record
        }));
    }
    sqlx::query!("select act_as_tool($1)", key.to_string())
        .fetch_one(db)
        .await?;
    Ok(None)
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

/// The calls of a run, in order.
///
/// # Errors
/// The database failed.
pub async fn of_run(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
) -> Result<Vec<ToolCall>, StoreError> {
    let calls = sqlx::query_as!(
        ToolCall,
        r#"select tool_name, parameters, result as "result!", created_at from tool_calls
           where run_id = $1 and user_id = $2 and result is not null
           order by step, ordinal"#,
        run_id,
        user_id
    )
    .fetch_all(db)
    .await?;
    let shown = |call: ToolCall| ToolCall {
        result: success_first(call.result),
        ..call
    };
    Ok(calls.into_iter().map(shown).collect())
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
