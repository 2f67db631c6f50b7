//! What every program tells of itself in the text format of OpenMetrics (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! A program has a registry of its own, and no global one: several run in one process when they are tested.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::trace;

/// What the text is, for `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Panics of this process so far.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A panic has happened.
pub(crate) fn count_panic() {
    PANICS.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// A registry whose metrics all begin with `errand_`, and what each process has.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    panics: Counter,
    spans: Family<OutcomeLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("errand");
        let panics = Counter::default();
        registry.register("panics", "Panics of this process", panics.clone());
        let spans = Family::default();
        registry.register(
            "trace_spans",
            "Spans of traces that were exported, that a collector did not take (failed), or that had no place in the queue (dropped)",
            spans.clone(),
        );
        Self {
            registry,
            panics,
            spans,
        }
    }
}

impl Metrics {
    /// The registry, to register more.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// All metrics as text.
    #[must_use]
    pub fn text(&self) -> String {
        let seen = PANICS.load(Ordering::Relaxed);
        self.panics.inc_by(seen.saturating_sub(self.panics.get()));
        let spans = trace::spans();
        for (outcome, seen) in [
            ("exported", spans.exported),
            ("failed", spans.failed),
            ("dropped", spans.dropped),
        ] {
            let counter = self.spans.get_or_create(&OutcomeLabel { outcome });
            counter.inc_by(seen.saturating_sub(counter.get()));
        }
        let mut text = String::new();
        // Writing into a string fails only if a metric cannot be written, and then the text ends there.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabel {
    what: &'static str,
}

/// Registers how long work waits before it is done, by what it waits for. Returns what measures a wait, by the place of its name.
pub fn waits<const N: usize>(
    registry: &mut Registry,
    names: [&'static str; N],
) -> impl Fn(usize, Duration) + Send + Sync + Clone + use<N> {
    let waits: Family<WaitLabel, Histogram> = Family::new_with_constructor(short_seconds);
    registry.register(
        "wait_seconds",
        "How long work waited before it was done, by what it waited for",
        waits.clone(),
    );
    let waits = names.map(|what| waits.get_or_create_owned(&WaitLabel { what }));
    move |place, took| {
        if let Some(wait) = waits.get(place) {
            wait.observe(took.as_secs_f64());
        }
    }
}

/// A histogram of seconds from 5 ms to 2 min, for what a person waits for.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ])
}

/// A histogram of seconds from 1 ms to 10 s, for what machines do.
#[must_use]
pub fn short_seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ])
}
