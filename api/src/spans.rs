//! The spans of requests, and what log lines say of the request that they belong to. They are told ids, patterns of routes and numbers.

use std::time::{Duration, SystemTime};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use errand_server::{
    request_id::REQUEST_ID,
    telemetry,
    trace::{self, NewSpan, Span, SpanKind, TraceContext},
};
use http::Method;
use tracing::field::Empty;
use uuid::Uuid;

/// What the log lines of a request carry. The path, not the query: a cursor is nobody's business, a token even less.
pub(crate) fn lines(request: &http::Request<axum::body::Body>) -> tracing::Span {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("");
    let path = telemetry::path(request.uri().path());
    tracing::info_span!("request", method = %request.method(), %path, id, user = Empty, run = Empty, trace = Empty)
}

/// Lines from here on name the user.
pub(crate) fn of_user(user_id: &str) {
    let user = telemetry::user(user_id);
    tracing::Span::current().record("user", user.as_ref());
}

/// Lines from here on name the run.
pub(crate) fn of_run(run_id: Uuid) {
    tracing::Span::current().record("run", tracing::field::display(run_id));
}

fn of_trace(context: Option<&TraceContext>) {
    if let Some(context) = context {
        tracing::Span::current().record("trace", context.trace_id());
    }
}

/// A request for something of a user, as a span below what its client says.
pub(crate) async fn trace(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let Some(route) = route.filter(|route| route.as_str().starts_with("/api/")) else {
        return next.run(request).await;
    };
    let parent = TraceContext::of_headers(request.headers());
    if !trace::is_on() {
        of_trace(parent.as_ref());
        return trace::within(parent, next.run(request)).await;
    }
    let method = name_of(request.method());
    let mut span = Span::new(NewSpan {
        name: format!("{method} {}", route.as_str()).into(),
        kind: Some(SpanKind::Server),
        parent,
        ..NewSpan::default()
    });
    of_trace(span.context());
    span.set("http.request.method", method);
    span.set("http.route", route.as_str().to_owned());
    let response = span.scope(next.run(request)).await;
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail(match status.as_u16() {
            500 => "500",
            502 => "502",
            503 => "503",
            504 => "504",
            _ => "5xx",
        });
    }
    response
}

/// A method by its name, or `_OTHER`: whoever asks may make up any number of them.
fn name_of(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
    ];
    let names = ["GET", "POST", "PATCH", "DELETE", "HEAD"];
    let known = known.iter().zip(names).find(|(known, _)| *known == method);
    known.map_or("_OTHER", |(_, name)| name)
}

/// A call over a socket that begins a turn, below what the client says; and its log lines.
pub(crate) fn call(
    method: &'static str,
    traceparent: Option<&str>,
    user_id: &str,
) -> (Span, tracing::Span) {
    let parent = traceparent.and_then(TraceContext::parse);
    let span = Span::new(NewSpan {
        name: method.into(),
        kind: Some(SpanKind::Server),
        parent,
        ..NewSpan::default()
    });
    let lines = tracing::info_span!(
        "call", method, user = %telemetry::user(user_id), run = Empty, trace = span.context().map(TraceContext::trace_id)
    );
    (span, lines)
}

/// A run on its way into the queue.
pub(crate) fn accepting(run_id: Uuid) -> Span {
    let mut span = Span::begin("accept");
    if span.is_recorded() {
        span.set("errand.run.id", run_id.to_string());
    }
    span
}

/// The events of a run on their way to a client, until the last one is sent.
pub(crate) fn streaming(run_id: Uuid, transport: &'static str) -> Span {
    let mut span = Span::begin("deliver");
    if span.is_recorded() {
        span.set("errand.run.id", run_id.to_string());
        span.set("errand.transport", transport);
    }
    span
}

/// From a run's end, so long ago, until its answer is there.
pub(crate) fn answering(run_id: Uuid, ended: Duration) -> Span {
    if !trace::is_on() {
        return Span::default();
    }
    let from = SystemTime::now().checked_sub(ended);
    let mut span = Span::since("deliver", from.unwrap_or_else(SystemTime::now));
    span.set("errand.run.id", run_id.to_string());
    span.set("errand.transport", "json");
    span
}
