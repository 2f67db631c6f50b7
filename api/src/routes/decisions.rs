//! `POST …/runs/{id}/decision`: the user's answer to a run that waits for approval.

use axum::{
    extract::{Path, State},
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
        input::decision::DecisionRequest,
        respond::{self, Accepted, ChatResponse},
        sse,
    },
    decide::{self, DecisionCommand},
    error::{ApiError, ErrorBody},
    request::{self, Preference},
};

/// Approves or rejects the tool calls that a run waits for, and waits for the reply of the run that goes on, or streams it.
///
/// The same decision again finds the run that it has started; another one is a conflict.
#[utoipa::path(
    post,
    path = "/api/{user_id}/runs/{id}/decision",
    tag = "runs",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The run that waits"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, or `respond-async` (RFC 7240)"),
        ("X-Time-Zone" = Option<String>, Header, description = "Where the user is: a name of IANA's data base, such as `Europe/Berlin`. It is remembered; UTC until one is known"),
        ("traceparent" = Option<String>, Header, description = "Where the turn belongs to in a trace of the client (W3C Trace Context)"),
    ),
    request_body = DecisionRequest,
    responses(
        (status = 200, description = "The reply; with `Accept: text/event-stream` the run's AG-UI events instead", body = ChatResponse),
        (status = 202, description = "The wait has ended, the run goes on", body = Accepted,
            headers(("Location" = String), ("Retry-After" = u64), ("Preference-Applied" = String))),
        (status = 400, description = "Malformed request, or a call is left out", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 409, description = "The run does not wait, or was decided otherwise; or the run that goes on was cancelled", body = ErrorBody),
        (status = 413, description = "Body larger than 256 KiB", body = ErrorBody),
        (status = 415, description = "Not application/json", body = ErrorBody),
        (status = 422, description = "The run id is taken", body = ErrorBody),
        (status = 429, description = "Too many messages", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 500, description = "The run failed, or something went wrong here", body = ErrorBody),
        (status = 502, description = "The model failed", body = ErrorBody),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 504, description = "The run took too long", body = ErrorBody),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
    headers: HeaderMap,
    body: JsonBody<'static>,
) -> Result<Response, ApiError> {
    let Path((_, id)) = path;
    let run_id = id.parse().map_err(|_| ApiError::not_found("run"))?;
    let request: DecisionRequest = body.parse().await?;
    let command = DecisionCommand {
        user_id: &user.id,
        run_id,
        thread: None,
        child: request.run_id.unwrap_or_else(ids::new_id),
        decision: &request.decision()?,
        time_zone: request::time_zone(&headers)?,
    };
    let place = request::wants_events(&headers).then(|| app.connections.stream(&user.id));
    let place = place.transpose()?;
    let accepted = decide::decide(&app, &command).await?;
    if let Some(place) = place {
        sse::stream_accepted(&app, &user, place, accepted).await
    } else {
        let preference = Preference::from_headers(&headers);
        let deadline = Instant::now() + preference.wait;
        respond::reply(&app, &user, accepted, preference, deadline).await
    }
}
