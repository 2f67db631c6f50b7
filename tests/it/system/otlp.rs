//! A collector that takes OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/>) and keeps the spans that it is sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as AnyValue},
    trace::v1::Span as Sent,
};
use prost::Message;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use super::PATIENCE;

/// A span as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if it has none.
    pub(crate) parent: String,
    /// Ids of spans.
    pub(crate) links: Vec<String>,
    pub(crate) kind: i32,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) attributes: HashMap<String, Value>,
    pub(crate) is_error: bool,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    headers: HeaderMap,
    /// Everything that was sent, as it was.
    bytes: Vec<u8>,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
    seen: watch::Receiver<usize>,
}

type Shared = (Arc<Mutex<Kept>>, Arc<watch::Sender<usize>>);

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let kept = Arc::<Mutex<Kept>>::default();
        let (told, seen) = watch::channel(0);
        let state: Shared = (Arc::clone(&kept), Arc::new(told));
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, kept, seen }
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().expect("no panic").spans.clone()
    }

    /// Waits until the spans are such that this has an answer.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&[Span]) -> Option<T>) -> T {
        let mut seen = self.seen.clone();
        let found = timeout(PATIENCE, async {
            loop {
                seen.borrow_and_update();
                if let Some(found) = look(&self.spans()) {
                    return found;
                }
                seen.changed().await.expect("the collector is there");
            }
        });
        found.await.unwrap_or_else(|_| {
            let spans: Vec<_> = self.spans().into_iter().map(|span| span.name).collect();
            panic!("never among {spans:#?}")
        })
    }

    /// Waits for a span of this name in this trace.
    pub(crate) async fn span(&self, trace: &str, name: &str) -> Span {
        let is_it = |span: &&Span| span.trace == trace && span.name == name;
        self.until(|spans| spans.iter().find(is_it).cloned()).await
    }

    /// A header of the last request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let kept = self.kept.lock().expect("no panic");
        Some(kept.headers.get(name)?.to_str().ok()?.to_owned())
    }

    /// Whether this text was sent, wherever.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        let kept = self.kept.lock().expect("no panic");
        kept.bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}

async fn take(State((kept, told)): State<Shared>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(&*body).expect("a request of OTLP");
    let mut kept = kept.lock().expect("no panic");
    kept.headers = headers;
    kept.bytes.extend_from_slice(&body);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let service = attributes(resource.attributes)["service.name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let spans = of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        kept.spans.extend(spans.map(|span| read(&service, span)));
    }
    told.send_modify(|seen| *seen += 1);
}

fn read(service: &str, span: Sent) -> Span {
    Span {
        service: service.to_owned(),
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        kind: span.kind,
        from: span.start_time_unix_nano,
        to: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        is_error: span.status.is_some_and(|status| status.code == 2),
    }
}

fn attributes(sent: Vec<KeyValue>) -> HashMap<String, Value> {
    let value = |value: Option<AnyValue>| match value {
        Some(AnyValue::StringValue(text)) => json!(text),
        Some(AnyValue::BoolValue(is)) => json!(is),
        Some(AnyValue::IntValue(number)) => json!(number),
        Some(AnyValue::DoubleValue(number)) => json!(number),
        Some(AnyValue::ArrayValue(array)) => {
            let texts = array.values.into_iter().map(|value| match value.value {
                Some(AnyValue::StringValue(text)) => json!(text),
                other => json!(format!("{other:?}")),
            });
            texts.collect()
        }
        Some(AnyValue::BytesValue(bytes)) => json!(BASE64_STANDARD_NO_PAD.encode(bytes)),
        other => json!(format!("{other:?}")),
    };
    let read = |pair: KeyValue| (pair.key, value(pair.value.and_then(|value| value.value)));
    sent.into_iter().map(read).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How often a program sends, here: a test does not wait for seconds.
pub(crate) const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

impl Span {
    /// An attribute that it has to have.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &Value {
        let value = self.attributes.get(name);
        value.unwrap_or_else(|| panic!("{} has no {name}: {:?}", self.name, self.attributes))
    }

    pub(crate) fn took(&self) -> Duration {
        Duration::from_nanos(self.to.saturating_sub(self.from))
    }
}
