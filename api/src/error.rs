//! The one error of the API: a status, a stable code, a message for people, never an internal text.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use errand_core::{RunStatus, user_queue::Crowded};
use errand_store::StoreError;
use errand_tools::ToolError;
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::quota::{LimitExceeded, Quota};

/// When to try again after too many requests at the same time.
const CROWD_PAUSE: Duration = Duration::from_secs(2);

/// A stable code of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    ConversationBusy,
    PayloadTooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    RateLimited,
    ModelError,
    RunTimeout,
    RunFailed,
    Cancelled,
    InternalError,
    Unavailable,
}

/// The body of every error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorObject,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ErrorObject {
    /// Stable: programs decide by it.
    code: Code,
    /// For people.
    message: String,
    /// More about it, by code.
    #[schema(value_type = Object)]
    details: Value,
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: Code,
    message: String,
    details: Value,
    /// Seconds.
    retry_after: Option<u32>,
    quota: Option<Box<Quota>>,
}

impl ApiError {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: json!({}),
            retry_after: None,
            quota: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidRequest, message)
    }

    /// An invalid field or header, named in the details.
    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(message).with_details(json!({"field": field}))
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "This method is not allowed here.";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::MethodNotAllowed,
            message,
        )
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            Code::Forbidden,
            "This path belongs to another user.",
        )
    }

    pub(crate) fn foreign_origin() -> Self {
        let message = "This origin may not connect; see ALLOWED_ORIGINS.";
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            format!("There is no such {what}."),
        )
    }

    pub(crate) fn conversation_busy() -> Self {
        let message = "The conversation has a run that is not over.";
        Self::new(StatusCode::CONFLICT, Code::ConversationBusy, message)
    }

    pub(crate) fn conflict(code: Code, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(crate) fn payload_too_large(limit: usize) -> Self {
        let message = format!("The body is larger than {limit} bytes.");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::PayloadTooLarge,
            message,
        )
    }

    /// A part of the body that has a limit of its own, named in the details.
    pub(crate) fn field_too_large(field: &str, limit: usize) -> Self {
        let message = format!("{field} is larger than {limit} bytes.");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::PayloadTooLarge,
            message,
        )
        .with_details(json!({"field": field}))
    }

    pub(crate) fn request_timeout() -> Self {
        let message = "The body did not arrive in time.";
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::InvalidRequest, message)
    }

    pub(crate) fn unsupported_media_type() -> Self {
        let message = "Send the body as application/json.";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::UnsupportedMediaType,
            message,
        )
    }

    pub(crate) fn idempotency_key_reused() -> Self {
        let message = "This Idempotency-Key came with another request before.";
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Code::IdempotencyKeyReused,
            message,
        )
    }

    pub(crate) fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
        error.retry_after = Some(seconds_up(retry_after));
        error
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::InternalError,
            "Something went wrong here.",
        )
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message);
        error.retry_after = Some(2);
        error
    }

    /// A run that ended without a reply, by its stored code.
    pub(crate) fn of_run(
        run_id: Uuid,
        status: RunStatus,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Self {
        let (http, code) = match (status, code) {
            (RunStatus::Cancelled, _) => (StatusCode::CONFLICT, Code::Cancelled),
            (_, Some("model_error")) => (StatusCode::BAD_GATEWAY, Code::ModelError),
            (_, Some("run_timeout")) => (StatusCode::GATEWAY_TIMEOUT, Code::RunTimeout),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Code::RunFailed),
        };
        let message = message.unwrap_or(if status == RunStatus::Cancelled {
            "The run was cancelled."
        } else {
            "The run failed."
        });
        Self::new(http, code, message).with_details(json!({"run_id": run_id}))
    }

    /// The stable code, for a frame of the socket.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Whether the same may succeed later, as far as it depends on the database.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.code == Code::Unavailable
    }

    /// The message for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Tells what remains of the limits.
    pub(crate) fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = Some(Box::new(quota));
        self
    }

    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

impl From<LimitExceeded> for ApiError {
    /// 429 with Retry-After, and what remains of the limits over time.
    fn from(exceeded: LimitExceeded) -> Self {
        Self::rate_limited(exceeded.message, exceeded.pause).with_quota(exceeded.quota)
    }
}

impl From<Crowded> for ApiError {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::OfUser => {
                let message = "Too many requests at the same time.";
                Self::rate_limited(message, CROWD_PAUSE)
            }
            Crowded::OfProcess => Self::unavailable("Too many requests at the same time."),
        }
    }
}

/// Of a filter that is not valid.
impl From<ToolError> for ApiError {
    fn from(error: ToolError) -> Self {
        Self::invalid(error.message()).with_details(error.details().clone())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Crowded(crowded) = error {
            return crowded.into();
        }
        // Logged here, once, at the boundary; the client is told nothing of the inside.
        if error.is_outage() {
            tracing::warn!(%error, "the database is unavailable");
            Self::unavailable("The database is not available.")
        } else {
            tracing::error!(%error, "the database refused a query");
            Self::internal()
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorObject {
                code: self.code,
                message: self.message,
                details: self.details,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(pause));
        }
        if let Some(quota) = self.quota {
            quota.write(headers);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The body may not have been read to its end, and then the connection closes: a client that is not told would use it once more.
        if matches!(
            self.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whole seconds, rounded up, at least 1: Retry-After knows no fractions.
fn seconds_up(duration: Duration) -> u32 {
    let seconds = (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
