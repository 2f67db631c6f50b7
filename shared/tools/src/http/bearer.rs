//! Who is asking: the token of a request is verified before MCP sees it, and its user handed on in the request's extensions.
//! Where tokens come from is published as RFC 9728 says.

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use errand_shared::{
    auth::{self, AuthError, Verifier},
    config::{AuthConfig, OriginsConfig},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::{PATH, door::Door, refusal::Refusal};
use crate::{McpConfig, identity::Bearer, whole_seconds};

/// Where the metadata is; with the resource's path behind it as RFC 9728, 3.1 builds it, and without, as some clients ask.
pub(super) const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Who is let in, and where others are sent.
pub struct Access {
    verifier: Verifier,
    pub(super) door: Arc<Door>,
    issuer: String,
}

/// Lets a request with a good token pass, with the token's user. A user with too many calls is told so in HTTP's words too.
pub(super) async fn verify(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let user_id = match access.user(request.headers()).await {
        Ok(user_id) => user_id,
        Err(refusal) => return refusal.into_response(),
    };
    let too_many = Arc::<OnceLock<_>>::default();
    request.extensions_mut().insert(Bearer {
        user_id,
        too_many: Arc::clone(&too_many),
    });
    let mut response = next.run(request).await;
    if let Some(pause) = too_many.get() {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let seconds = HeaderValue::from(whole_seconds(*pause));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

impl Access {
    /// Tokens of this provider; pages of these origins or, if there are none, of this machine.
    ///
    /// # Errors
    /// The client for the identity provider could not be built.
    pub fn new(
        auth: &AuthConfig,
        mcp: &McpConfig,
        origins: &OriginsConfig,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            verifier: Verifier::for_resource(auth, mcp.resource())?,
            door: Arc::new(Door::new(mcp, origins)),
            issuer: auth.issuer().to_owned(),
        })
    }

    async fn user(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let values = headers.get_all(AUTHORIZATION).iter();
        // RFC 6750, 3.1: whoever sent no token is told no error.
        let token = auth::bearer(values.map(HeaderValue::as_bytes))
            .map_err(|error| self.refusal(headers, error, ""))?;
        let proof = self.verifier.verify(token).await;
        proof
            .map(|proof| proof.user_id)
            .map_err(|error| self.refusal(headers, error, ", error=\"invalid_token\""))
    }

    fn refusal(&self, headers: &HeaderMap, error: AuthError, more: &str) -> Refusal {
        match error {
            AuthError::Unauthorized(reason) => {
                let resource = self.door.resource(headers);
                let server = resource.strip_suffix(PATH).unwrap_or(&resource);
                let challenge =
                    format!("Bearer resource_metadata=\"{server}{METADATA}{PATH}\"{more}");
                Refusal::unauthorized(reason, &challenge)
            }
            AuthError::Unavailable => Refusal::unavailable(error.to_string()),
        }
    }
}

/// The metadata of the protected resource (RFC 9728, 2): who issues tokens for it, and how they are sent.
pub(super) async fn metadata(State(access): State<Arc<Access>>, headers: HeaderMap) -> Json<Value> {
    Json(json!({
        "resource": access.door.resource(&headers),
        "authorization_servers": [access.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "Errand",
    }))
}
