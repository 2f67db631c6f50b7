//! The identity provider's public keys: fetched once, kept, renewed in time.
//!
//! A cache of public keys, not of state about users. One fetch is under way at a time; good keys are never replaced by
//! none; a flood of made-up key names leads to a fetch every ten seconds at most.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

/// Age at which keys are renewed in the background.
const RENEW_AFTER: Duration = Duration::from_secs(10 * 60);
/// Age at which keys are no longer believed: a withdrawn key must stop working some day.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Pause between two fetches for unknown key names, and after a failed fetch.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// One fetch at most.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a key set.
const MAX_BODY: usize = 64 * 1024;
/// Keys that are kept. A provider that rotates daily and keeps old keys for a month publishes dozens, the one that signs last.
const MAX_KEYS: usize = 256;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The provider has no such key.
    Unknown,
    /// The provider cannot be asked, and what we have is none or too old.
    Unavailable,
}

/// The keys of one provider. Cheap to clone: the keys are shared.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    url: String,
    http: reqwest::Client,
    set: RwLock<Option<KeySet>>,
    fetching: Mutex<Fetches>,
}

struct KeySet {
    keys: HashMap<String, DecodingKey>,
    fetched: Instant,
}

#[derive(Default)]
struct Fetches {
    last_failure: Option<Instant>,
    last_for_unknown: Option<Instant>,
}

impl Keys {
    /// # Errors
    /// The HTTP client cannot be built.
    pub(super) fn new(url: String) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(Arc::new(Inner {
            url,
            http,
            set: RwLock::default(),
            fetching: Mutex::default(),
        })))
    }

    /// The key of this name.
    pub(super) async fn find(&self, kid: &str) -> Result<DecodingKey, KeyError> {
        let inner = &self.0;
        if let Some((key, age)) = inner.cached(kid) {
            if age > RENEW_AFTER {
                inner.renew_in_background();
            }
            return Ok(key);
        }
        inner.fetch_for(kid).await;
        match inner.cached(kid) {
            Some((key, _)) => Ok(key),
            None if inner.has_keys() => Err(KeyError::Unknown),
            None => Err(KeyError::Unavailable),
        }
    }
}

impl Inner {
    fn cached(&self, kid: &str) -> Option<(DecodingKey, Duration)> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let set = set.as_ref()?;
        let age = set.fetched.elapsed();
        (age < STALE_AFTER).then(|| set.keys.get(kid).map(|key| (key.clone(), age)))?
    }

    fn has_keys(&self) -> bool {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        set.as_ref()
            .is_some_and(|set| set.fetched.elapsed() < STALE_AFTER)
    }

    /// Fetches for a name that is not cached, if it is time to. Whoever waited for another's fetch looks first.
    async fn fetch_for(&self, kid: &str) {
        let mut fetches = self.fetching.lock().await;
        if self.cached(kid).is_some() {
            return;
        }
        let (last, pause) = if self.has_keys() {
            (fetches.last_for_unknown, UNKNOWN_PAUSE)
        } else {
            (fetches.last_failure, FAILED_PAUSE)
        };
        if last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        if self.has_keys() {
            fetches.last_for_unknown = Some(Instant::now());
        }
        self.fetch(&mut fetches).await;
    }

    fn renew_in_background(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        #[expect(
            clippy::disallowed_methods,
            reason = "one fetch: if it comes to nothing, the next request tries again"
        )]
        tokio::spawn(async move {
            let Ok(mut fetches) = inner.fetching.try_lock() else {
                return;
            };
            if fetches
                .last_failure
                .is_none_or(|last| last.elapsed() > UNKNOWN_PAUSE)
            {
                inner.fetch(&mut fetches).await;
            }
        });
    }

    async fn fetch(&self, fetches: &mut Fetches) {
        match self.download().await {
            Ok(keys) if !keys.is_empty() => {
                let set = KeySet {
                    keys,
                    fetched: Instant::now(),
                };
                *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(set);
                fetches.last_failure = None;
            }
            Ok(_) => {
                tracing::warn!("the identity provider publishes no usable key");
                fetches.last_failure = Some(Instant::now());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot fetch the identity provider's keys");
                fetches.last_failure = Some(Instant::now());
            }
        }
    }

    async fn download(&self) -> Result<HashMap<String, DecodingKey>, DownloadError> {
        let mut response = self.http.get(&self.url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_BODY {
                return Err(DownloadError::TooLarge);
            }
        }
        let published: Published = serde_json::from_slice(&body)?;
        Ok(published
            .keys
            .into_iter()
            .filter_map(usable)
            .take(MAX_KEYS)
            .collect())
    }
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error(transparent)]
    Http(reqwest::Error),
    #[error("the key set is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the key set is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl From<reqwest::Error> for DownloadError {
    /// The URL can carry a key of its own.
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

/// A published key as we use it; keys of other kinds are none of our business.
fn usable(key: Value) -> Option<(String, DecodingKey)> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let AlgorithmParameters::OctetKeyPair(parameters) = &jwk.algorithm else {
        return None;
    };
    if parameters.curve != EllipticCurve::Ed25519 {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk.common.key_id?, key))
}
