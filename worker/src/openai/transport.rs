//! The HTTP side of a model call: the request, time-outs, and errors with their status.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use reqwest::Response;
use secrecy::ExposeSecret;
use url::Url;

use super::failure::{CallFailure, reason};
use crate::config::Endpoint;

/// To make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an error's body that are read.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// Sends requests; anything but a success is a [`CallFailure`].
pub(super) struct Transport {
    http: reqwest::Client,
    url: Url,
    /// The header with the key; none for a provider that wants none.
    key: Option<(HeaderName, HeaderValue)>,
}

impl Transport {
    /// To this model. `silence` is how long it may send nothing.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub(super) fn new(endpoint: &Endpoint, silence: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(silence)
            // Neither the key nor what people wrote goes where the configuration does not say.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("errand/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            url: endpoint.url.clone(),
            key: key(endpoint),
        })
    }

    /// Sends a body of JSON and returns the beginning of the answer.
    ///
    /// # Errors
    /// There is none, or it is no success.
    pub(super) async fn send(&self, body: Bytes) -> Result<Response, CallFailure> {
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some((name, key)) = &self.key {
            request = request.header(name, key);
        }
        let response = request.send().await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let pause = retry_after(response.headers());
        let body = bounded_body(response).await;
        Err(CallFailure::of_status(status, pause, &body))
    }
}

fn broken(error: reqwest::Error) -> CallFailure {
    let is_silence = error.is_timeout() && !error.is_connect();
    // The URL can carry a key.
    let reason = reason(&error.without_url());
    match is_silence {
        true => CallFailure::silence(&reason),
        false => CallFailure::passing(reason),
    }
}

/// The header that carries the key. A key that no header can carry is none: the provider says so.
fn key(endpoint: &Endpoint) -> Option<(HeaderName, HeaderValue)> {
    let key = endpoint.key.expose_secret();
    if key.is_empty() {
        return None;
    }
    let name = HeaderName::try_from(&endpoint.preset.key_header).ok()?;
    let mut value = match name == AUTHORIZATION {
        true => HeaderValue::try_from(format!("Bearer {key}")).ok()?,
        false => HeaderValue::try_from(key).ok()?,
    };
    value.set_sensitive(true);
    Some((name, value))
}

/// Retry-After (RFC 9110, 10.2.3) in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - chrono::Utc::now()).to_std().ok()
}

async fn bounded_body(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    body.truncate(MAX_ERROR_BODY);
    String::from_utf8_lossy(&body).into_owned()
}
