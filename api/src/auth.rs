//! Who is asking: the bearer token is verified, and the path must be the token's own.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
};
use http::{header::AUTHORIZATION, request::Parts};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use crate::{App, config::AuthConfig, error::ApiError};

mod keys;

use keys::{KeyError, Keys};

/// Bytes of a token that are looked at.
const MAX_TOKEN: usize = 8 * 1024;
/// Bytes of a key's name.
const MAX_KID: usize = 128;
/// Characters of a user's id.
const MAX_USER: usize = 255;
/// Seconds that clocks may differ.
const LEEWAY: u64 = 30;

/// Verifies tokens against the identity provider's published keys.
pub(crate) struct Verifier {
    keys: Keys,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
}

/// What a token proves.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) user_id: String,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

impl Verifier {
    /// # Errors
    /// The HTTP client cannot be built.
    pub(crate) fn new(config: &AuthConfig) -> Result<Self, reqwest::Error> {
        // EdDSA and nothing else: a token cannot choose a weaker algorithm (RFC 8725, 3.1).
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        validation.set_issuer(&both_forms(config.issuer()));
        validation.set_audience(&both_forms(config.audience()));
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        Ok(Self {
            keys: Keys::new(config.jwks_url())?,
            validation,
        })
    }

    /// The user that a token proves.
    pub(crate) async fn verify(&self, token: &str) -> Result<Proof, ApiError> {
        if token.len() > MAX_TOKEN {
            return Err(ApiError::unauthorized("The token is too long."));
        }
        // Everything that needs no key is checked before one is fetched.
        let header =
            decode_header(token).map_err(|_| ApiError::unauthorized("The token is malformed."))?;
        if header.alg != Algorithm::EdDSA || header.crit.is_some() {
            return Err(ApiError::unauthorized(
                "The token is of a kind that is not accepted.",
            ));
        }
        let kid = header.kid.filter(|kid| kid.len() <= MAX_KID);
        let kid = kid.ok_or_else(|| ApiError::unauthorized("The token names no key."))?;
        let key = self.keys.find(&kid).await.map_err(|error| match error {
            KeyError::Unknown => ApiError::unauthorized("The token is signed with an unknown key."),
            KeyError::Unavailable => {
                ApiError::unavailable("The identity provider is not available.")
            }
        })?;
        let token = decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| ApiError::unauthorized(reason(error.kind())))?;
        let Claims { sub: user, exp } = token.claims;
        if user.is_empty() || user.chars().count() > MAX_USER || user.chars().any(char::is_control)
        {
            return Err(ApiError::unauthorized("The token names no usable user."));
        }
        Ok(Proof {
            user_id: user,
            expires_at: exp,
        })
    }
}

/// An issuer is a URL, and people write it with and without a slash at the end.
fn both_forms(url: &str) -> [String; 2] {
    [url.to_owned(), format!("{url}/")]
}

fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match kind {
        ErrorKind::ExpiredSignature => "The token has expired.",
        ErrorKind::InvalidAudience => "The token is for somebody else.",
        ErrorKind::InvalidIssuer => "The token is from somebody else.",
        ErrorKind::InvalidSignature => "The token's signature is wrong.",
        _ => "The token is not valid.",
    }
}

/// The user of a request under `/api/{user_id}`: proven by the token, and the owner of the path.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
}

#[derive(Deserialize)]
struct UserPath {
    user_id: String,
}

impl FromRequestParts<App> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(parts)?;
        let id = app.auth.verify(token).await?.user_id;
        let Path(path) = parts
            .extract::<Path<UserPath>>()
            .await
            .map_err(|_| ApiError::invalid("The path is malformed."))?;
        if path.user_id != id {
            return Err(ApiError::forbidden());
        }
        Ok(Self { id })
    }
}

fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    let missing = || ApiError::unauthorized("Send a token: Authorization: Bearer <token>.");
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(missing());
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    Ok(token.trim())
}
