//! Decisions: a user approves or rejects the tool calls that a run waits for, and another run goes on from there.

use chrono_tz::Tz;
use errand_server::{telemetry, trace};
use errand_store::{
    self as store, UserTurn,
    lifecycle::{self, Decided, Decision, Successor},
    read::conversations,
};
use uuid::Uuid;

use crate::{
    App,
    accept::{AcceptedRun, Thread},
    error::{ApiError, Code},
    quota::Quota,
    spans,
};

/// A decision to take.
pub(crate) struct DecisionCommand<'a> {
    pub(crate) user_id: &'a str,
    /// The run that waits.
    pub(crate) run_id: Uuid,
    /// The conversation that it must be in, if the client says so.
    pub(crate) thread: Option<Thread<'a>>,
    pub(crate) decision: &'a Decision,
    /// The run that is to go on.
    pub(crate) child: Uuid,
    /// Where the user is, if the client says so.
    pub(crate) time_zone: Option<Tz>,
}

/// Takes a decision, or finds the run that the same one has started before. Hours may lie between question and answer.
///
/// # Errors
/// The user has no such run, it does not wait, the decision is incomplete, a limit, or the database is down.
pub(crate) async fn decide(
    app: &App,
    command: &DecisionCommand<'_>,
) -> Result<AcceptedRun, ApiError> {
    let _span = spans::accepting(command.child);
    spans::of_run(command.child);
    let turn = app.users.enter(command.user_id).await?;
    match store::within(write(app, &turn, command)).await {
        // If the first try took effect after all, the second finds what it has started.
        Err(error) if error.is_unavailable() => store::within(write(app, &turn, command)).await,
        result => result,
    }
}

async fn write(
    app: &App,
    turn: &UserTurn<'_>,
    command: &DecisionCommand<'_>,
) -> Result<AcceptedRun, ApiError> {
    let mut tx = turn.lock().await?;
    if let Some(thread) = command.thread {
        let conversation_id = match thread {
            Thread::New => None,
            Thread::Existing(id) | Thread::Own(id) => Some(id),
            Thread::Named(name) => {
                conversations::by_thread_name(&mut tx, command.user_id, name).await?
            }
        };
        let run = lifecycle::find(&mut tx, command.user_id, command.run_id).await?;
        let run = run.filter(|run| Some(run.conversation_id) == conversation_id);
        run.ok_or_else(|| ApiError::not_found("run"))?;
    }
    let usage = lifecycle::usage(&mut tx, command.user_id, app.limits.bounds()).await?;
    let max_ready = i64::from(app.limits.max_ready_runs);
    let traceparent = trace::current().map(|trace| trace.traceparent());
    let child = Successor {
        id: command.child,
        parent_run_id: command.run_id,
        idempotency_key: None,
        request_hash: None,
        time_zone: command.time_zone.map(Tz::name),
        traceparent: traceparent.as_deref(),
    };
    let decided = lifecycle::decide(&mut tx, command.user_id, command.decision, child, max_ready);
    let decided = decided.await.map_err(|error| match error.constraint() {
        Some("runs_pkey") => ApiError::idempotency_key_reused(),
        _ => error.into(),
    })?;
    match decided {
        Decided::Run {
            run_id,
            conversation_id,
            calls,
        } => {
            // Without calls it is a decision of before: it asks for nothing. Else the run that goes on counts as a message does, and
            // a refusal takes the decision back.
            let quota = (!calls.is_empty())
                .then(|| Quota::take_decision(&usage, &app.limits))
                .transpose()?;
            store::commit(tx).await?;
            for (call, approved) in calls {
                tracing::info!(
                    call = %call.key, user = %telemetry::user(command.user_id), tool = call.tool_name, approved, next_run = %run_id,
                    "decided about a tool call"
                );
            }
            Ok(AcceptedRun {
                run_id,
                conversation_id,
                quota,
            })
        }
        Decided::Unknown => Err(ApiError::not_found("run")),
        Decided::NotWaiting => Err(ApiError::conflict(
            Code::InvalidRequest,
            "The run does not wait for a decision, or was decided otherwise.",
        )),
        Decided::Incomplete => Err(ApiError::invalid_field(
            "decisions",
            "Decide about every call that the run waits for, and no other.",
        )),
    }
}
