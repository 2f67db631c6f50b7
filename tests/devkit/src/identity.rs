//! A stand-in identity provider for development and tests. It speaks the wire format of Better Auth's JWT plugin and signs a
//! token for whoever asks, under any name: it must never run where it can be reached from outside, hence 127.0.0.1 only.

mod keys;
mod token;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use keys::SigningKey;
use token::assemble;
pub use token::{Signature, TokenSpec};

/// Who a token is for if nobody is named.
const DEFAULT_USER: &str = "demo";

/// What [`IdentityProvider::start`] needs to know.
#[derive(Clone, Debug, Default)]
pub struct IdentityOptions {
    /// Keeps the signing key in this file, so that tokens survive a restart on the same port. `None`: a new key.
    pub key_file: Option<PathBuf>,
    /// A fixed port, as the issuer's name contains it. `None`: any free one.
    pub port: Option<u16>,
}

/// A running provider. It serves on the runtime it was started on and ends with it, or when dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    /// The published keys; the last one signs. Never empty.
    keys: RwLock<Vec<SigningKey>>,
    down: AtomicBool,
    jwks_fetches: AtomicU64,
}

impl IdentityProvider {
    /// Binds 127.0.0.1 and serves. Fails if the fixed port is taken or the key file holds no key.
    pub async fn start(options: IdentityOptions) -> Result<Self> {
        let key = match &options.key_file {
            Some(path) => SigningKey::load_or_create(path)?,
            None => SigningKey::generate()?,
        };
        let port = options.port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("the identity provider cannot listen on port {port}"))?;
        let shared = Arc::new(Shared {
            issuer: format!("http://{}", listener.local_addr()?),
            keys: RwLock::new(vec![key]),
            down: AtomicBool::new(false),
            jwks_fetches: AtomicU64::new(0),
        });
        let router = router(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the identity provider stopped");
            }
        });
        Ok(Self { shared, server })
    }

    /// The `iss` claim and base URL, such as `http://127.0.0.1:4001`; also the `aud` claim. No trailing slash.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// An honest token for `user`, valid for 15 minutes.
    pub fn token(&self, user: &str) -> String {
        self.shared.honest_token(user)
    }

    /// A token as specified, for tests of what must be refused.
    pub fn token_with(&self, spec: &TokenSpec) -> Result<String> {
        let foreign = SigningKey::generate()?;
        Ok(self.shared.sign(spec, &foreign))
    }

    /// Signs with a new key from now on; the earlier ones stay published. A key file keeps the first key.
    pub fn rotate(&self) -> Result<()> {
        let key = SigningKey::generate()?;
        self.shared.with_keys_mut(|keys| keys.push(key));
        Ok(())
    }

    /// Publishes the current key alone from now on, as after a leak of the earlier ones.
    pub fn withdraw_old_keys(&self) {
        self.shared.with_keys_mut(|keys| {
            keys.drain(..keys.len() - 1);
        });
    }

    /// While down, the key set answers 503. Tokens are still signed.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// How often the key set was asked for, also while down.
    pub fn jwks_fetches(&self) -> u64 {
        self.shared.jwks_fetches.load(Ordering::SeqCst)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn with_keys<T>(&self, read: impl FnOnce(&[SigningKey]) -> T) -> T {
        read(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_keys_mut(&self, change: impl FnOnce(&mut Vec<SigningKey>)) {
        change(&mut self.keys.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn honest_token(&self, user: &str) -> String {
        let spec = TokenSpec {
            user: user.into(),
            ..TokenSpec::default()
        };
        self.with_keys(|keys| assemble(&self.issuer, &spec, current(keys), current(keys)))
    }

    fn sign(&self, spec: &TokenSpec, foreign: &SigningKey) -> String {
        self.with_keys(|keys| {
            let named = current(keys);
            let signer = match spec.signature {
                Signature::ForeignKey => foreign,
                _ => named,
            };
            assemble(&self.issuer, spec, named, signer)
        })
    }
}

/// The key that signs.
fn current(keys: &[SigningKey]) -> &SigningKey {
    &keys[keys.len() - 1]
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/auth/jwks", get(jwks))
        .route("/api/auth/token", get(issue).post(issue))
        .layer(middleware::from_fn(allow_any_origin))
        .with_state(shared)
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    shared.jwks_fetches.fetch_add(1, Ordering::SeqCst);
    if shared.down.load(Ordering::SeqCst) {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "DOWN",
            "the key set is switched off",
        );
    }
    let keys = shared.with_keys(|keys| keys.iter().map(SigningKey::to_jwk).collect::<Vec<_>>());
    Json(json!({ "keys": keys })).into_response()
}

/// Where Better Auth would look at the session, the caller just names the user.
async fn issue(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let body: Value = if body.is_empty() {
        Value::Null
    } else {
        match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "INVALID_BODY",
                    "the body is not JSON",
                );
            }
        }
    };
    let user = match body.get("user") {
        // An empty name is refused below, as one that is no string must be.
        Some(user) => user.as_str().unwrap_or_default(),
        None => query.get("user").map_or(DEFAULT_USER, String::as_str),
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    if !(1..=64).contains(&user.len()) || !user.bytes().all(plain) {
        let message = "user must have 1 to 64 characters of A-Z a-z 0-9 . _ -";
        return refusal(StatusCode::BAD_REQUEST, "INVALID_USER", message);
    }
    Json(json!({ "token": shared.honest_token(user) })).into_response()
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}

/// Lets a development page on another port ask, and answers its preflight requests.
async fn allow_any_origin(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, authorization",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
