//! The spans of calls from outside, as an MCP server has them: below what the client says, and with the names that the agent's calls have.

use errand_server::{
    telemetry,
    trace::{NewSpan, Span, SpanKind, TraceContext, is_on},
};
use rmcp::{ErrorData, RoleServer, service::RequestContext};

use super::{RATE_LIMITED, contract, identity::ExternalCaller};

/// The key of a client's own span in `_meta`, for those that cannot send a header.
const TRACEPARENT: &str = "traceparent";

/// A call of a tool by a client from outside.
pub(super) fn of_call(
    name: &str,
    outsider: &ExternalCaller,
    context: &RequestContext<RoleServer>,
) -> Span {
    let parent = parent(context);
    if !is_on() {
        return Span::new(NewSpan {
            parent,
            ..NewSpan::default()
        });
    }
    // What a client makes up is nobody's name of a tool.
    let known = contract::NAMES.into_iter().find(|known| *known == name);
    let name = known.unwrap_or("unknown");
    let mut span = Span::new(NewSpan {
        name: format!("execute_tool {name}").into(),
        kind: Some(SpanKind::Server),
        parent,
        ..NewSpan::default()
    });
    if span.is_recorded() {
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", name);
        span.set("gen_ai.tool.type", "function");
        span.set("mcp.method.name", "tools/call");
        span.set("user.id", telemetry::user(&outsider.user_id).into_owned());
    }
    span
}

/// Of the request's header, or of the call's `_meta`.
fn parent(context: &RequestContext<RoleServer>) -> Option<TraceContext> {
    let request = context.extensions.get::<http::request::Parts>();
    let header = request.and_then(|request| TraceContext::of_headers(&request.headers));
    header.or_else(|| TraceContext::parse(context.meta.get(TRACEPARENT)?.as_str()?))
}

/// Why a call has neither effect nor record, in one of few words.
pub(super) fn failure(error: &ErrorData) -> &'static str {
    match error.code {
        RATE_LIMITED => "rate_limited",
        super::OUTAGE | super::UNAVAILABLE => "unavailable",
        _ => "internal",
    }
}
