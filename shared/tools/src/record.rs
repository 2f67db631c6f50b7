//! Making a call: its effect and its record commit in one transaction, whoever makes it.

use std::time::{Duration, Instant};

use errand_shared::{
    faults, ids,
    store::{
        self, Connection, Pool, StoreError, UserTurn, WriteError,
        lifecycle::tool_call::{self, Record},
        mcp_calls::{self, McpCall},
        settings,
    },
    user_queue::Crowded,
};
use serde_json::Value;

use super::{
    calls::Call,
    contract,
    error::ToolError,
    identity::{Caller, Outsider},
    kept, preview,
};

/// Why a call has neither effect nor record.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The run is no longer the attempt's, or the database failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The user has made as many calls as a minute allows, or too many at once.
    #[error("too many calls")]
    TooMany(Duration),
}

/// When to try again after too many calls at once.
const CROWD_PAUSE: Duration = Duration::from_secs(1);

impl CallError {
    /// Why there is no turn for a call from outside.
    pub(super) fn of_crowd(crowded: Crowded) -> Self {
        match crowded {
            Crowded::OfUser => Self::TooMany(CROWD_PAUSE),
            Crowded::OfProcess => StoreError::from(crowded).into(),
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// Makes a call of the agent, under the key (run, step, ordinal); a call that is repeated returns what was recorded.
pub(super) async fn for_agent(
    pool: &Pool,
    caller: &Caller,
    name: &str,
    parameters: Value,
) -> Result<Record, CallError> {
    faults::point("tool.before");
    let begun = Instant::now();
    let mut tx = store::begin(pool).await?;
    let key = faults::key(caller.key);
    let opened = tool_call::open(
        &mut tx,
        key,
        &caller.user_id,
        caller.attempt,
        name,
        &parameters,
    );
    if let Some(earlier) = opened.await? {
        return Ok(earlier);
    }
    let outcome = match &caller.refused {
        Some(reason) => {
            let refusal = ToolError::invalid(reason.clone());
            Err(match caller.is_unapproved {
                true => preview::of(&mut tx, &caller.user_id, name, parameters)
                    .await?
                    .err()
                    .unwrap_or(refusal),
                false => refusal,
            })
        }
        None => perform(&mut tx, &caller.user_id, name, parameters).await?,
    };
    let record = record(outcome);
    tool_call::close(&mut tx, key, &record, begun.elapsed()).await?;
    faults::point("tool.before-commit");
    store::commit(tx).await?;
    faults::point("tool.committed");
    tracing::info!(call = %caller.key, tool = loggable(name), is_error = record.is_error, "tool call");
    Ok(record)
}

/// Makes a call of an outside client, if the user has tried fewer than `limit` in the last minute (0: any number).
pub(super) async fn for_outsider(
    turn: &UserTurn<'_>,
    outsider: &Outsider,
    limit: u32,
    name: &str,
    parameters: Value,
) -> Result<Record, CallError> {
    let begun = Instant::now();
    let user_id = &outsider.user_id;
    if limit > 0 {
        let mut tx = turn.begin().await?;
        if let Some(pause) = mcp_calls::attempt(&mut tx, user_id, limit).await? {
            return Err(CallError::TooMany(pause));
        }
        store::commit(tx).await?;
    }
    let mut tx = turn.begin().await?;
    if let Some(zone) = outsider.zone {
        settings::remember_zone(&mut tx, user_id, zone.name()).await?;
    }
    let call = McpCall {
        id: ids::new_id(),
        user_id,
        client: outsider.client.as_deref(),
        tool_name: &kept::name(name),
        parameters: &kept::parameters(name, &parameters),
    };
    mcp_calls::open(&mut tx, call).await?;
    let record = record(perform(&mut tx, user_id, name, parameters).await?);
    let kept = Record {
        result: kept::result(name, &record.result),
        is_error: record.is_error,
    };
    mcp_calls::close(&mut tx, call, &kept, begun.elapsed()).await?;
    store::commit(tx).await?;
    tracing::info!(call = %call.id, tool = loggable(name), is_error = record.is_error, "tool call from outside");
    Ok(record)
}

/// Checks the call and has its effect. The outer error is the store's, the inner one is for the caller to read.
async fn perform(
    db: &mut Connection,
    user_id: &str,
    name: &str,
    parameters: Value,
) -> Result<Result<Value, ToolError>, StoreError> {
    let call = match Call::parse(name, parameters) {
        Ok(call) => call,
        Err(error) => return Ok(Err(error)),
    };
    if call.user_id() != user_id {
        return Ok(Err(ToolError::unauthorized()));
    }
    call.perform(db, user_id).await
}

/// A name that the model made up can hold anything that it has read.
fn loggable(name: &str) -> &'static str {
    let known = contract::NAMES.into_iter().find(|known| *known == name);
    known.unwrap_or("unknown")
}

fn record(outcome: Result<Value, ToolError>) -> Record {
    match outcome {
        Ok(result) => Record {
            result,
            is_error: false,
        },
        Err(error) => Record {
            result: error.to_json(),
            is_error: true,
        },
    }
}
