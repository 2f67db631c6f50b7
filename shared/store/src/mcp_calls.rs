//! Records of tool calls that outside MCP clients make: as with the agent's, each commits with the call's effect.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{Connection, StoreError, lifecycle::tool_call::Record};

/// A call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct McpCall<'a> {
    /// Its id, a new one.
    pub id: Uuid,
    /// For whom it is made.
    pub user_id: &'a str,
    /// What the client says it is.
    pub client: Option<&'a str>,
    /// The tool.
    pub tool_name: &'a str,
    /// Its parameters, as far as they are kept.
    pub parameters: &'a Value,
}

/// Opens the record of a call, and with it this transaction's right to change the owner's tasks: from here on it has the
/// tools' role. The caller acts for the owner.
pub async fn open(db: &mut Connection, call: McpCall<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into mcp_calls (id, user_id, client, tool_name, parameters) values ($1, $2, $3, $4, $5)",
        call.id,
        call.user_id,
        call.client,
        call.tool_name,
        call.parameters
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("select act_as_tool($1)", format!("mcp/{}", call.id))
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Closes the record with what is kept of the call's result. The effect and the record commit together.
pub async fn close(
    db: &mut Connection,
    call: McpCall<'_>,
    record: &Record,
    took: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update mcp_calls set result = $3, is_error = $4, duration_ms = $5 where id = $1 and user_id = $2",
        call.id,
        call.user_id,
        record.result,
        record.is_error,
        i32::try_from(took.as_millis()).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts an attempt at a call, in a transaction of its own that commits before the call is made: one that fails, is slow or is
/// given up counts too. If the user has made `limit` (at least 1) attempts in the last minute, this one is not counted, and the
/// time until there is room is returned.
///
/// Exact across processes: the lock is the user's attempts' own and is held for this transaction only.
pub async fn attempt(
    db: &mut Connection,
    user_id: &str,
    limit: u32,
) -> Result<Option<Duration>, StoreError> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended($1, 3))",
        user_id
    )
    .fetch_one(&mut *db)
    .await?;
    let seconds = sqlx::query_scalar!(
        r#"with full_since as (
               select made_at from mcp_attempts
               where user_id = $1 and made_at > statement_timestamp() - interval '1 minute'
               order by made_at desc
               offset $2 limit 1
           ),
           counted as (
               insert into mcp_attempts (user_id)
               select $1 where not exists (select from full_since)
           )
           select extract(epoch from made_at + interval '1 minute' - clock_timestamp())::float8 as "seconds!"
           from full_since"#,
        user_id,
        i64::from(limit.max(1)) - 1
    )
    .fetch_optional(db)
    .await?;
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 60.0))))
}
