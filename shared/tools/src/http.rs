//! The MCP server over HTTP: its routes, and what every request passes through on its way to MCP.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware, response::IntoResponse, routing::get};
use errand_core::time_zone;
use errand_server::request_id::REQUEST_ID;
use http::{HeaderName, Method, StatusCode, header};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    timeout::TimeoutLayer,
};

use crate::TaskServer;

mod bearer;
mod body;
mod host_guard;
mod http_error;

pub use bearer::Access;
use bearer::METADATA;
pub use http_error::{HttpError, in_our_words};

/// The path that MCP clients are given.
pub(crate) const PATH: &str = "/mcp";
/// One request, its body included. The tool server bounds its own work far below that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// MCP at `/mcp`, and where its clients get their tokens. Complete: no answer needs anything of the routes around it.
pub fn routes(server: TaskServer, access: Access) -> Router {
    let host_guard = Arc::clone(&access.host_guard);
    let access = Arc::new(access);
    let cors = {
        let host_guard = Arc::clone(&host_guard);
        cors(AllowOrigin::predicate(move |origin, request| {
            host_guard.admits_origin(origin, &request.uri, &request.headers)
        }))
    };
    let mcp = Router::new()
        .route_service(PATH, service(server))
        .layer(middleware::from_fn(body::without_ambiguity))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&access),
            bearer::verify,
        ));
    let metadata = Router::new()
        .route(METADATA, get(bearer::metadata))
        .route(&format!("{METADATA}{PATH}"), get(bearer::metadata))
        .with_state(access);
    mcp.merge(metadata)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .layer(middleware::from_fn(in_our_words))
        .layer(CatchPanicLayer::custom(|_| {
            HttpError::internal().into_response()
        }))
        .layer(cors)
        .layer(middleware::from_fn_with_state(
            host_guard,
            host_guard::guard,
        ))
}

/// MCP without sessions: each request stands for itself, as every process may die and any may answer the next one.
fn service(server: TaskServer) -> StreamableHttpService<TaskServer, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body::MAX)
        // The host_guard has looked at both, before the token was.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let server = move || Ok(server.clone());
    StreamableHttpService::new(server, Arc::default(), config)
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
            HeaderName::from_static("traceparent"),
            HeaderName::from_static(time_zone::HEADER),
        ])
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_secs(600))
}
