//! Spans on their way to the collector: behind a queue with a bound, on a thread of their own with a client of their own, so that a turn
//! neither waits for a collector nor hears of it. What cannot be sent is dropped and counted.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::runtime::{self, Runtime};

use super::TraceConfig;
use crate::config::Invalid;

/// Spans that have ended and are not sent: about 4 MiB of them, and those of some hundred turns.
const QUEUE: usize = 8_192;
/// Bytes that are read of a collector's answer.
const MAX_ANSWER: usize = 64 * 1024;

static WAITING: AtomicUsize = AtomicUsize::new(0);
static EXPORTED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What has become of this process's spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    /// A collector has them.
    pub(crate) exported: u64,
    /// A collector was not there, or refused them.
    pub(crate) failed: u64,
    /// They had no place in the queue.
    pub(crate) dropped: u64,
}

pub(crate) fn spans() -> Spans {
    Spans {
        exported: EXPORTED.load(Ordering::Relaxed),
        failed: FAILED.load(Ordering::Relaxed),
        dropped: DROPPED.load(Ordering::Relaxed),
    }
}

/// What takes spans that have ended; none if they are to go nowhere.
///
/// # Errors
/// The client cannot be built.
pub(super) fn processor(config: &TraceConfig) -> Result<Option<Bounded>, Invalid> {
    let Some(url) = config.url() else {
        return Ok(None);
    };
    let invalid = |error: &dyn std::fmt::Display| {
        Invalid::new("OTEL_EXPORTER_OTLP_ENDPOINT", error.to_string())
    };
    let client = Client::new(config.timeout()).map_err(|error| invalid(&error))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url)
        .with_timeout(config.timeout())
        .with_headers(config.headers()?)
        .build()
        .map_err(|error| invalid(&error))?;
    let exporter = Counted {
        exporter,
        is_away: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .build();
    Ok(Some(Bounded(BatchSpanProcessor::new(exporter, batches))))
}

/// A queue that says what it drops.
#[derive(Debug)]
pub(super) struct Bounded(BatchSpanProcessor);

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if WAITING.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Counts what is sent, and says once when a collector goes away and when it is back.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    is_away: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        WAITING.fetch_sub(spans, Ordering::Relaxed);
        let sent = self.exporter.export(batch).await;
        let counter = if sent.is_ok() { &EXPORTED } else { &FAILED };
        counter.fetch_add(u64::try_from(spans).unwrap_or(0), Ordering::Relaxed);
        let was_away = self.is_away.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_away => {
                tracing::warn!(%error, "traces cannot be sent; they are dropped and counted until they can");
            }
            Ok(()) if was_away => tracing::info!("traces are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The HTTP client, with a runtime for the thread that sends: it works before the process's runtime is there, and when that has ended.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Mutex<Runtime>,
}

impl Client {
    fn new(timeout: Duration) -> Result<Self, Box<dyn std::error::Error>> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            // Headers may hold a key.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("errand/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            http,
            runtime: Mutex::new(runtime),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        // The URL may hold a key, too.
        let without_url = |error: reqwest::Error| error.without_url();
        let mut answer = self.http.execute(request).await.map_err(without_url)?;
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(without_url)? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_ANSWER {
                return Err("the answer has no end".into());
            }
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl HttpClient for Client {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = runtime.block_on(self.send(request));
        Box::pin(ready(sent))
    }
}
