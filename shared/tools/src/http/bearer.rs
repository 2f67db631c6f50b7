//! Who is asking: the token of a request is verified before MCP sees it, and its user handed on in the request's extensions.
//! Where tokens come from is published as RFC 9728 says.

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use errand_core::time_zone;
use errand_server::{
    auth::{self, AuthError, Verifier},
    config::OriginsConfig,
};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::{PATH, host_guard::HostGuard, http_error::HttpError};
use crate::{McpConfig, identity::Bearer, whole_seconds};

/// Where the metadata is; with the resource's path behind it as RFC 9728, 3.1 builds it, and without, as some clients ask.
pub(super) const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Who is let in, and where others are sent.
pub struct Access {
    verifier: Verifier,
    pub(super) host_guard: Arc<HostGuard>,
    issuer: String,
}

/// Lets a request with a good token pass, with the token's user. A user with too many calls is told so in HTTP's words too.
pub(super) async fn verify(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let user_id = match access.user(request.uri(), request.headers()).await {
        Ok(user_id) => user_id,
        Err(refusal) => return refusal.into_response(),
    };
    let zone = match time_zone::of_headers(request.headers()) {
        Ok(zone) => zone,
        Err(error) => return HttpError::invalid(&error.to_string()).into_response(),
    };
    let too_many = Arc::<OnceLock<_>>::default();
    request.extensions_mut().insert(Bearer {
        user_id,
        zone,
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
    /// To a server of MCP and nothing else: addressed by the names that are configured or this machine's, used by pages of these
    /// origins or, if there are none, of this machine.
    ///
    /// Tokens are those of the verifier, and those for `MCP_URL`; who issues them is told to whoever comes without.
    pub fn alone(
        verifier: &Verifier,
        issuer: &str,
        config: &McpConfig,
        origins: &OriginsConfig,
    ) -> Self {
        Self::new(verifier, issuer, config, HostGuard::alone(config, origins))
    }

    /// To a server of MCP within an application: addressed as that is, by any name unless `MCP_ALLOWED_HOSTS` says by which; used by
    /// its own pages and those of these origins. Tokens are as in [`Self::alone`].
    pub fn within_application(
        verifier: &Verifier,
        issuer: &str,
        config: &McpConfig,
        origins: &OriginsConfig,
    ) -> Self {
        let host_guard = HostGuard::within_application(config, origins);
        Self::new(verifier, issuer, config, host_guard)
    }

    fn new(verifier: &Verifier, issuer: &str, config: &McpConfig, host_guard: HostGuard) -> Self {
        Self {
            verifier: verifier.for_resource(config.resource()),
            host_guard: Arc::new(host_guard),
            issuer: issuer.to_owned(),
        }
    }

    async fn user(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, HttpError> {
        let values = headers.get_all(AUTHORIZATION).iter();
        // RFC 6750, 3.1: whoever sent no token is told no error.
        let token = auth::bearer(values.map(HeaderValue::as_bytes))
            .map_err(|error| self.refusal(uri, headers, error, ""))?;
        let proof = self.verifier.verify(token).await;
        proof
            .map(|proof| proof.user_id)
            .map_err(|error| self.refusal(uri, headers, error, ", error=\"invalid_token\""))
    }

    fn refusal(&self, uri: &Uri, headers: &HeaderMap, error: AuthError, more: &str) -> HttpError {
        match error {
            AuthError::Unauthorized(reason) => {
                let resource = self.host_guard.resource(uri, headers);
                let server = resource.strip_suffix(PATH).unwrap_or(&resource);
                let challenge =
                    format!("Bearer resource_metadata=\"{server}{METADATA}{PATH}\"{more}");
                HttpError::unauthorized(reason, &challenge)
            }
            AuthError::Unavailable => HttpError::unavailable(error.to_string()),
        }
    }
}

/// The metadata of the protected resource (RFC 9728, 2): who issues tokens for it, and how they are sent.
pub(super) async fn metadata(
    State(access): State<Arc<Access>>,
    uri: Uri,
    headers: HeaderMap,
) -> Json<Value> {
    Json(json!({
        "resource": access.host_guard.resource(&uri, &headers),
        "authorization_servers": [access.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "Errand",
    }))
}
