//! `POST …/runs/{id}/retry`: goes on behind what a run that failed or was cancelled has done.

use axum::{
    body::HttpBody,
    extract::{FromRequest, Path, Request, State},
    response::Response,
};
use errand_core::ids;
use http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    App,
    auth::User,
    body::JsonBody,
    chat::{
        respond::{self, Accepted, ChatResponse},
        sse,
    },
    error::{ApiError, ErrorBody},
    request::{self, Preference},
    retry::{self, Retry},
};

/// A body that says nothing: none at all, or `{}`.
pub(crate) struct Nothing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl FromRequest<App> for Nothing {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if request.body().is_end_stream() {
            return Ok(Self);
        }
        let body = JsonBody::from_request(request, app).await?;
        body.parse::<NoFields>().await.map(|NoFields {}| Self)
    }
}

/// Retries a run that failed or was cancelled, and waits for the reply of the run that goes on, or streams it.
///
/// What the run's tools have done stays done and is not done again: the model sees the interrupted turn with its results and goes
/// on from there. The body is empty or `{}`. A run is retried once; if that run fails too, that one can be retried.
#[utoipa::path(
    post,
    path = "/api/{user_id}/runs/{id}/retry",
    tag = "runs",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The run that failed or was cancelled"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$", description = "The same key joins the run that the first request has started, until a day after its end (KEEP_KEYS)"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, or `respond-async` (RFC 7240)"),
        ("X-Time-Zone" = Option<String>, Header, description = "Where the user is: a name of IANA's data base, such as `Europe/Berlin`. It is remembered; UTC until one is known"),
        ("traceparent" = Option<String>, Header, description = "Where the turn belongs to in a trace of the client (W3C Trace Context)"),
    ),
    responses(
        (status = 200, description = "The reply; with `Accept: text/event-stream` the run's AG-UI events instead", body = ChatResponse,
            headers(("RateLimit" = String), ("RateLimit-Policy" = String))),
        (status = 202, description = "The wait has ended, the run goes on", body = Accepted,
            headers(("Location" = String), ("Retry-After" = u64), ("Preference-Applied" = String))),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 409, description = "The run neither failed nor was cancelled, or another has gone on from it; or the run that goes on was cancelled", body = ErrorBody),
        (status = 413, description = "Body larger than 256 KiB", body = ErrorBody),
        (status = 415, description = "Not application/json", body = ErrorBody),
        (status = 422, description = "Idempotency-Key reused with another request", body = ErrorBody),
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
    path: Path<(String, String)>,
    headers: HeaderMap,
    _body: Nothing,
) -> Result<Response, ApiError> {
    let Path((_, id)) = path;
    let run_id: Uuid = id.parse().map_err(|_| ApiError::not_found("run"))?;
    let wanted = Retry {
        user_id: &user.id,
        run_id,
        child: ids::new_id(),
        key: request::idempotency_key(&headers)?,
        time_zone: request::time_zone(&headers)?,
    };
    let place = request::wants_events(&headers).then(|| app.connections.stream(&user.id));
    let place = place.transpose()?;
    let accepted = retry::retry(&app, &wanted).await?;
    if let Some(place) = place {
        return sse::stream_accepted(&app, &user, place, accepted).await;
    }
    let preference = Preference::from_headers(&headers);
    let deadline = Instant::now() + preference.wait;
    respond::reply(&app, &user, accepted, preference, deadline).await
}
