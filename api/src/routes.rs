//! The routes, and what every request passes through.

use std::time::Duration;

use axum::{Router, response::IntoResponse, routing::get};
use errand_core::time_zone;
use errand_server::request_id::REQUEST_ID;
use http::{
    HeaderName, HeaderValue, Method,
    header::{self, ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, error::ApiError, metrics, quota, spans};

mod admin;
mod chat;
mod conversations;
mod decisions;
mod events;
mod health;
mod operations;
mod retries;
pub(crate) mod runs;
mod socket;
mod tasks;
mod ui;
mod usage;

pub(crate) use ui::Ui;

/// The document's own part; paths and schemas come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Errand",
        description = include_str!("routes/openapi.md")
    ),
    modifiers(&BearerToken),
    security(("bearer" = []))
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What is documented, and its document. Everything under `/api` is here: a route that is served and not documented is one
/// that no test of the document finds.
fn documented() -> (Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(chat::post, socket::get))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(decisions::post))
        .routes(routes!(retries::post))
        .routes(routes!(events::events))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::rename, conversations::delete))
        .routes(routes!(conversations::messages))
        .routes(routes!(tasks::tasks))
        .routes(routes!(usage::days))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::scaling))
        .split_for_parts()
}

/// Everything the API answers to; `mcp` brings what holds for its own answers along.
pub(crate) fn router(app: App, mcp: Router) -> Router {
    let cors = cors(&app.origins);
    let (routes, document) = documented();
    let admin = admin::routes(app.clone());
    routes
        .merge(utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", document))
        // In the way of the one that comes with Swagger UI.
        .route("/docs/index.css", get(ui::docs_style))
        .route("/", get(ui::index))
        .route("/ui/{*path}", get(ui::asset))
        .fallback(async || ApiError::not_found("page"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .route_layer(axum::middleware::from_fn_with_state(
            app.clone(),
            metrics::measure,
        ))
        .route_layer(axum::middleware::from_fn(spans::trace))
        .with_state(app)
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal().into_response()
        }))
        .layer(cors)
        .merge(mcp)
        .merge(admin)
        .layer(SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
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
        .layer(SetResponseHeaderLayer::overriding(
            header::X_FRAME_OPTIONS,
            HeaderValue::from_static("DENY"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        // Whoever answers with an error has said why.
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(spans::lines)
                .on_failure(()),
        )
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// Browsers of the listed origins may read answers; others may not.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("prefer"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static(time_zone::HEADER),
        ])
        .expose_headers([
            header::CONTENT_LOCATION,
            header::LOCATION,
            header::RETRY_AFTER,
            quota::RATE_LIMIT,
            quota::RATE_LIMIT_POLICY,
            HeaderName::from_static("preference-applied"),
            REQUEST_ID,
        ])
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio_util::sync::CancellationToken;

    use super::*;

    /// The paths of a router, from its own table: axum shows it in `Debug` and nowhere else.
    fn paths<S>(router: &Router<S>) -> BTreeSet<String> {
        let table = format!("{router:?}");
        let quoted = table.split('"').skip(1).step_by(2);
        quoted
            .filter(|text| text.starts_with('/') && !text.contains("__private__axum_fallback"))
            .map(str::to_owned)
            .collect()
    }

    #[tokio::test]
    async fn nothing_is_served_under_api_that_is_not_documented() {
        let arguments = [
            "--database-url",
            "postgres://nobody@127.0.0.1:1/none",
            "--better-auth-url",
            "https://auth.example.com",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ];
        let config = crate::Config::from_arguments(arguments).expect("a configuration");
        let api = crate::Api::build(&config, CancellationToken::new())
            .await
            .expect("an API");
        let (_, document) = documented();
        let document: BTreeSet<String> = document.paths.paths.into_keys().collect();
        let served = paths(&api.router);
        // If the table were no longer shown, this would be what notices.
        assert!(served.is_superset(&document), "{served:?}");
        let pages = [
            "/",
            "/docs",
            "/docs/",
            "/docs/index.css",
            "/docs/{*rest}",
            "/openapi.json",
        ];
        let pages = pages.map(str::to_owned).into_iter();
        let ui = ["/ui/{*path}"].map(str::to_owned);
        // What MCP and RFC 9728 describe. Under `/api` there is nothing of it.
        let mcp = [
            "/mcp",
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
        ];
        let mcp = mcp.map(str::to_owned);
        assert!(mcp.iter().all(|path| served.contains(path)), "{served:?}");
        let others = pages.chain(ui).chain(mcp);
        let known = document.into_iter().chain(others).collect();
        let undocumented: Vec<_> = served.difference(&known).collect();
        assert!(undocumented.is_empty(), "{undocumented:?}");
    }
}
