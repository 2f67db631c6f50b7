//! The routes of errand-mcp, and what every request passes through on its way to MCP.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware, response::IntoResponse, routing::get};
use errand_shared::{
    request_id::REQUEST_ID,
    store::{self, Pool, StoreError, migrate},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde_json::json;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

use super::{
    bearer::{self, Gate, METADATA},
    body,
    config::PATH,
    door,
    refusal::{self, Refusal},
};
use crate::tools::TaskServer;

/// One request, its body included. The tool server bounds its own work far below that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A health check that takes longer is a failed one.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Everything that errand-mcp answers to over HTTP.
pub(super) fn router(server: TaskServer, gate: Gate, pool: Pool) -> Router {
    let door = Arc::clone(&gate.door);
    let gate = Arc::new(gate);
    let cors = {
        let door = Arc::clone(&door);
        cors(AllowOrigin::predicate(move |origin, _| {
            door.admits_origin(origin)
        }))
    };
    let mcp = Router::new()
        .route_service(PATH, service(server))
        .layer(middleware::from_fn(body::without_ambiguity))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&gate),
            bearer::verify,
        ));
    let metadata = Router::new()
        .route(METADATA, get(bearer::metadata))
        .route(&format!("{METADATA}{PATH}"), get(bearer::metadata))
        .with_state(gate);
    let health = Router::new()
        .route(
            "/healthz",
            get(async || axum::Json(json!({"status": "ok"}))),
        )
        .route("/readyz", get(move || ready(pool.clone())));
    let routes = mcp
        .merge(metadata)
        .layer(cors)
        .layer(middleware::from_fn_with_state(door, door::guard))
        // Whoever asks for health addresses a process, not a name.
        .merge(health)
        .fallback(async || Refusal::not_found());
    common(routes)
}

/// MCP without sessions: each request stands for itself, as every process may die and any may answer the next one.
fn service(server: TaskServer) -> StreamableHttpService<TaskServer, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body::MAX)
        // The door has looked at both, before the token was.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let server = move || Ok(server.clone());
    StreamableHttpService::new(server, Arc::default(), config)
}

/// What holds for every answer.
fn common(routes: Router) -> Router {
    routes
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .layer(middleware::from_fn(refusal::in_our_words))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ))
        .layer(CatchPanicLayer::custom(|_| {
            Refusal::internal().into_response()
        }))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// Pages of the admitted origins may use MCP from a browser, as the inspector does.
fn cors(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("mcp-protocol-version"),
            HeaderName::from_static("mcp-method"),
            HeaderName::from_static("mcp-name"),
            HeaderName::from_static("mcp-session-id"),
        ])
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_secs(600))
}

/// The database answers and is migrated: the process can serve.
async fn ready(pool: Pool) -> Result<axum::Json<serde_json::Value>, Refusal> {
    let check = async {
        store::ping(&pool).await?;
        migrate::is_current(&pool).await
    };
    match tokio::time::timeout(HEALTH_TIMEOUT, check).await {
        Ok(Ok(true)) => Ok(axum::Json(json!({"status": "ready"}))),
        Ok(Ok(false) | Err(StoreError::NotMigrated)) => {
            Err(Refusal::unavailable("The database is not migrated."))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database is unavailable");
            Err(Refusal::unavailable("The database is not available."))
        }
        Err(_) => Err(Refusal::unavailable("The database does not answer.")),
    }
}

/// The path, and nothing of what clients write elsewhere.
fn span(request: &http::Request<axum::body::Body>) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or("");
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}
