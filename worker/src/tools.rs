//! The MCP server: five tools, the only hands that change a to-do list. It never sees the agent.
//!
//! `call_tool` is the single place where a call is fenced, made, recorded and guarded against panics. Effect and record
//! commit in one transaction under the key (run, step, ordinal); a call that is repeated returns what was recorded.

use std::{panic::AssertUnwindSafe, time::Instant};

use errand_shared::{
    faults,
    store::{self, Connection, Pool, WriteError, runs, tool_calls},
};
use futures::FutureExt;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use serde_json::{Map, Value};

mod caller;
mod calls;
mod contract;
mod error;

pub use caller::Caller;
pub(crate) use contract::NAMES;
use error::ToolError;

/// Answered to a caller whose attempt no longer owns the run: nothing was written.
pub(crate) const FENCED: ErrorCode = ErrorCode(-32_010);
/// Answered when the store fails: the same call may be repeated.
pub(crate) const UNAVAILABLE: ErrorCode = ErrorCode(-32_011);

/// Answered when the database is away: the same call may be repeated, and the run is not at fault.
pub(crate) const OUTAGE: ErrorCode = ErrorCode(-32_012);

/// Tells similar tools apart, for any client.
const INSTRUCTIONS: &str = "One user's to-do list. Find a task's id with list_tasks before you change it. \
complete_task marks a task as done and keeps it; delete_task removes it for good; update_task changes title, \
description or completion.";

/// Whether a tool changes the list.
pub(crate) fn changes_tasks(name: &str) -> bool {
    contract::NAMES.contains(&name) && name != "list_tasks"
}

/// The server. It trusts the caller's `_meta` to name the user, so it is served to the worker's own process only.
#[derive(Clone)]
pub struct TaskServer {
    pool: Pool,
}

impl TaskServer {
    /// A server over this database.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    async fn execute(
        &self,
        caller: &Caller,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<tool_calls::Record, WriteError> {
        faults::point("tool.before");
        let begun = Instant::now();
        let parameters = without_nul(Value::Object(arguments));
        let mut tx = self.pool.begin().await?;
        runs::enter(&mut tx, caller.key.run_id, &caller.user_id, caller.attempt).await?;
        let key = faults::key(caller.key);
        if let Some(earlier) =
            tool_calls::open(&mut tx, key, &caller.user_id, name, &parameters).await?
        {
            return Ok(earlier);
        }
        let record = match perform(&mut tx, caller, name, parameters).await? {
            Ok(result) => tool_calls::Record {
                result,
                is_error: false,
            },
            Err(error) => tool_calls::Record {
                result: error.to_json(),
                is_error: true,
            },
        };
        tool_calls::close(&mut tx, key, &record, begun.elapsed()).await?;
        faults::point("tool.before-commit");
        tx.commit().await?;
        faults::point("tool.committed");
        tracing::info!(call = %caller.key, tool = loggable(name), is_error = record.is_error, "tool call");
        Ok(record)
    }
}

/// A name that the model made up can hold anything that it has read.
fn loggable(name: &str) -> &'static str {
    let known = contract::NAMES.into_iter().find(|known| *known == name);
    known.unwrap_or("unknown")
}

/// Checks the call and has its effect. The outer error is the store's, the inner one is for the model to read.
async fn perform(
    db: &mut Connection,
    caller: &Caller,
    name: &str,
    parameters: Value,
) -> Result<Result<Value, ToolError>, WriteError> {
    if let Some(reason) = &caller.refused {
        return Ok(Err(ToolError::invalid(reason.clone())));
    }
    let call = match calls::Call::parse(name, parameters) {
        Ok(call) => call,
        Err(error) => return Ok(Err(error)),
    };
    if call.user_id() != caller.user_id {
        return Ok(Err(ToolError::unauthorized()));
    }
    Ok(call.perform(db, &caller.user_id).await?)
}

impl ServerHandler for TaskServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("errand", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(contract::tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = Caller::from_meta(&context.meta).ok_or_else(|| {
            ErrorData::invalid_params("the call does not say for whom it is made", None)
        })?;
        let work = store::within(self.execute(
            &caller,
            &request.name,
            request.arguments.unwrap_or_default(),
        ));
        // A panic would otherwise leave the caller waiting for ever; the transaction is rolled back when it is dropped.
        let record = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(record)) => record,
            Ok(Err(WriteError::Fenced)) => {
                return Err(ErrorData::new(
                    FENCED,
                    "the run is no longer this attempt's",
                    None,
                ));
            }
            Ok(Err(WriteError::Store(error))) => {
                tracing::warn!(call = %caller.key, %error, "a tool call failed in the store");
                let code = if error.is_outage() {
                    OUTAGE
                } else {
                    UNAVAILABLE
                };
                return Err(ErrorData::new(code, "the store is unavailable", None));
            }
            Err(_) => return Err(ErrorData::internal_error("the tool panicked", None)),
        };
        let result = if record.is_error {
            CallToolResult::structured_error(record.result)
        } else {
            CallToolResult::structured(record.result)
        };
        Ok(result.into())
    }
}

/// Postgres cannot store NUL in a text or in JSON; a model that sends one gets a replacement character.
pub(crate) fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.replace('\0', "\u{fffd}"), without_nul(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}
