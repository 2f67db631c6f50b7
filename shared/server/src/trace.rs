//! Traces: what the parts of a turn take, as spans of OpenTelemetry. Nothing in here knows a run, a model or a tool.
//!
//! A span begins below the one that is current ([`Span::scope`]) and ends when it is dropped. Without [`start`] nothing is recorded and next
//! to nothing done; where a client has sent a `traceparent`, that goes on all the same, so that log lines tell of it and a program that
//! traces finds it.
//!
//! What is set on a span may be an id, a name from our own lists, or a number; never what people or models have said.

use std::{
    borrow::Cow,
    cell::Cell,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanBuilder, SpanId, Status, TraceContextExt as _, TraceId,
        TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span as SdkSpan,
};

use crate::config::Invalid;

pub use config::TraceConfig;
pub use context::TraceContext;
pub use opentelemetry::{Array, StringValue, Value, trace::SpanKind};

mod config;
mod context;
mod export;

pub(crate) use export::spans;

/// What makes spans, once [`start`] was called in a process that traces.
static TRACING: OnceLock<(SdkTracer, SdkTracerProvider)> = OnceLock::new();

tokio::task_local! {
    /// Whose child a span that begins is.
    static CURRENT: TraceContext;
}

thread_local! {
    /// The ids of the span that this thread is about to make, where they are not drawn.
    static GIVEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Begins to trace, if the configuration says where to. `program` is the name of the service, unless it has another. A second call in one
/// process changes nothing.
///
/// # Errors
/// The client for the collector cannot be built.
pub fn start(config: &TraceConfig, program: &'static str) -> Result<(), Invalid> {
    if TRACING.get().is_some() {
        return Ok(());
    }
    let Some(processor) = export::processor(config)? else {
        return Ok(());
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(config.sampler())
        .with_id_generator(Ids::default())
        .with_resource(config.resource(program))
        .build();
    let _ = TRACING.set((provider.tracer("errand"), provider));
    Ok(())
}

/// Sends what has ended, for at most this time, and records no more.
pub(crate) fn stop(within: Duration) {
    if let Some((_, provider)) = TRACING.get() {
        let _ = provider.shutdown_with_timeout(within);
    }
}

/// Whether anything is traced here. What a span tells that takes time to put together is put together only then.
#[must_use]
pub fn is_on() -> bool {
    TRACING.get().is_some()
}

/// Where the work at hand belongs to, if to any trace.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does the work below a context that came from elsewhere.
pub async fn within<T>(context: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    match context {
        Some(context) => CURRENT.scope(context, work).await,
        None => work.await,
    }
}

/// A span to begin.
#[derive(Debug, Default)]
pub struct NewSpan {
    /// What it is called: one of few names.
    pub name: Cow<'static, str>,
    /// Which side of what it is.
    pub kind: Option<SpanKind>,
    /// Whose child it is.
    pub parent: Option<TraceContext>,
    /// When it began, if not now.
    pub from: Option<SystemTime>,
    /// What it is besides related to.
    pub link: Option<TraceContext>,
    /// Its id, where others have to know it without being told; and, if it has no parent, that of its trace.
    pub id: Option<TraceContext>,
}

/// A part of a turn. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span {
    /// None if nothing is recorded.
    span: Option<Box<SdkSpan>>,
    /// What is below it: itself, or, if it is not there, its parent.
    context: Option<TraceContext>,
}

impl Span {
    /// Begins a span below the current one.
    #[must_use]
    pub fn begin(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of_kind(SpanKind::Internal, name)
    }

    /// As [`Self::begin`], for one side of a conversation between processes.
    #[must_use]
    pub fn of_kind(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        if TRACING.get().is_none() {
            return Self::default();
        }
        Self::new(NewSpan {
            name: name.into(),
            kind: Some(kind),
            parent: current(),
            ..NewSpan::default()
        })
    }

    /// Begins a span.
    #[must_use]
    pub fn new(new: NewSpan) -> Self {
        let Some((tracer, _)) = TRACING.get() else {
            return Self {
                span: None,
                context: new.parent,
            };
        };
        let mut builder = SpanBuilder::from_name(new.name);
        builder.span_kind = new.kind;
        builder.start_time = new.from;
        builder.links = new
            .link
            .map(|link| vec![Link::with_context(link.into_span_context())]);
        let parent = match new.parent {
            Some(parent) => Context::new().with_remote_span_context(parent.into_span_context()),
            None => Context::new(),
        };
        GIVEN.set(new.id.as_ref().map(TraceContext::ids));
        let span = builder.start_with_context(tracer, &parent);
        GIVEN.set(None);
        let context = TraceContext::of_span(span.span_context());
        Self {
            span: span.is_recording().then(|| Box::new(span)),
            context,
        }
    }

    /// A span that is over already: from then until now, below the current one.
    pub fn since(name: &'static str, from: SystemTime) -> Self {
        if TRACING.get().is_none() {
            return Self::default();
        }
        Self::new(NewSpan {
            name: name.into(),
            parent: current(),
            from: Some(from),
            ..NewSpan::default()
        })
    }

    /// Ends it at a time that has passed.
    pub fn end_at(mut self, time: SystemTime) {
        if let Some(span) = &mut self.span {
            span.end_with_timestamp(time);
        }
    }

    /// True if somebody will see what is set.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.span.is_some()
    }

    /// Sets an attribute, by its name in the semantic conventions where it has one.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, in one of few ways.
    pub fn fail(&mut self, how: &'static str) {
        self.set("error.type", how);
        if let Some(span) = &mut self.span {
            span.set_status(Status::error(""));
        }
    }

    /// What others need to know to begin a span below it.
    #[must_use]
    pub fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Does the work of this span: what begins in it is below it.
    pub async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.context {
            Some(context) => CURRENT.scope(context.clone(), work).await,
            None => work.await,
        }
    }
}

/// Draws ids, but for spans whose ids are given.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        match GIVEN.get() {
            Some((trace_id, _)) => trace_id,
            None => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        match GIVEN.get() {
            Some((_, span_id)) => span_id,
            None => self.0.new_span_id(),
        }
    }
}
