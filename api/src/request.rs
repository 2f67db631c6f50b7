//! What a request carries besides its user and its body: preferences, an idempotency key, a page.

use std::time::Duration;

use axum::extract::FromRequestParts;
use chrono_tz::Tz;
use errand_core::{calendar, time_zone};
use http::{HeaderMap, request::Parts};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use url::form_urlencoded;

use crate::{App, body, error::ApiError};

/// The default wait of a synchronous request: below the 30 s after which a PaaS router gives up.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(25);
/// The longest wait a client may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Characters of an idempotency key.
const MAX_KEY: usize = 255;
/// Rows of a page.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// How a client wants to wait (RFC 7240).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preference {
    /// How long to wait for the run.
    pub(crate) wait: Duration,
    respond_async: bool,
}

impl Preference {
    /// Reads `Prefer`. Preferences that are unknown or malformed are ignored, as the RFC has it.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let mut wait = None;
        let mut respond_async = false;
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let (name, value) = preference
                .split(';')
                .next()
                .unwrap_or("")
                .split_once('=')
                .unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => respond_async = true,
                // The first of several counts.
                "wait" if wait.is_none() => {
                    wait = value
                        .trim()
                        .trim_matches('"')
                        .parse()
                        .ok()
                        .map(Duration::from_secs)
                }
                _ => {}
            }
        }
        let default = if respond_async {
            Duration::ZERO
        } else {
            DEFAULT_WAIT
        };
        Self {
            wait: wait.unwrap_or(default).min(MAX_WAIT),
            respond_async,
        }
    }

    /// Whether the client wants no wait at all.
    pub(crate) fn is_async(self) -> bool {
        self.respond_async && self.wait.is_zero()
    }

    /// What was applied, for `Preference-Applied`.
    pub(crate) fn applied(self) -> String {
        match (self.respond_async, self.wait.as_secs()) {
            (true, 0) => "respond-async".to_owned(),
            (true, wait) => format!("respond-async, wait={wait}"),
            (false, wait) => format!("wait={wait}"),
        }
    }
}

/// The client's name for one logical request.
///
/// # Errors
/// It is empty, too long, or not printable ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    const NAME: &str = "idempotency-key";
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().map(str::trim).filter(|key| {
        (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    });
    match key {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => Err(ApiError::invalid_field(
            "Idempotency-Key",
            format!(
                "Idempotency-Key must be one value of 1 to {MAX_KEY} printable ASCII characters."
            ),
        )),
    }
}

/// Where the client says that its user is: `X-Time-Zone`.
///
/// # Errors
/// It is no zone, or more than one.
pub(crate) fn time_zone(headers: &HeaderMap) -> Result<Option<Tz>, ApiError> {
    time_zone::of_headers(headers)
        .map_err(|error| ApiError::invalid_field("X-Time-Zone", error.to_string()))
}

/// The zone that a field names.
///
/// # Errors
/// There is no such zone.
pub(crate) fn known_zone(field: &str, name: &str) -> Result<Tz, ApiError> {
    calendar::zone(name).ok_or_else(|| unknown_zone(field))
}

pub(crate) fn unknown_zone(field: &str) -> ApiError {
    let message =
        format!("{field} must be the name of a time zone of IANA, such as Europe/Berlin.");
    ApiError::invalid_field(field, message)
}

/// Whether the client wants a stream of events.
pub(crate) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';')
            .next()
            .unwrap_or("")
            .trim()
            .eq_ignore_ascii_case("text/event-stream")
    })
}

/// A query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let params = serde_html_form::Deserializer::new(pairs);
        serde_path_to_error::deserialize(params)
            .map(Self)
            .map_err(|error| body::refused(&error.path().to_string(), &error.inner().to_string()))
    }
}

/// A number or a truth value that is given. Forms leave fields empty for "nothing", and so does the parser; `limit=` is neither a number nor absent.
///
/// # Errors
/// It is empty, or no value of this type.
pub(crate) fn given<'de, T, D>(value: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(value).map(Some)
}

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Rows to return at most, 1 to 200; 50 if absent.
    #[serde(default, deserialize_with = "given")]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageParams {
    /// # Errors
    /// The limit is out of range.
    pub(crate) fn limit(&self) -> Result<i64, ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            Ok(limit)
        } else {
            Err(ApiError::invalid_field(
                "limit",
                format!("limit must be 1 to {MAX_LIMIT}."),
            ))
        }
    }

    /// # Errors
    /// The cursor is none of ours.
    pub(crate) fn cursor<C>(
        &self,
        parse: impl Fn(&str) -> Option<C>,
    ) -> Result<Option<C>, ApiError> {
        match self.cursor.as_deref() {
            None | Some("") => Ok(None),
            Some(cursor) => parse(cursor).map(Some).ok_or_else(foreign_cursor),
        }
    }
}

/// The cursor is none of ours.
pub(crate) fn foreign_cursor() -> ApiError {
    let message = "cursor must be the next_cursor of the page before.";
    ApiError::invalid_field("cursor", message)
}

/// `wait` of a long poll.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitParams {
    /// Seconds to wait for the run to end, at most 60; 0 if absent.
    #[serde(default, deserialize_with = "given")]
    #[param(minimum = 0)]
    wait: Option<u64>,
}

impl WaitParams {
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait.unwrap_or(0)).min(MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn preference(values: &[&'static str]) -> Preference {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_static(value));
        }
        Preference::from_headers(&headers)
    }

    #[test]
    fn prefer_is_read_as_the_rfc_has_it() {
        assert_eq!(preference(&[]).wait, DEFAULT_WAIT);
        assert_eq!(preference(&["wait=3"]).wait, Duration::from_secs(3));
        assert_eq!(preference(&["respond-async"]).wait, Duration::ZERO);
        assert_eq!(
            preference(&["respond-async, wait=2"]).applied(),
            "respond-async, wait=2"
        );
        assert_eq!(
            preference(&["handling=lenient", "Wait=1; foo"]).applied(),
            "wait=1"
        );
        assert_eq!(preference(&["wait=soon"]).wait, DEFAULT_WAIT);
        assert_eq!(preference(&["wait=100000"]).wait, MAX_WAIT);
    }
}
