//! Making a call: its effect and its record commit in one transaction, whoever makes it.

use std::time::{Duration, Instant};

use errand_core::{faults, ids, user_queue::Crowded};
use errand_store::{
    self as store, Connection, Pool, StoreError, UserTurn, WriteError,
    lifecycle::tool_call::{self, Made, NewCall, Record},
    mcp_calls::{self, McpCall},
    settings,
    tasks::{self, Refused},
};
use serde_json::Value;

use super::{
    calls::Call,
    check, contract,
    error::ToolError,
    identity::{Caller, ExternalCaller},
    kept, list,
    plan::{self, Calendar, Plan},
    preview, subject, valid,
};

/// How often a call is planned if others change the task meanwhile.
const MAX_PLANS: usize = 10;

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
///
/// What it comes to is planned from what is read, and made with one statement if that still holds; if not, it is planned anew.
pub(super) async fn for_agent(
    pool: &Pool,
    caller: &Caller,
    name: &str,
    parameters: Value,
) -> Result<Record, CallError> {
    faults::point("tool.before");
    let begun = Instant::now();
    let mut calendar = Some(Calendar::of(caller.time_zone.clone()));
    for _ in 0..MAX_PLANS {
        let Planned {
            mut plan,
            mut record,
        } = plan_call(pool, caller, name, &parameters, calendar.take()).await?;
        if record.is_error && caller.has_failed && caller.refused.is_none() {
            valid::tell(pool, &caller.user_id, name, &mut record.result).await?;
        }
        loop {
            let call = NewCall {
                key: faults::key(caller.key),
                user_id: &caller.user_id,
                attempt: caller.attempt,
                tool_name: name,
                parameters: &parameters,
                change: plan.as_ref().map(|plan| &plan.change),
                record: &record,
                took: begun.elapsed(),
            };
            faults::point("tool.before-commit");
            match (tool_call::make(pool, &call).await?, plan.take()) {
                (Made::Now(record), _) => {
                    faults::point("tool.committed");
                    tracing::info!(call = %caller.key, tool = loggable(name), is_error = record.is_error, "tool call");
                    return Ok(record);
                }
                (Made::Before(record), _) => return Ok(record),
                // That is what the call comes to.
                (Made::Refused(Refused::Full(what)), Some(plan)) => {
                    record = error_record(&plan.without_room(what));
                }
                (Made::Refused(_), _) => break,
            }
        }
    }
    // Others change the same task all the time.
    Err(StoreError::from(Crowded::OfUser).into())
}

/// What a call of the agent comes to.
struct Planned {
    /// What it changes; none if it changes nothing.
    plan: Option<Plan>,
    record: Record,
}

impl Planned {
    /// A call that changes nothing.
    fn of(result: Result<Value, ToolError>) -> Self {
        Self {
            plan: None,
            record: record(result),
        }
    }
}

/// Plans what a call comes to; by this calendar if nothing else has to be read.
async fn plan_call(
    pool: &Pool,
    caller: &Caller,
    name: &str,
    parameters: &Value,
    calendar: Option<Calendar>,
) -> Result<Planned, StoreError> {
    let user = caller.user_id.as_str();
    if let Some(reason) = &caller.refused {
        let refusal = ToolError::invalid(reason.clone());
        if !caller.is_unapproved {
            return Ok(Planned::of(Err(refusal)));
        }
        let mut db = store::begin_for(pool, user).await?;
        let preview = preview::of(&mut db, user, name, parameters.clone()).await;
        let error = db.done(preview).await?.err().unwrap_or(refusal);
        return Ok(Planned::of(Err(error)));
    }
    let call = match Call::parse(name, parameters.clone(), user) {
        Ok(Call::Edit(call)) => call,
        Ok(Call::List(call)) => {
            let mut calendar = calendar.unwrap_or_else(|| Calendar::of(None));
            for _ in 0..MAX_PLANS {
                if let Some(result) = list::page(pool, user, &call, &mut calendar).await? {
                    return Ok(Planned::of(result));
                }
            }
            return Err(Crowded::OfUser.into());
        }
        Err(error) => return Ok(Planned::of(Err(error))),
    };
    let id = match call.task_id().map(|text| (text, check::canonical(text))) {
        None => None,
        Some((_, Some(id))) => Some(id),
        Some((text, None)) => {
            let mut db = store::begin_for(pool, user).await?;
            let unclear = subject::unclear(&mut db, user, text).await;
            return Ok(Planned::of(Err(db.done(unclear).await?)));
        }
    };
    let (task, calendar) = match (id, calendar) {
        (None, Some(calendar)) => (None, calendar),
        _ => {
            let (zone, task) = tasks::read(pool, user, id).await?;
            (task, Calendar::of(zone))
        }
    };
    Ok(match plan::plan(&call, task, &calendar) {
        Ok(plan) => Planned {
            record: record(Ok(plan.result.clone())),
            plan: Some(plan),
        },
        Err(error) => Planned::of(Err(error)),
    })
}

/// Makes a call of an outside client, if the user has tried fewer than `limit` in the last minute (0: any number).
pub(super) async fn for_external_caller(
    turn: &UserTurn<'_>,
    outsider: &ExternalCaller,
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

/// Checks the call and has its effect, in a transaction that has opened its record. The outer error is the store's, the inner one is for the
/// caller to read.
async fn perform(
    db: &mut Connection,
    user_id: &str,
    name: &str,
    parameters: Value,
) -> Result<Result<Value, ToolError>, StoreError> {
    let call = match Call::parse(name, parameters, user_id) {
        Ok(call) => call,
        Err(error) => return Ok(Err(error)),
    };
    let calendar = Calendar::of(settings::zone(db, user_id).await?);
    let call = match call {
        Call::List(call) => return list::list(db, user_id, &call, &calendar).await,
        Call::Edit(call) => call,
    };
    // From here on nobody else changes a task of this user.
    tasks::lock_list(db).await?;
    let task = match call.task_id() {
        None => None,
        Some(id) => match subject::of(db, user_id, id).await? {
            Ok(task) => Some(task),
            Err(error) => return Ok(Err(error)),
        },
    };
    let plan = match plan::plan(&call, task, &calendar) {
        Ok(plan) => plan,
        Err(error) => return Ok(Err(error)),
    };
    match tasks::change(db, user_id, &plan.change, &plan.result).await? {
        Ok(result) => Ok(Ok(tool_call::success_first(result))),
        Err(Refused::Full(what)) => Ok(Err(plan.without_room(what))),
        // The user's zone, between two statements.
        Err(Refused::Moved) => Err(StoreError::from(Crowded::OfUser)),
    }
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
        Err(error) => error_record(&error),
    }
}

fn error_record(error: &ToolError) -> Record {
    Record {
        result: error.to_json(),
        is_error: true,
    }
}
