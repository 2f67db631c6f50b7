//! `POST /api/{user_id}/chat`: the one entry. Accepts a message, then waits for its run.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    runs::{self, ToolCallView, Usage},
    streams,
};
use crate::{
    App,
    accept::{self, Idempotency, OnBusy},
    auth::User,
    error::{ApiError, ErrorBody},
    request::{self, JsonBytes, Preference},
};

/// Characters of a message.
const MAX_MESSAGE: usize = 8000;

/// A message to the agent.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// What the user says, 1 to 8000 characters.
    #[schema(min_length = 1, max_length = 8000)]
    message: String,
    /// The conversation to go on with; a new one is opened if absent.
    #[serde(default)]
    conversation_id: Option<Uuid>,
    /// Anything the client wants to keep with the message, such as `timestamp` and `source`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Map<String, Value>>,
    /// What to do if the conversation has a run that is not over.
    #[serde(default)]
    on_busy: OnBusy,
}

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
    status: String,
}

impl ChatRequest {
    fn check(&self) -> Result<(), ApiError> {
        check_message(&self.message)?;
        if self
            .metadata
            .iter()
            .flat_map(|metadata| metadata.iter())
            .any(|(name, value)| name.contains('\0') || has_nul(value))
        {
            return Err(ApiError::invalid_field(
                "metadata",
                "metadata must not contain the character NUL.",
            ));
        }
        Ok(())
    }

    /// What makes two requests the same: their content, whatever the order of fields.
    fn hash(&self) -> Vec<u8> {
        let mut canonical = serde_json::to_value(self).unwrap_or_default();
        canonical.sort_all_objects();
        Sha256::digest(canonical.to_string()).to_vec()
    }
}

/// Whether a text can be a message.
///
/// # Errors
/// It is empty, too long, or holds NUL, which Postgres cannot store.
pub(super) fn check_message(message: &str) -> Result<(), ApiError> {
    let length = message.chars().count();
    if !(1..=MAX_MESSAGE).contains(&length) {
        let message =
            format!("message must be 1 to {MAX_MESSAGE} characters; this one has {length}.");
        return Err(ApiError::invalid_field("message", message));
    }
    if message.contains('\0') {
        return Err(ApiError::invalid_field(
            "message",
            "message must not contain the character NUL.",
        ));
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Sends a message to the agent and waits for its reply, or streams it.
///
/// The run goes on when the client hangs up or the wait ends; nothing but a cancel cancels it.
#[utoipa::path(
    post,
    path = "/api/{user_id}/chat",
    tag = "chat",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body joins the same run"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, or `respond-async` (RFC 7240)"),
    ),
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The reply; with `Accept: text/event-stream` the run's AG-UI events instead", body = ChatResponse),
        (status = 202, description = "The wait has ended, the run goes on", body = Accepted,
            headers(("Location" = String), ("Retry-After" = u64), ("Preference-Applied" = String))),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "Unknown conversation", body = ErrorBody),
        (status = 409, description = "The conversation is busy (`on_busy: reject`), or the run was cancelled", body = ErrorBody),
        (status = 413, description = "Body larger than 64 KiB", body = ErrorBody),
        (status = 415, description = "Not application/json", body = ErrorBody),
        (status = 422, description = "Idempotency-Key reused with another body", body = ErrorBody),
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
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    if request::wants_events(&headers) {
        return streams::chat(&app, &user, &headers, &body).await;
    }
    let request: ChatRequest = body.parse()?;
    let run_id = accept(&app, &user, &headers, &request).await?;
    let preference = Preference::from_headers(&headers);
    let run = runs::wait(&app, &user, run_id, preference.wait).await?;
    answer(&user, run, preference)
}

/// Accepts a plain chat body; returns the run.
///
/// # Errors
/// The body is invalid, a limit is reached, or the database is down.
pub(super) async fn accept(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    request: &ChatRequest,
) -> Result<Uuid, ApiError> {
    request.check()?;
    let request_hash = request.hash();
    let key = request::idempotency_key(headers)?;
    let metadata = request.metadata.clone().map(Value::Object);
    let message = accept::Message {
        run_id: errand_shared::ids::new_id(),
        user_id: &user.id,
        conversation_id: request.conversation_id,
        open_if_absent: false,
        text: &request.message,
        metadata: metadata.as_ref(),
        on_busy: request.on_busy,
        idempotency: key.map(|key| Idempotency {
            key,
            request_hash: &request_hash,
        }),
    };
    accept::accept(app, &message).await
}

/// A run that is over answers with its reply or its error, any other with 202.
fn answer(user: &User, run: runs::Outcome, preference: Preference) -> Result<Response, ApiError> {
    let runs::Outcome { run, tool_calls } = run;
    match (run.status.as_str(), run.response, run.message_id) {
        ("completed", Some(response), Some(message_id)) => Ok(axum::Json(ChatResponse {
            response,
            tool_calls,
            conversation_id: run.conversation_id,
            message_id,
            run_id: run.id,
            usage: Usage {
                input_tokens: run.input_tokens,
                output_tokens: run.output_tokens,
                model_calls: run.model_calls,
            },
        })
        .into_response()),
        (status @ ("completed" | "failed" | "cancelled"), ..) => Err(ApiError::of_run(
            run.id,
            status,
            run.error_code.as_deref(),
            run.error_message.as_deref(),
        )),
        _ => {
            let location = runs::location(&user.id, run.id);
            let body = Accepted {
                run_id: run.id,
                conversation_id: run.conversation_id,
                status: run.status,
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
            Ok(response)
        }
    }
}
