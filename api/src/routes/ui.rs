//! The web UI: static files built into the binary, under a strict content security policy.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, VARY,
    },
};

use crate::{App, error::ApiError};

mod assets;
mod pack;
mod page;

use assets::Asset;
use page::{Built, Configuration};

/// Not kept at all: after signing out, going back must not show the page of who was there before.
const NEVER: &str = "no-store";
/// Asked for again each time, and answered with nothing if unchanged.
const ASK: &str = "no-cache";
/// Never asked for again: under another version it has another address.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// How long what was built of files on the disk is good for: the requests of one visit.
const WHILE: Duration = Duration::from_secs(2);

/// `GET /`
pub(crate) async fn index(State(app): State<App>, headers: HeaderMap) -> Response {
    let built = app.ui.built();
    app.ui.answer(&headers, &built.page, NEVER)
}

/// `GET /admin`: the operator's page, which holds nothing of anybody until somebody signs in.
pub(crate) async fn admin(State(app): State<App>, headers: HeaderMap) -> Response {
    let built = app.ui.built();
    let mut response = app.ui.answer(&headers, &built.admin, NEVER);
    let policy = HeaderValue::from_static(ADMIN_POLICY);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// `GET /ui/{path}`, with the version before the path or without.
pub(crate) async fn asset(
    State(app): State<App>,
    Path(whole): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let built = app.ui.built();
    let (path, caching) = match whole.split_once('/') {
        Some((version, path)) if version == built.version => (path, FOR_EVER),
        // While versions change, a page of one asks processes of the other, too.
        Some((version, path)) if is_version(version) => (path, ASK),
        // A file as it was written, for whoever looks for it by its name.
        _ => ("", ASK),
    };
    if let Some(packed) = built.packed.get(path) {
        return Ok(app.ui.answer(&headers, packed, caching));
    }
    let path = if path.is_empty() {
        whole.as_str()
    } else {
        path
    };
    let asset = assets::get(path).ok_or_else(|| ApiError::not_found("page"))?;
    Ok(app.ui.answer(&headers, &asset, caching))
}

/// `GET /docs/index.css`: what Swagger UI looks like.
pub(crate) async fn docs_style(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let style = assets::get("docs.css").ok_or_else(|| ApiError::not_found("page"))?;
    Ok(app.ui.answer(&headers, &style, ASK))
}

fn is_version(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As that of the page, but for whom it talks to: its own server and nobody else.
const ADMIN_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the UI is served with.
pub(crate) struct Ui {
    configuration: Configuration,
    policy: HeaderValue,
    built: Mutex<Option<(Instant, Arc<Built>)>>,
}

impl Ui {
    /// For this identity provider. Nothing from a third party, nothing inline; the provider may be talked to.
    pub(crate) fn new(auth_url: &str, stand_in: bool) -> Self {
        let provider = url::Url::parse(auth_url)
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; manifest-src 'self'; \
             connect-src 'self' ws: wss: {provider}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        Self {
            configuration: Configuration {
                auth_url: auth_url.to_owned(),
                stand_in,
            },
            policy: HeaderValue::from_str(&policy)
                .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
            built: Mutex::default(),
        }
    }

    /// Built once; where the files are read from the disk, anew if it is of a while ago.
    fn built(&self) -> Arc<Built> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, built)) = &*built
            && (!cfg!(debug_assertions) || at.elapsed() < WHILE)
        {
            return Arc::clone(built);
        }
        let new = Arc::new(page::build(&self.configuration));
        *built = Some((Instant::now(), Arc::clone(&new)));
        new
    }

    fn answer(&self, headers: &HeaderMap, asset: &Asset, caching: &'static str) -> Response {
        let (encoding, body) = asset.body(headers);
        let etag = asset.etag(encoding);
        let known = headers.get_all(IF_NONE_MATCH).iter();
        let is_known = known.into_iter().any(|known| *known == etag);
        let caching = [
            (CACHE_CONTROL, HeaderValue::from_static(caching)),
            (ETAG, etag),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let described = [
            (CONTENT_TYPE, asset.kind()),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
        ];
        let mut response = (caching, described, body).into_response();
        if let Some(name) = encoding.name() {
            let name = HeaderValue::from_static(name);
            response.headers_mut().insert(CONTENT_ENCODING, name);
        }
        response
    }
}
