//! `/admin`: the operator's page, and what it asks for. No contract: whoever wants to program it takes the commands of `errand-api`, whose JSON is one.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path, State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::Utc;
use errand_server::serve::Peer;
use errand_store::{self as store, queue::inspect};
use errand_tools::NAMES;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, SET_COOKIE},
    request::Parts,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use super::ui;
use crate::{
    App,
    admin::{Admin, end, is_from_the_page},
    connections,
    error::{ApiError, Code},
    metrics,
    operator::{self, Operator, Refused},
};

/// Bytes of a request: a token, and what is around it.
const MAX_BODY: usize = 4 * 1024;

/// The page's routes; none if there is no page.
pub(super) fn routes(app: App) -> Router {
    if app.admin.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/admin", get(ui::admin))
        .route(
            "/admin/session",
            get(session).post(sign_in).delete(sign_out),
        )
        .route("/admin/state", get(state))
        .route("/admin/pause", post(pause))
        .route("/admin/resume", post(resume))
        .route("/admin/workers/{worker}/drain", post(drain))
        .route("/admin/runs/{run_id}", get(story))
        .route("/admin/runs/{run_id}/cancel", post(cancel))
        .route("/admin/runs/{run_id}/requeue", post(requeue))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .route_layer(axum::middleware::from_fn_with_state(
            app.clone(),
            metrics::measure,
        ))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal().into_response()
        }))
}

fn admin(app: &App) -> Result<&Arc<Admin>, ApiError> {
    app.admin
        .as_ref()
        .ok_or_else(|| ApiError::not_found("page"))
}

fn address(app: &App, peer: Peer, headers: &HeaderMap) -> IpAddr {
    connections::address(peer.0.ip(), headers, app.trusted_proxies)
}

/// Who is signed in. What changes something has to come from the page itself.
struct SignedIn(Operator);

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.method != Method::GET && !is_from_the_page(&parts.headers) {
            return Err(ApiError::foreign_origin());
        }
        if !admin(app)?.is_signed_in(&parts.headers, Utc::now()) {
            return Err(ApiError::unauthorized("Sign in with the operator's token."));
        }
        let peer = parts.extensions.get::<Peer>().copied();
        let peer = peer.ok_or_else(ApiError::internal)?;
        Ok(Self(Operator::Page(address(app, peer, &parts.headers))))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

/// `POST /admin/session`: the token for a session.
async fn sign_in(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Json<Token>, JsonRejection>,
) -> Result<Response, ApiError> {
    let admin = admin(&app)?;
    if !is_from_the_page(&headers) {
        return Err(ApiError::foreign_origin());
    }
    let Json(Token { token }) =
        body.map_err(|_| ApiError::invalid("The body must be {\"token\": …}."))?;
    let (address, now) = (address(&app, peer, &headers), Instant::now());
    admin
        .attempts
        .check(address, now)
        .map_err(|wait| ApiError::rate_limited("Too many wrong tokens; wait a minute.", wait))?;
    if !admin.is_token(&token) {
        admin.attempts.count(address, now);
        tracing::warn!(%address, "a wrong token for the operator's page");
        return Err(ApiError::unauthorized("This is not the operator's token."));
    }
    tracing::info!(operator = %Operator::Page(address), "signed in to the operator's page");
    let cookie = admin.begin(&headers, Utc::now());
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// `GET /admin/session`: whether there is one, which no script can see.
async fn session(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let is_signed_in = admin(&app)?.is_signed_in(&headers, Utc::now());
    Ok(Json(json!({"is_signed_in": is_signed_in})).into_response())
}

/// `DELETE /admin/session`
async fn sign_out(
    State(app): State<App>,
    SignedIn(_): SignedIn,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    admin(&app)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, end(&headers))]).into_response())
}

/// `GET /admin/state`
async fn state(State(app): State<App>, SignedIn(_): SignedIn) -> Result<Response, ApiError> {
    let snapshot = admin(&app)?.snapshots.get(&app.db).await?;
    Ok(([(CONTENT_TYPE, "application/json")], snapshot).into_response())
}

/// `GET /admin/runs/{run_id}`
async fn story(
    State(app): State<App>,
    SignedIn(_): SignedIn,
    run_id: RunId,
) -> Result<Response, ApiError> {
    let story = store::within(async {
        let mut db = store::connection(&app.db).await?;
        let story = inspect::story(&mut db, run_id.0, &NAMES.map(str::to_owned)).await;
        db.done(story)
    });
    let story = story.await?.ok_or_else(|| ApiError::not_found("run"))?;
    Ok(Json(story).into_response())
}

/// `POST /admin/runs/{run_id}/cancel`
async fn cancel(
    State(app): State<App>,
    SignedIn(by): SignedIn,
    run_id: RunId,
) -> Result<Response, ApiError> {
    let max_ready = i64::from(app.limits.max_ready_runs);
    let done = operator::cancel(&by, &app.db, &app.users, run_id.0, max_ready).await;
    answer(&app, done.map(|status| json!({"status": status}))).await
}

/// `POST /admin/runs/{run_id}/requeue`
async fn requeue(
    State(app): State<App>,
    SignedIn(by): SignedIn,
    run_id: RunId,
) -> Result<Response, ApiError> {
    let max_ready = i64::from(app.limits.max_ready_runs);
    let done = operator::requeue(&by, &app.db, run_id.0, max_ready).await;
    answer(&app, done.map(|()| json!({"status": "queued"}))).await
}

/// `POST /admin/pause`
async fn pause(State(app): State<App>, SignedIn(by): SignedIn) -> Result<Response, ApiError> {
    let done = operator::pause(&by, &app.db).await;
    answer(&app, done).await
}

/// `POST /admin/resume`
async fn resume(State(app): State<App>, SignedIn(by): SignedIn) -> Result<Response, ApiError> {
    let done = operator::resume(&by, &app.db).await;
    answer(&app, done).await
}

/// `POST /admin/workers/{worker}/drain`
async fn drain(
    State(app): State<App>,
    SignedIn(by): SignedIn,
    Path(worker): Path<String>,
) -> Result<Response, ApiError> {
    let done = operator::drain(&by, &app.db, &worker).await;
    answer(&app, done).await
}

async fn answer(app: &App, done: Result<impl Serialize, Refused>) -> Result<Response, ApiError> {
    // Also what was refused may have been seen wrongly.
    admin(app)?.snapshots.forget().await;
    let done = done.map_err(|refused| match refused {
        Refused::Store(error) => error.into(),
        Refused::NoRun => ApiError::not_found("run"),
        Refused::NoWorker => ApiError::not_found("worker"),
        refused => ApiError::conflict(Code::InvalidRequest, &refused.to_string()),
    })?;
    Ok(Json(done).into_response())
}

/// The run of a path.
struct RunId(Uuid);

impl FromRequestParts<App> for RunId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = Path::<Uuid>::from_request_parts(parts, app).await;
        let Path(run_id) = path.map_err(|_| ApiError::not_found("run"))?;
        Ok(Self(run_id))
    }
}
