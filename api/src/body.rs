//! JSON bodies: read within bounds, no key twice, and parsed so that an error names the field.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use errand_core::{
    json::{self, KeyError},
    user_queue::{Bounds, Turn, UserQueue},
};
use futures::{StreamExt, stream::BoxStream};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::{App, error::ApiError};

/// Bytes of a body: the longest message, with every character escaped, fits twice.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Bytes of a body that may be AG-UI's `RunAgentInput`: its clients send the whole history each time.
pub(crate) const MAX_HISTORY: usize = 8 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to send a larger one than [`MAX_BODY`].
const HISTORY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bodies larger than [`MAX_BODY`] that one process holds at a time; each takes its place only until it is parsed.
const MAX_LARGE: usize = 8;

/// Large bodies of each user. Those that wait have been read to [`MAX_BODY`].
const OF_USERS: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 16,
    total: 256,
    patience: BODY_TIMEOUT,
};

/// Places for large bodies: few in a process, one of each user.
pub(crate) struct Histories {
    of_users: UserQueue,
    places: Semaphore,
}

impl Default for Histories {
    fn default() -> Self {
        Self {
            of_users: UserQueue::new(OF_USERS),
            places: Semaphore::new(MAX_LARGE),
        }
    }
}

/// The place of a large body, until it is dropped.
struct Place<'a> {
    _place: SemaphorePermit<'a>,
    _turn: Turn<'a>,
}

impl Histories {
    async fn enter<'a>(&'a self, user_id: &'a str) -> Result<Place<'a>, ApiError> {
        let turn = self.of_users.enter(user_id).await?;
        let place = self.places.acquire().await;
        let place = place.map_err(|_| ApiError::internal())?;
        Ok(Place {
            _place: place,
            _turn: turn,
        })
    }
}

/// A body that says it is JSON, not parsed yet.
pub(crate) struct JsonBody<'a> {
    bytes: Vec<u8>,
    _place: Option<Place<'a>>,
}

impl<'a> JsonBody<'a> {
    /// Reads the body of a user's request that may be as large as a history.
    ///
    /// # Errors
    /// It is of another type, larger than [`MAX_HISTORY`], too slow, or there are too many of its size.
    pub(crate) async fn with_history(
        app: &'a App,
        user_id: &'a str,
        request: Request,
    ) -> Result<Self, ApiError> {
        let mut reader = Reader::new(request, MAX_HISTORY)?;
        let deadline = Instant::now() + BODY_TIMEOUT;
        if reader.read(MAX_BODY, deadline).await? {
            return Ok(reader.done(None));
        }
        let deadline = Instant::now() + HISTORY_TIMEOUT;
        let Ok(place) = timeout_at(deadline, app.histories.enter(user_id)).await else {
            return Err(ApiError::unavailable("Too many large requests at once."));
        };
        let place = place?;
        if reader.read(MAX_HISTORY, deadline).await? {
            return Ok(reader.done(Some(place)));
        }
        Err(ApiError::payload_too_large(MAX_HISTORY))
    }

    /// Parses the body and lets go of it.
    ///
    /// # Errors
    /// It is not what is expected.
    pub(crate) async fn parse<T>(self) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.parse_with(|text| parse(text)).await
    }

    /// Parses the body in this way and lets go of it. A large one is parsed where it holds up nobody.
    ///
    /// # Errors
    /// It is no UTF-8, has a key twice, or is not what is expected.
    pub(crate) async fn parse_with<T: Send + 'static>(
        self,
        parse: impl FnOnce(&str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let bytes = self.bytes;
        let is_large = bytes.len() > MAX_BODY;
        let parse = move || {
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| ApiError::invalid("The body is not UTF-8."))?;
            json::check_keys(text)?;
            parse(text)
        };
        if is_large {
            let parsed = tokio::task::spawn_blocking(parse).await;
            parsed.unwrap_or_else(|_| Err(ApiError::internal()))
        } else {
            parse()
        }
    }
}

