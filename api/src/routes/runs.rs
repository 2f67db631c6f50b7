//! `GET /api/{user_id}/runs/{id}`: one run, now or when it has ended.

use std::time::Duration;

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use errand_core::events::Interrupt;
use errand_core::{RunStatus, pending::PendingCall};
use errand_store::{
    self as store, StoreError, UserTurn,
    lifecycle::{self, Run, tool_call::ToolCall},
    read::usage,
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    App,
    accept::unfenced,
    auth::User,
    error::{ApiError, ErrorBody},
    request::{Params, WaitParams},
};

/// A tool call of a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "tool_name": "add_task",
    "parameters": {"user_id": "demo", "title": "buy milk"},
    "result": {"success": true, "task_id": "01a21a2a-92a0-73a7-94c0-2bfe8badd03a", "message": "Added \"buy milk\"."},
}))]
pub(crate) struct ToolCallView {
    tool_name: String,
    /// All of them, `user_id` included.
    #[schema(value_type = Object)]
    parameters: Value,
    /// The tool's structured output.
    #[schema(value_type = Object)]
    result: Value,
}

impl From<ToolCall> for ToolCallView {
    fn from(call: ToolCall) -> Self {
        Self {
            tool_name: call.tool_name,
            parameters: call.parameters,
            result: call.result,
        }
    }
}

/// What the model used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Usage {
    /// Tokens the model read, also for answers that were cut off.
    input_tokens: i64,
    /// Of these, tokens that came from the provider's prompt cache; absent if it told of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input_tokens: Option<i64>,
    /// Tokens it wrote.
    output_tokens: i64,
    /// Of these, tokens of reasoning that nobody is shown; absent if the provider told of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<i64>,
    /// Answers that were kept.
    model_calls: i32,
    /// True if some of the tokens are an estimate, because the provider did not report them. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    estimated: bool,
    /// Why the reply ends before its end, if it does: `length` or `content_filter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<String>,
    /// Dollars for the answers that were kept, by the installation's table of prices (`PRICES_FILE`); in `GET …/runs/{id}` alone, and absent where
    /// there is no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

impl From<&Run> for Usage {
    fn from(run: &Run) -> Self {
        Self {
            input_tokens: run.input_tokens,
            cached_input_tokens: Some(run.cached_input_tokens).filter(|tokens| *tokens > 0),
            output_tokens: run.output_tokens,
            reasoning_tokens: Some(run.reasoning_tokens).filter(|tokens| *tokens > 0),
            model_calls: run.model_calls,
            estimated: run.usage_estimated,
            finish_reason: run.cut_short.clone(),
            cost: None,
        }
    }
}

/// Why a run failed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RunError {
    code: String,
    message: String,
}

/// A run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunView {
    run_id: Uuid,
    conversation_id: Uuid,
    status: RunStatus,
    /// How often a worker has taken it.
    attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Uuid>,
    tool_calls: Vec<ToolCallView>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RunError>,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
    /// What a `waiting` run waits for: decide with `POST …/runs/{id}/decision`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interrupts: Vec<Interrupt>,
    /// The run that goes on from it: after a decision, or as a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    continued_by: Option<Uuid>,
}

/// A run as the database has it, with its calls.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) tool_calls: Vec<ToolCallView>,
    pub(crate) interrupts: Vec<Interrupt>,
}

/// Where a run can be asked for. The user's id is any text, so it is escaped.
pub(crate) fn location(user_id: &str, run_id: Uuid) -> String {
    let mut url = url::Url::parse("http://x").ok();
    let path = url.as_mut().and_then(|url| {
        url.path_segments_mut()
            .ok()?
            .extend(["api", user_id, "runs", &run_id.to_string()]);
        Some(url.path().to_owned())
    });
    path.unwrap_or_default()
}

/// One run; with `wait`, as soon as it has ended or the wait is over.
#[utoipa::path(
    get,
    path = "/api/{user_id}/runs/{id}",
    tag = "runs",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The run"),
        WaitParams
    ),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
    Params(params): Params<WaitParams>,
) -> Result<axum::Json<RunView>, ApiError> {
    let Path((_, id)) = path;
    let id = id.parse().map_err(|_| ApiError::not_found("run"))?;
    let Outcome {
        run,
        tool_calls,
        interrupts,
    } = wait(&app, &user, id, params.wait()).await?;
    let mut usage = Usage::from(&run);
    usage.cost = cost(&app, &user, run.id).await?;
    Ok(axum::Json(RunView {
        run_id: run.id,
        conversation_id: run.conversation_id,
        attempt: run.attempt,
        error: (run.status == RunStatus::Failed).then(|| RunError {
            code: run.error_code.unwrap_or_else(|| "run_failed".to_owned()),
            message: run.error_message.unwrap_or_default(),
        }),
        status: run.status,
        response: run.response,
        message_id: run.message_id,
        tool_calls,
        usage,
        created_at: run.created_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
        interrupts,
        continued_by: run.continued_by,
    }))
}

