//! `GET …/runs/{id}/events`: a run as it goes, from any place.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;

use crate::{
    App,
    auth::User,
    chat::{
        input::agent::Names,
        sse::{self, ServerSentEvent},
    },
    error::{ApiError, ErrorBody},
};

/// The events of a run, from its start or behind `Last-Event-ID`, until its end or that of the token.
#[utoipa::path(
    get,
    path = "/api/{user_id}/runs/{id}/events",
    tag = "runs",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The run"),
        ("Last-Event-ID" = Option<i64>, Header, minimum = 0, description = "The seq of the last event seen"),
    ),
    responses(
        (status = 200, description = "AG-UI events, each under its seq as id", content_type = "text/event-stream", body = ServerSentEvent),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such run, or its events are purged", body = ErrorBody),
        (status = 429, description = "Too many streams", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn events(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path((_, id)) = path;
    let run_id = id.parse().map_err(|_| ApiError::not_found("run"))?;
    let seq = match headers.get("last-event-id") {
        None => 0,
        Some(seq) => {
            let seq = seq
                .to_str()
                .ok()
                .and_then(|seq| seq.trim().parse::<i64>().ok());
            seq.filter(|seq| *seq >= 0).ok_or_else(|| {
                ApiError::invalid_field(
                    "Last-Event-ID",
                    "Last-Event-ID must be the id of an event.",
                )
            })?
        }
    };
    let place = app.connections.stream(&user.id)?;
    sse::stream_run(&app, &user, place, run_id, seq, Names::default()).await
}
