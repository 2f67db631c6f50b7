//! The HTTP side of a model call: the request, time-outs, and errors with their status.

use std::time::Duration;

use http::{HeaderMap, header::RETRY_AFTER};
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::failure::{CallFailure, reason};

/// To make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an error's body that are read.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// Sends requests; anything but a success is a [`CallFailure`].
pub(super) struct Transport {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

impl Transport {
    /// To the provider at this base URL. `silence` is how long it may say nothing.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub(super) fn new(
        base_url: &str,
        key: SecretString,
        silence: Duration,
    ) -> Result<Self, reqwest::Error> {
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
            url: format!("{base_url}/chat/completions"),
            key,
        })
    }

    /// Sends a body and returns the beginning of the answer.
    ///
    /// # Errors
    /// There is none, or it is no success.
    pub(super) async fn send(&self, body: &impl Serialize) -> Result<Response, CallFailure> {
        let mut request = self.http.post(&self.url).json(body);
        if !self.key.expose_secret().is_empty() {
            request = request.bearer_auth(self.key.expose_secret());
        }
        let response = request
            .send()
            .await
            // The URL can carry a key.
            .map_err(|error| CallFailure::passing(reason(&error.without_url())))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let pause = retry_after(response.headers());
        let body = bounded_body(response).await;
        Err(CallFailure::of_status(status, pause, &body))
    }
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
