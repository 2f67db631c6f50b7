//! What errand-mcp answers to over HTTP: MCP, and questions for its health.

use std::time::Duration;

use axum::{Router, middleware, response::IntoResponse, routing::get};
use errand_server::request_id::REQUEST_ID;
use errand_store::{self as store, Pool, StoreError, db::migrate};
use errand_tools::http::{HttpError, in_our_words};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

/// One request, its body included. The tool server bounds its own work far below that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A health check that takes longer is a failed one.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Everything that errand-mcp answers to over HTTP.
pub(super) fn router(mcp: Router, pool: Pool) -> Router {
    let health = Router::new()
        .route(
            "/healthz",
            get(async || axum::Json(json!({"status": "ok"}))),
        )
        .route("/readyz", get(move || ready(pool.clone())));
    let routes = mcp
        // Whoever asks for health addresses a process, not a name.
        .merge(health)
        .fallback(async || HttpError::not_found());
    common(routes)
}

/// What holds for every answer.
fn common(routes: Router) -> Router {
    routes
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .layer(middleware::from_fn(in_our_words))
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
            HttpError::internal().into_response()
        }))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// The database answers and is migrated: the process can serve.
async fn ready(pool: Pool) -> Result<axum::Json<serde_json::Value>, HttpError> {
    let check = async {
        store::ping(&pool).await?;
        migrate::is_current(&pool).await
    };
    match tokio::time::timeout(HEALTH_TIMEOUT, check).await {
        Ok(Ok(true)) => Ok(axum::Json(json!({"status": "ready"}))),
        Ok(Ok(false) | Err(StoreError::NotMigrated)) => {
            Err(HttpError::unavailable("The database is not migrated."))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database is unavailable");
            Err(HttpError::unavailable("The database is not available."))
        }
        Err(_) => Err(HttpError::unavailable("The database does not answer.")),
    }
}

/// The path, and nothing of what clients write elsewhere.
fn span(request: &http::Request<axum::body::Body>) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or("");
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}
