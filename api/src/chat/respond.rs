//! A run is answered for: its reply if it comes in time, or that it goes on.

use axum::response::{IntoResponse, Response};
use errand_core::{RunStatus, faults};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    App,
    accept::AcceptedRun,
    auth::User,
    error::ApiError,
    request::Preference,
    routes::runs::{self, ToolCallView, Usage},
    spans,
};

/// The agent's reply.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "response": "Added \"buy milk\".",
    "tool_calls": [{
        "tool_name": "add_task",
        "parameters": {"user_id": "demo", "title": "buy milk"},
        "result": {"success": true, "task_id": "01a21a2a-92a0-73a7-94c0-2bfe8badd03a", "message": "Added \"buy milk\"."},
    }],
    "conversation_id": "01a21a2a-90f9-73f2-9999-d3432967db36",
    "message_id": "01a21a2a-939c-7194-8453-71f2b06a3f25",
    "run_id": "01a21a2a-90f9-73f2-9999-d3419217c4be",
    "usage": {"input_tokens": 1376, "output_tokens": 9, "model_calls": 2},
}))]
pub(crate) struct ChatResponse {
    /// The text.
    response: String,
    /// Every tool call of the run, in order.
    tool_calls: Vec<ToolCallView>,
    conversation_id: Uuid,
    /// The reply's message.
    message_id: Uuid,
    run_id: Uuid,
    usage: Usage,
}

/// The run goes on; ask for it later.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Accepted {
    run_id: Uuid,
    conversation_id: Uuid,
    /// As far as it is known: `queued`, `running` or `waiting`.
    status: RunStatus,
}

/// Waits for the reply of a run that has been accepted.
///
/// # Errors
/// Those of the run.
pub(crate) async fn reply(
    app: &App,
    user: &User,
    accepted: AcceptedRun,
    preference: Preference,
    deadline: Instant,
) -> Result<Response, ApiError> {
    let run = turn_end(app, user, accepted.run_id, deadline).await;
    faults::point("answer.before");
    let answer = match run {
        Ok(run) => {
            let ended = run.run.finished_at.and_then(|time| app.db.since(time));
            let _span = ended.map(|ended| spans::answering(run.run.id, ended));
            if let Some(ended) = ended {
                app.metrics.stage("deliver", ended);
            }
            answer(user, run, preference)
        }
        // It is accepted, whatever has become of the database since: an error would make the client say it again.
        Err(error) if error.is_unavailable() => {
            Ok(under_way(user, accepted, RunStatus::Queued, preference))
        }
        Err(error) => Err(error),
    };
    Ok(accepted.tell_quota(answer))
}

/// Answers for a run that has just been accepted that it goes on, whatever it may have come to meanwhile.
pub(crate) fn at_once(user: &User, accepted: AcceptedRun, preference: Preference) -> Response {
    let answer = under_way(user, accepted, RunStatus::Queued, preference);
    accepted.tell_quota(Ok(answer))
}

/// Waits for a run; for one that another has gone on from meanwhile, for that one.
async fn turn_end(
    app: &App,
    user: &User,
    run_id: Uuid,
    deadline: Instant,
) -> Result<runs::Outcome, ApiError> {
    let rest = || deadline.saturating_duration_since(Instant::now());
    let mut outcome = runs::wait(app, user, run_id, rest()).await?;
    while let Some(next) = outcome.run.continued_by {
        outcome = runs::wait(app, user, next, rest()).await?;
    }
    Ok(outcome)
}

/// A run that is over answers with its reply or its error, any other with 202.
fn answer(user: &User, run: runs::Outcome, preference: Preference) -> Result<Response, ApiError> {
    let runs::Outcome {
        run, tool_calls, ..
    } = run;
    let usage = Usage::from(&run);
    match (run.status, run.response, run.message_id) {
        (RunStatus::Completed, Some(response), Some(message_id)) => Ok(axum::Json(ChatResponse {
            response,
            tool_calls,
            conversation_id: run.conversation_id,
            message_id,
            run_id: run.id,
            usage,
        })
        .into_response()),
        (status, ..) if status.is_over() => Err(ApiError::of_run(
            run.id,
            status,
            run.error_code.as_deref(),
            run.error_message.as_deref(),
        )),
        (status, ..) => {
            let accepted = AcceptedRun {
                run_id: run.id,
                conversation_id: run.conversation_id,
                quota: None,
            };
            Ok(under_way(user, accepted, status, preference))
        }
    }
}

fn under_way(
    user: &User,
    accepted: AcceptedRun,
    status: RunStatus,
    preference: Preference,
) -> Response {
    let location = runs::location(&user.id, accepted.run_id);
    let body = Accepted {
        run_id: accepted.run_id,
        conversation_id: accepted.conversation_id,
        status,
    };
    let mut response = (StatusCode::ACCEPTED, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    for (name, value) in [
        ("location", location),
        ("preference-applied", preference.applied()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
