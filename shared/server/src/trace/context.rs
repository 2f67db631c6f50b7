//! Where a span belongs to, as it travels between processes: W3C Trace Context (<https://www.w3.org/TR/trace-context/>), of which
//! `traceparent` is kept; `tracestate` is not.

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use sha2::{Digest, Sha256};

/// The header.
const TRACEPARENT: &str = "traceparent";
/// Bytes of the header in version 00, and what any later version begins with.
const LENGTH: usize = 55;

/// A span, by its id and that of its trace, and whether it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// What `traceparent` says; none if it is malformed, and then it is as if it were not there.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let (known, rest) = traceparent.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            part.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                .then_some(part)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_of_a_version = match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let context = Self::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        );
        (is_of_a_version && context.0.is_valid()).then_some(context)
    }

    /// What a request says, if it says so once.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let first = given.next()?.to_str().ok()?;
        given.next().is_none().then(|| Self::parse(first.trim()))?
    }

    /// The ids of a span that everybody who knows the seeds can tell: in the trace of its parent, or else in that of `trace`.
    #[must_use]
    pub fn derived(parent: Option<&Self>, trace: &[u8], span: &[u8]) -> Self {
        let hash = |seed: &[u8]| -> [u8; 32] { Sha256::digest(seed).into() };
        let trace_id = match parent {
            Some(parent) => parent.0.trace_id(),
            None => hash(trace)
                .first_chunk()
                .map_or(TraceId::INVALID, |id| TraceId::from_bytes(*id)),
        };
        let span_id = hash(span)
            .first_chunk()
            .map_or(SpanId::INVALID, |id| SpanId::from_bytes(*id));
        let flags = parent.map_or(TraceFlags::SAMPLED, |parent| parent.0.trace_flags());
        Self::new(trace_id, span_id, flags)
    }

    fn new(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Self {
        Self(SpanContext::new(
            trace_id,
            span_id,
            flags,
            true,
            TraceState::NONE,
        ))
    }

    /// As the header has it: 55 characters.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let span = &self.0;
        let flags = span.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
    }

    /// The id of the trace: 32 digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    pub(super) fn of_span(span: &SpanContext) -> Option<Self> {
        span.is_valid().then(|| Self(span.clone()))
    }

    pub(super) fn ids(&self) -> (TraceId, SpanId) {
        (self.0.trace_id(), self.0.span_id())
    }

    pub(super) fn into_span_context(self) -> SpanContext {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn traceparent_is_read_as_the_specification_has_it() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let read = TraceContext::parse(&good).expect("a context");
        assert_eq!(
            (read.trace_id().as_str(), read.traceparent()),
            (TRACE, good.clone())
        );
        // Flags that are not known are cleared, and what later versions add is passed over.
        let later = TraceContext::parse(&format!("cc-{TRACE}-{SPAN}-ff-what"));
        assert_eq!(later.map(|later| later.traceparent()), Some(good.clone()));
        for bad in [
            String::new(),
            format!("{good}-x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01x"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-0"),
            "é".repeat(28),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_says_it_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&headers), None);
        let value = http::HeaderValue::from_static(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        );
        headers.append(TRACEPARENT, value.clone());
        assert!(TraceContext::of_headers(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceContext::of_headers(&headers), None);
    }

    #[test]
    fn ids_that_are_derived_are_the_same_everywhere() {
        let alone = TraceContext::derived(None, b"run", b"run/1");
        assert_eq!(alone, TraceContext::derived(None, b"run", b"run/1"));
        let parent = TraceContext::parse(&format!("00-{TRACE}-{SPAN}-00"));
        let below = TraceContext::derived(parent.as_ref(), b"run", b"run/1");
        assert_eq!(below.trace_id(), TRACE);
        assert_eq!(below.ids().1, alone.ids().1);
        assert_ne!(
            alone.ids().1,
            TraceContext::derived(None, b"run", b"run/2").ids().1
        );
    }
}
