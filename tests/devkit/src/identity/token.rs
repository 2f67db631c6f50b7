//! Tokens, honest and dishonest, as text. Knows nothing of HTTP nor of which key is current.

use chrono::Utc;
use serde_json::{Map, Value, json};

use super::keys::SigningKey;
use super::{DEFAULT_USER, encode};

/// Better Auth's default, in seconds.
const TOKEN_LIFETIME: i64 = 15 * 60;

/// How a token is signed, honestly or not.
#[derive(Clone, Copy, Debug, Default)]
pub enum Signature {
    /// With the current key.
    #[default]
    EdDsa,
    /// With a key nobody has published, under the current key's id.
    ForeignKey,
    /// HMAC with the bytes of the public key as the secret: the classic algorithm confusion.
    Hs256WithPublicKey,
    /// `"alg":"none"` and no signature.
    Unsigned,
}

/// A token that differs from what an honest provider would sign.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    pub user: String,
    /// Seconds from now until `exp`; negative for an expired token.
    pub expires_in: i64,
    /// Replaces or adds claims, an object; `null` removes one: `json!({"aud": "elsewhere", "sub": null})`.
    pub claims: Value,
    /// The header's key id instead of the current key's.
    pub kid: Option<String>,
    pub signature: Signature,
}

impl Default for TokenSpec {
    fn default() -> Self {
        Self {
            user: DEFAULT_USER.into(),
            expires_in: TOKEN_LIFETIME,
            claims: Value::Null,
            kid: None,
            signature: Signature::default(),
        }
    }
}

/// The token, under the id of `named` and signed by `signer`. Put together by hand: a library for tokens rightly refuses to make the dishonest ones.
pub(super) fn assemble(
    issuer: &str,
    spec: &TokenSpec,
    named: &SigningKey,
    signer: &SigningKey,
) -> String {
    let algorithm = match spec.signature {
        Signature::EdDsa | Signature::ForeignKey => "EdDSA",
        Signature::Hs256WithPublicKey => "HS256",
        Signature::Unsigned => "none",
    };
    // No `typ`: Better Auth sends none.
    let header = json!({ "alg": algorithm, "kid": spec.kid.as_deref().unwrap_or(named.id()) });
    let message = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims(issuer, spec).to_string())
    );
    let signature = match spec.signature {
        Signature::EdDsa | Signature::ForeignKey => signer.sign(message.as_bytes()),
        Signature::Hs256WithPublicKey => signer.confuse(message.as_bytes()),
        Signature::Unsigned => Vec::new(),
    };
    format!("{message}.{}", encode(signature))
}

fn claims(issuer: &str, spec: &TokenSpec) -> Value {
    let now = Utc::now().timestamp();
    let mut claims = Map::new();
    claims.insert("sub".into(), spec.user.as_str().into());
    claims.insert("name".into(), spec.user.as_str().into());
    claims.insert("email".into(), format!("{}@example.com", spec.user).into());
    claims.insert("iss".into(), issuer.into());
    claims.insert("aud".into(), issuer.into());
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), (now + spec.expires_in).into());
    for (name, value) in spec.claims.as_object().into_iter().flatten() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims.into()
}
