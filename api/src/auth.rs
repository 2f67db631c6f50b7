//! Who is asking: the token is verified, and the path must be the token's own.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
};
use errand_server::auth::{self, AuthError};
use http::{HeaderValue, header::AUTHORIZATION, request::Parts};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{App, error::ApiError, spans};

/// The user of a request under `/api/{user_id}`: proven by the token, and the owner of the path.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    /// When the proof ends. What goes on for longer than an answer, such as a stream, ends with it.
    pub(crate) until: Instant,
}

#[derive(Deserialize)]
struct UserPath {
    user_id: String,
}

impl FromRequestParts<App> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let values = parts.headers.get_all(AUTHORIZATION).iter();
        let token = auth::bearer(values.map(HeaderValue::as_bytes))?;
        let proof = app.auth.verify(token).await?;
        let until = Instant::now() + proof.lasts();
        let id = proof.user_id;
        let Path(path) = parts
            .extract::<Path<UserPath>>()
            .await
            .map_err(|_| ApiError::invalid("The path is malformed."))?;
        if path.user_id != id {
            return Err(ApiError::forbidden());
        }
        spans::of_user(&id);
        Ok(Self { id, until })
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthorized(reason) => Self::unauthorized(reason),
            AuthError::Unavailable => Self::unavailable(error.to_string()),
        }
    }
}
