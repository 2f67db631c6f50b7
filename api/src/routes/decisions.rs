//! `POST …/runs/{id}/decision`: the user's answer to a run that waits for approval.

use std::collections::HashMap;

use axum::{
    extract::{Path, State},
    response::Response,
};
use errand_core::ids;
use errand_store::lifecycle::Decision;
use http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    chat::{self, ChatResponse},
    streams,
};
use crate::{
    App,
    auth::User,
    body::{self, JsonBody},
    decide::{self, DecisionCommand},
    error::{ApiError, ErrorBody},
    request::{self, Preference},
};

/// Calls of one run that can be decided about.
const MAX_DECISIONS: usize = 512;

/// What the user decides: `approve` for all calls alike, or `decisions` for each.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionRequest {
    /// All calls are approved, or all rejected.
    #[serde(default)]
    approve: Option<bool>,
    /// By the id of each interrupt.
    #[serde(default)]
    #[schema(value_type = Option<HashMap<String, bool>>)]
    decisions: Option<HashMap<String, bool>>,
    /// The run that is to go on; made by the client, it is also the idempotency key.
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    run_id: Option<Uuid>,
}

impl DecisionRequest {
    fn decision(self) -> Result<Decision, ApiError> {
        decision(self.approve, self.decisions)
    }
}

/// # Errors
/// Neither, both, or too many.
pub(super) fn decision(
    approve: Option<bool>,
    decisions: Option<HashMap<String, bool>>,
) -> Result<Decision, ApiError> {
    match (approve, decisions) {
        (Some(approve), None) => Ok(Decision::All(approve)),
        (None, Some(each)) if (1..=MAX_DECISIONS).contains(&each.len()) => Ok(Decision::Each(each)),
        _ => Err(ApiError::invalid(
            "Send either approve, or decisions with one entry for each interrupt.",
        )),
    }
}

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
    ),
    request_body = DecisionRequest,
    responses(
        (status = 200, description = "The reply; with `Accept: text/event-stream` the run's AG-UI events instead", body = ChatResponse),
        (status = 202, description = "The wait has ended, the run goes on", body = chat::Accepted,
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
        streams::stream_accepted(&app, &user, place, accepted).await
    } else {
        let preference = Preference::from_headers(&headers);
        let deadline = Instant::now() + preference.wait;
        chat::reply(&app, &user, accepted, preference, deadline).await
    }
}