impl FromRequest<App> for JsonBody<'static> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        let mut reader = Reader::new(request, MAX_BODY)?;
        if reader.read(MAX_BODY, Instant::now() + BODY_TIMEOUT).await? {
            Ok(reader.done(None))
        } else {
            Err(ApiError::payload_too_large(MAX_BODY))
        }
    }
}

/// A body on its way.
struct Reader {
    stream: BoxStream<'static, Result<bytes::Bytes, axum::Error>>,
    bytes: Vec<u8>,
}

impl Reader {
    fn new(request: Request, limit: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(parts.headers.get(CONTENT_TYPE)) {
            return Err(ApiError::unsupported_media_type());
        }
        if announced(&parts.headers).is_some_and(|length| length > limit) {
            return Err(ApiError::payload_too_large(limit));
        }
        Ok(Self {
            stream: Body::into_data_stream(body).boxed(),
            bytes: Vec::new(),
        })
    }

    /// Reads on until the end (true), or until there are more bytes than `limit` (false).
    async fn read(&mut self, limit: usize, deadline: Instant) -> Result<bool, ApiError> {
        loop {
            if self.bytes.len() > limit {
                return Ok(false);
            }
            let Ok(chunk) = timeout_at(deadline, self.stream.next()).await else {
                return Err(ApiError::request_timeout());
            };
            match chunk {
                None => return Ok(true),
                Some(Ok(chunk)) => self.bytes.extend_from_slice(&chunk),
                Some(Err(_)) => return Err(ApiError::invalid("The body could not be read.")),
            }
        }
    }

    fn done(self, place: Option<Place<'_>>) -> JsonBody<'_> {
        JsonBody {
            bytes: self.bytes,
            _place: place,
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let refused = Self::invalid(error.to_string());
        match error {
            KeyError::Twice(key) => refused.with_details(json!({"field": key})),
            KeyError::TooDeep | KeyError::TooMany => refused,
        }
    }
}

/// Parses a text whose keys have been checked.
///
/// # Errors
/// It is not what is expected; the details name the field, if it is the fault of one.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_data() {
            let place = format!(" at line {} column {}", cause.line(), cause.column());
            let cause = cause.to_string();
            refused(&path, cause.strip_suffix(&place).unwrap_or(&cause))
        } else {
            unexpected(&cause)
        }
    })?;
    json.end().map_err(|error| unexpected(&error))?;
    Ok(value)
}

fn unexpected(error: &serde_json::Error) -> ApiError {
    ApiError::invalid(format!("The body is not what is expected here: {error}."))
}

/// The error for what was refused at this path of a body, of a call's parameters or of a query.
pub(crate) fn refused(path: &str, cause: &str) -> ApiError {
    // Of a field that is not there, should not be, or is there twice, serde tells only in its words.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|words| cause.strip_prefix(words)?.split('`').next());
    match (path, named) {
        (_, Some(field)) => ApiError::invalid_field(field, format!("{cause}.")),
        ("." | "?" | "", None) => {
            ApiError::invalid(format!("The body is not what is expected here: {cause}."))
        }
        (path, None) if cause.starts_with("must ") => {
            ApiError::invalid_field(path, format!("{path} {cause}."))
        }
        (path, None) => ApiError::invalid_field(path, format!("{path}: {cause}.")),
    }
}

/// For `deserialize_with`: a UUID, or an error that goes on behind the field's name.
pub(crate) fn uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    Uuid::deserialize(deserializer).map_err(|_| D::Error::custom("must be a UUID"))
}

/// As [`uuid()`], for a field that may be null. One that may be absent also needs `default`.
pub(crate) fn uuid_or_null<'de, D>(deserializer: D) -> Result<Option<Uuid>, D::Error>
where
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map_err(|_| D::Error::custom("must be a UUID"))
}