/// Dollars that a run has cost; asked for only where there are prices.
async fn cost(app: &App, user: &User, id: Uuid) -> Result<Option<f64>, ApiError> {
    if app.prices.is_empty() {
        return Ok(None);
    }
    let turn = app.reads.enter(&user.id).await?;
    let took = store::within(async {
        let mut db = turn.begin().await?;
        let took = usage::of_run(&mut db, &user.id, id).await;
        db.done(took).await
    });
    let took = took.await?;
    Ok(super::usage::sum(
        took.iter()
            .map(|took| super::usage::cost(&app.prices, took)),
    ))
}

/// Waits until the run has ended or waits for a decision, the wait is over, or this process is asked to stop; then reads it.
///
/// # Errors
/// The user has no such run, or the database is down.
pub(crate) async fn wait(
    app: &App,
    user: &User,
    id: Uuid,
    wait: Duration,
) -> Result<Outcome, ApiError> {
    let deadline = Instant::now() + wait;
    // Without a place among the waiters there is no wait.
    let Some(waiter) = (!wait.is_zero())
        .then(|| app.waiting.watch(id, &user.id))
        .flatten()
    else {
        return read(app, user, id).await;
    };
    loop {
        // The sign is asked for before the row is read: an end in between is not missed.
        let ended = waiter.ended();
        let outcome = read(app, user, id).await?;
        if !outcome.run.status.is_active() {
            return Ok(outcome);
        }
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep_until(deadline) => return read(app, user, id).await,
            () = app.stop.cancelled() => return read(app, user, id).await,
        }
    }
}

async fn read(app: &App, user: &User, id: Uuid) -> Result<Outcome, ApiError> {
    let turn = app.reads.enter(&user.id).await?;
    let found = store::within(lifecycle::read(&turn, &user.id, id)).await?;
    let (run, tool_calls) = found.ok_or_else(|| ApiError::not_found("run"))?;
    let pending = match run.status {
        RunStatus::AwaitingApproval => store::within(pending(&turn, &user.id, id)).await?,
        _ => Vec::new(),
    };
    Ok(Outcome {
        run,
        interrupts: pending.iter().map(Interrupt::from).collect(),
        tool_calls: tool_calls.into_iter().map(ToolCallView::from).collect(),
    })
}

async fn pending(
    turn: &UserTurn<'_>,
    user_id: &str,
    run_id: Uuid,
) -> Result<Vec<PendingCall>, StoreError> {
    let mut db = turn.begin().await?;
    let pending = lifecycle::pending(&mut db, user_id, run_id).await;
    db.done(pending).await
}

/// What became of a cancel.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CancelView {
    run_id: Uuid,
    /// `cancelled`; `running` if its worker has yet to hear of it; or how the run had ended before.
    status: RunStatus,
}

/// Cancels a run. What its tools have done stays done; a partial reply is kept.
#[utoipa::path(
    post,
    path = "/api/{user_id}/runs/{id}/cancel",
    tag = "runs",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The run"),
    ),
    responses(
        (status = 200, description = "The run's status now", body = CancelView),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
) -> Result<axum::Json<CancelView>, ApiError> {
    let Path((_, id)) = path;
    let run_id = id.parse().map_err(|_| ApiError::not_found("run"))?;
    let status = cancel_run(&app, &user.id, run_id).await?;
    Ok(axum::Json(CancelView { run_id, status }))
}

/// Asks for a run to be cancelled; returns its status.
///
/// # Errors
/// The user has no such run, or the database is down.
pub(crate) async fn cancel_run(
    app: &App,
    user_id: &str,
    run_id: Uuid,
) -> Result<RunStatus, ApiError> {
    let turn = app.users.enter(user_id).await?;
    store::within(async {
        let mut tx = turn.lock().await?;
        let max_ready = i64::from(app.limits.max_ready_runs);
        let status = lifecycle::cancel(&mut tx, user_id, run_id, max_ready)
            .await
            .map_err(unfenced)?;
        store::commit(tx).await?;
        status.ok_or_else(|| ApiError::not_found("run"))
    })
    .await
}
