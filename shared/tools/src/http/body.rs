//! What of a body is looked at before MCP reads it.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use errand_core::json;

use super::http_error::HttpError;

/// Bytes of a body: the longest description, with every character escaped, fits twice.
pub(super) const MAX: usize = 256 * 1024;

/// Refuses a message that has a key twice: of two tasks, say, it is not for a parser to choose which one is deleted.
pub(super) async fn without_ambiguity(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX).await else {
        return HttpError::too_large().into_response();
    };
    // What is no text is for MCP to refuse.
    let checked = std::str::from_utf8(&bytes).map_or(Ok(()), json::check_keys);
    match checked {
        Ok(()) => {
            next.run(Request::from_parts(parts, Body::from(bytes)))
                .await
        }
        Err(ambiguous) => HttpError::invalid(&ambiguous.to_string()).into_response(),
    }
}
