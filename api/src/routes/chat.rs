//! `POST /api/{user_id}/chat`: the one entry. Accepts a message, then waits for its run.

use axum::{
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use errand_core::{RunStatus, faults, ids};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    message::{self, ChatRequest},
    runs::{self, ToolCallView, Usage},
    streams,
};
use crate::{
    App, accept,
    auth::User,
    body::JsonBody,
    error::{ApiError, ErrorBody},
    live::waiters::Waiter,
    request::{self, Preference},
};

/// The agent's reply.
#[derive(Debug, Serialize, utoipa::ToSchema)]
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

/// Sends a message to the agent and waits for its reply, or streams it.
///
/// The run goes on when the client hangs up or the wait ends; nothing but a cancel cancels it. With `Accept: text/event-stream`
/// the body may also be AG-UI's `RunAgentInput`, whatever else it holds.
#[utoipa::path(
    post,
    path = "/api/{user_id}/chat",
    tag = "chat",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "The same key with the same body joins the same run, until a day after its end (KEEP_KEYS)"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, or `respond-async` (RFC 7240)"),
        ("X-Time-Zone" = Option<String>, Header, description = "Where the user is: a name of IANA's data base, such as `Europe/Berlin`. It is remembered; UTC until one is known"),
    ),
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The reply; with `Accept: text/event-stream` the run's AG-UI events instead", body = ChatResponse,
            headers(("RateLimit" = String), ("RateLimit-Policy" = String))),
        (status = 202, description = "The wait has ended, the run goes on", body = Accepted,
            headers(("Location" = String), ("Retry-After" = u64), ("Preference-Applied" = String))),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "Unknown conversation", body = ErrorBody),
        (status = 409, description = "The conversation is busy (`on_busy: reject`), or the run was cancelled", body = ErrorBody),
        (status = 413, description = "Body larger than 256 KiB (AG-UI's `RunAgentInput`: 8 MiB), or `metadata` larger than 64 KiB", body = ErrorBody),
        (status = 415, description = "Not application/json", body = ErrorBody),
        (status = 422, description = "Idempotency-Key reused with another body", body = ErrorBody),
        (status = 429, description = "Too many messages", body = ErrorBody,
            headers(("Retry-After" = u64), ("RateLimit" = String), ("RateLimit-Policy" = String))),
        (status = 500, description = "The run failed, or something went wrong here", body = ErrorBody),
        (status = 502, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 504, description = "The run took too long", body = ErrorBody),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    user: User,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    if request::wants_events(&headers) {
        let body = JsonBody::with_history(&app, &user.id, request).await?;
        return Box::pin(streams::chat(&app, &user, &headers, body)).await;
    }
    let body = JsonBody::from_request(request, &app).await?;
    let request: ChatRequest = body.parse().await?;
    let preference = Preference::from_headers(&headers);
    let deadline = Instant::now() + preference.wait;
    let run_id = ids::new_id();
    // Watched before it is there: its end cannot slip through, so the row is not read before there is something to read.
    let waiter = app.waiting.watch(run_id, &user.id);
    let ended = waiter.as_ref().map(Waiter::ended);
    let accepted = message::accept_chat(&app, &user, &headers, &request, run_id).await?;
    if let Some(ended) = ended.filter(|_| accepted.run_id == run_id) {
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = app.stop.cancelled() => {}
        }
    }
    // Whoever waits on takes a place anew.
    drop(waiter);
    reply(&app, &user, accepted, preference, deadline).await
}

/// Waits for the reply of a run that has been accepted.
///
/// # Errors
/// Those of the run.
pub(super) async fn reply(
    app: &App,
    user: &User,
    accepted: accept::AcceptedRun,
    preference: Preference,
    deadline: Instant,
) -> Result<Response, ApiError> {
    let run = turn_end(app, user, accepted.run_id, deadline).await;
    faults::point("answer.before");
    let answer = match run {
        Ok(run) => answer(user, run, preference),
        // It is accepted, whatever has become of the database since: an error would make the client say it again.
        Err(error) if error.is_unavailable() => {
            Ok(under_way(user, accepted, RunStatus::Queued, preference))
        }
        Err(error) => Err(error),
    };
    Ok(accepted.tell_quota(answer))
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
            let accepted = accept::AcceptedRun {
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
    accepted: accept::AcceptedRun,
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
