//! Who is asking: a bearer token is verified against the identity provider's published keys. Knows no HTTP server.

use std::{borrow::Cow, time::Duration};

use chrono::Utc;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use crate::config::AuthConfig;

mod keys;

use keys::{KeyError, Keys};

/// Bytes of a token that are looked at.
const MAX_TOKEN: usize = 8 * 1024;
/// Bytes of a key's name.
const MAX_KID: usize = 128;
/// Characters of a user's id.
const MAX_USER: usize = 255;
/// What counts as the longest life of a token.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Seconds that clocks may differ.
const LEEWAY: u64 = 30;

/// Why a token proves nothing. The texts are for people, and tell nothing of the inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is missing or bad, and another is needed.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The identity provider cannot be asked for its keys: the same token may do later.
    #[error("The identity provider is not available.")]
    Unavailable,
}

/// Verifies tokens against the identity provider's published keys.
pub struct Verifier {
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
pub struct Proof {
    /// The token's subject: 1 to 255 characters, none of them a control character.
    pub user_id: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

impl Proof {
    /// How long it holds from now on, at most a year. One that is past its end by no more than clocks may differ holds for the rest of that.
    pub fn lasts(&self) -> Duration {
        let left = self.expires_at.saturating_sub(Utc::now().timestamp());
        let leeway = i64::try_from(LEEWAY).unwrap_or(0);
        let left = if left > 0 {
            left
        } else {
            left.saturating_add(leeway)
        };
        Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(LONGEST)
    }
}

impl Verifier {
    /// A verifier that has fetched no key yet: that happens with the first token.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(config: &AuthConfig) -> Result<Self, reqwest::Error> {
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

    /// As this one and with its keys, for what is a resource of its own (RFC 8707): tokens for its URL are taken too, however
    /// that is written.
    pub fn for_resource<'a>(&self, urls: impl Iterator<Item = Cow<'a, str>>) -> Self {
        let mut validation = self.validation.clone();
        let audiences = validation.aud.get_or_insert_default();
        audiences.extend(urls.flat_map(|url| both_forms(&url)));
        Self {
            keys: self.keys.clone(),
            validation,
        }
    }

    /// The user that a token proves.
    ///
    /// # Errors
    /// The token is bad, or the provider's keys cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Proof, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Unauthorized("The token is too long."));
        }
        // Everything that needs no key is checked before one is fetched.
        let header =
            decode_header(token).map_err(|_| AuthError::Unauthorized("The token is malformed."))?;
        if header.alg != Algorithm::EdDSA || header.crit.is_some() {
            return Err(AuthError::Unauthorized(
                "The token is of a kind that is not accepted.",
            ));
        }
        let kid = header.kid.filter(|kid| kid.len() <= MAX_KID);
        let kid = kid.ok_or(AuthError::Unauthorized("The token names no key."))?;
        let key = self.keys.find(&kid).await.map_err(|error| match error {
            KeyError::Unknown => {
                AuthError::Unauthorized("The token is signed with an unknown key.")
            }
            KeyError::Unavailable => AuthError::Unavailable,
        })?;
        let token = decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| AuthError::Unauthorized(reason(error.kind())))?;
        let Claims { sub: user, exp } = token.claims;
        if user.is_empty() || user.chars().count() > MAX_USER || user.chars().any(char::is_control)
        {
            return Err(AuthError::Unauthorized("The token names no usable user."));
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

/// The token of an `Authorization` header (RFC 6750, 2.1), given all values that the request has of it.
///
/// # Errors
/// There is none, more than one, or one of another scheme.
pub fn bearer<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Result<&'a str, AuthError> {
    const MISSING: AuthError =
        AuthError::Unauthorized("Send a token: Authorization: Bearer <token>.");
    let (Some(value), None) = (headers.next(), headers.next()) else {
        return Err(MISSING);
    };
    let value = std::str::from_utf8(value).map_err(|_| MISSING)?;
    let (scheme, token) = value.split_once(' ').ok_or(MISSING)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(MISSING);
    }
    Ok(token.trim())
}
