//! Answers that are no MCP: errors in the form that Errand's API has, with the same codes.

use std::time::Duration;

use axum::{
    Json,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use crate::whole_seconds;

/// An answer that is an error.
#[derive(Debug)]
pub struct HttpError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
    authenticate: Option<HeaderValue>,
}

impl HttpError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            authenticate: None,
        }
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// With the challenge that tells a client where to get a token (RFC 9728, 5.1).
    pub(super) fn unauthorized(message: &str, challenge: &str) -> Self {
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        refusal.authenticate = HeaderValue::from_str(challenge).ok();
        refusal
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        let message = "There is no such page; MCP is at /mcp.";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn too_large() -> Self {
        let message = "The body is too large.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// Something failed here, which is not told.
    pub fn internal() -> Self {
        let message = "Something went wrong here.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// The same may succeed in a moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        refusal.retry_after = Some(Duration::from_secs(2));
        refusal
    }

    /// For an error that a library has answered in its own words, which are not ours.
    fn of_status(status: StatusCode, body_is_json: bool) -> Self {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                let message = "Only POST is allowed here: there are no sessions to follow or end.";
                Self::new(status, "method_not_allowed", message)
            }
            StatusCode::NOT_ACCEPTABLE => {
                let message = "Accept both application/json and text/event-stream.";
                Self::new(status, "invalid_request", message)
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(
                status,
                "invalid_request",
                "The request did not end in time.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE if body_is_json => {
                Self::invalid("The body is not a message of MCP.")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                let message = "Send the body as application/json.";
                Self::new(status, "unsupported_media_type", message)
            }
            status if status.is_client_error() => {
                Self::new(status, "invalid_request", "The request is malformed.")
            }
            _ => Self::internal(),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message, "details": {}}});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        if let Some(challenge) = self.authenticate {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        // As the API does: a body that was not read to its end leaves a connection that cannot be used again.
        if matches!(
            self.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Replaces errors that come as plain text from a library. Those that are JSON are MCP's, or ours already.
pub async fn in_our_words(request: Request, next: Next) -> Response {
    let sent_json = is_json(request.headers());
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || is_json(response.headers()) {
        return response;
    }
    let (parts, _) = response.into_parts();
    let mut response = HttpError::of_status(status, sent_json).into_response();
    if let Some(allowed) = parts.headers.get(http::header::ALLOW) {
        response
            .headers_mut()
            .insert(http::header::ALLOW, allowed.clone());
    }
    response
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
