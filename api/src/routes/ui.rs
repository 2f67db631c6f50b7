//! The web UI: static files built into the binary, under a strict content security policy.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;

use crate::{App, error::ApiError};

/// `api/ui/`; read from the disk in debug builds, so that a reload shows a change.
#[derive(RustEmbed)]
#[folder = "ui"]
struct Files;

/// What the page has to know of its server.
#[derive(Debug, Serialize)]
pub(crate) struct UiConfig {
    /// The identity provider.
    auth_url: String,
    /// Sign in by picking a name, at a stand-in that trusts everybody.
    stand_in: bool,
}

/// `GET /`
pub(crate) async fn index(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Not kept at all: after signing out, going back must not show the page of who was there before.
    file(&app, &headers, "index.html", "no-store")
}

/// `GET /ui/{path}`
pub(crate) async fn asset(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Always asked for again, and answered with nothing if unchanged: a deployment is seen at once.
    file(&app, &headers, &path, "no-cache")
}

/// `GET /ui/config.json`
pub(crate) async fn config(State(app): State<App>) -> Json<UiConfig> {
    Json(UiConfig {
        auth_url: app.ui.auth_url.clone(),
        stand_in: app.ui.stand_in,
    })
}

fn file(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    caching: &'static str,
) -> Result<Response, ApiError> {
    let file = Files::get(path).ok_or_else(|| ApiError::not_found("page"))?;
    let etag = etag(&file);
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| *known == etag);
    let caching = [
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ETAG, etag),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = match path.rsplit('.').next() {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    let described = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, app.ui.policy.clone()),
    ];
    Ok((caching, described, file.data).into_response())
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash: String = file.metadata.sha256_hash()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::from_str(&format!("\"{hash}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// What the UI is served with.
pub(crate) struct Ui {
    auth_url: String,
    stand_in: bool,
    policy: HeaderValue,
}

impl Ui {
    /// For this identity provider. Nothing from a third party, nothing inline; the provider may be talked to.
    pub(crate) fn new(auth_url: &str, stand_in: bool) -> Self {
        let provider = url::Url::parse(auth_url)
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self' ws: wss: {provider}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        Self {
            auth_url: auth_url.to_owned(),
            stand_in,
            policy: HeaderValue::from_str(&policy)
                .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
        }
    }
}
