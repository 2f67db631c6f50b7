//! `POST /api/{user_id}/chat`: the one entry. Accepts a message, then waits for its run.

use axum::{
    extract::{FromRequest, Request, State},
    response::Response,
};
use errand_core::ids;
use http::HeaderMap;
use tokio::time::Instant;

use crate::{
    App,
    auth::User,
    body::JsonBody,
    chat::{
        input::ChatRequest,
        respond::{self, Accepted, ChatResponse},
        sse, submit,
    },
    error::{ApiError, ErrorBody},
    live::waiters::Waiter,
    request::{self, Preference},
};

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
        ("traceparent" = Option<String>, Header, description = "Where the turn belongs to in a trace of the client (W3C Trace Context)"),
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
        return Box::pin(sse::chat(&app, &user, &headers, body)).await;
    }
    let body = JsonBody::from_request(request, &app).await?;
    let request: ChatRequest = body.parse().await?;
    let preference = Preference::from_headers(&headers);
    let deadline = Instant::now() + preference.wait;
    let run_id = ids::new_id();
    // Watched before it is there: its end cannot slip through, so the row is not read before there is something to read.
    let waiter = app.waiting.watch(run_id, &user.id);
    let ended = waiter.as_ref().map(Waiter::ended);
    let accepted = submit::message(&app, &user, &headers, &request, run_id).await?;
    if preference.is_async() && accepted.run_id == run_id {
        return Ok(respond::at_once(&user, accepted, preference));
    }
    if let Some(ended) = ended.filter(|_| accepted.run_id == run_id) {
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = app.stop.cancelled() => {}
        }
    }
    // Whoever waits on takes a place anew.
    drop(waiter);
    respond::reply(&app, &user, accepted, preference, deadline).await
}
