//! What an API process measures, and what it says of the queue of the whole installation.
//!
//! Labels have few values: methods, patterns of routes, statuses. None of them is anybody's text.

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use errand_server::metrics::{self, seconds, short_seconds};
use errand_store::{Pool, PoolUsage, Wait, queue::state::QueueState};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

use crate::App;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of one process.
#[derive(Debug)]
pub(crate) struct Metrics {
    all: metrics::Metrics,
    requests: Family<RequestLabels, Histogram>,
    stage: Family<StageLabel, Histogram>,
    streams: Family<TransportLabel, Gauge>,
    pool: Family<StateLabel, Gauge>,
    /// Followers that were too slow, and have to begin anew.
    pub(crate) dropped: Counter,
    database_up: Gauge,
    ready: Gauge,
    oldest_ready: Seconds,
    running: Gauge,
    oldest_running: Seconds,
    behind: Gauge,
    awaiting_approval: Gauge,
    workers: Gauge,
    slots: Gauge,
    paused: Gauge,
    age: Seconds,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut new = Self {
            requests: Family::new_with_constructor(seconds),
            stage: Family::new_with_constructor(short_seconds),
            streams: Family::default(),
            pool: Family::default(),
            dropped: Counter::default(),
            database_up: Gauge::default(),
            ready: Gauge::default(),
            oldest_ready: Seconds::default(),
            running: Gauge::default(),
            oldest_running: Seconds::default(),
            behind: Gauge::default(),
            awaiting_approval: Gauge::default(),
            workers: Gauge::default(),
            slots: Gauge::default(),
            paused: Gauge::default(),
            age: Seconds::default(),
            all: metrics::Metrics::default(),
        };
        for stage in ["accept", "deliver"] {
            drop(new.stage.get_or_create(&StageLabel { stage }));
        }
        let registry = new.all.registry();
        registry.register(
            "http_request_seconds",
            "Answers, to the beginning of their bodies, by method, route and status",
            new.requests.clone(),
        );
        registry.register(
            "turn_stage_seconds",
            "What an API does for a turn: accept (until its run is committed), deliver (from the end of the run until its one JSON answer is there)",
            new.stage.clone(),
        );
        registry.register(
            "open_streams",
            "Streams that are open here, by transport (sse, websocket)",
            new.streams.clone(),
        );
        registry.register("pool_connections", "Connections to the database that are in_use or idle, and callers that wait for one (waiting)", new.pool.clone());
        registry.register(
            "subscribers_dropped",
            "Followers that were too slow and have to begin anew",
            new.dropped.clone(),
        );
        registry.register("database_up", "1 if the database answered for this scrape; if not, what is told of the queue is as it was seen last", new.database_up.clone());
        registry.register(
            "runs_ready",
            "Runs that a worker could take now",
            new.ready.clone(),
        );
        registry.register(
            "oldest_ready_run_seconds",
            "How long the oldest ready run has been ready; 0 if there is none",
            new.oldest_ready.clone(),
        );
        registry.register("runs_running", "Runs at work", new.running.clone());
        registry.register(
            "oldest_running_run_seconds",
            "How long the oldest run at work has been, by its attempt; 0 if there is none",
            new.oldest_running.clone(),
        );
        registry.register(
            "runs_behind",
            "Runs behind others of their conversation or their user",
            new.behind.clone(),
        );
        registry.register(
            "runs_awaiting_approval",
            "Runs whose user has to decide",
            new.awaiting_approval.clone(),
        );
        registry.register(
            "workers",
            "Workers that were heard of in the last 30 s",
            new.workers.clone(),
        );
        registry.register(
            "worker_slots",
            "Runs that these can have at work together",
            new.slots.clone(),
        );
        registry.register(
            "queue_paused",
            "1 if an operator has paused the queue: no worker takes any run",
            new.paused.clone(),
        );
        registry.register(
            "queue_state_age_seconds",
            "How old what is told of the queue is: it is counted once for all processes",
            new.age.clone(),
        );
        new
    }
}

/// What is known of the queue just now.
pub(crate) enum Seen {
    /// This.
    Now(QueueState),
    /// What was seen last: nobody looks while the process sleeps.
    Before,
    /// The database does not answer.
    Nothing,
}

impl Metrics {
    /// Measures how long work on this pool waits, too.
    pub(crate) fn measure_waits(&mut self, pool: &Pool) {
        let measure = metrics::waits(self.all.registry(), Wait::ALL.map(Wait::name));
        pool.measure_waits(move |wait, took| measure(wait as usize, took));
    }

    /// All as text. What is not counted but looked at is what was seen for this scrape.
    pub(crate) fn text(
        &self,
        queue: Seen,
        streams: usize,
        sockets: usize,
        pool: PoolUsage,
    ) -> String {
        for (transport, open) in [("sse", streams), ("websocket", sockets)] {
            let gauge = self.streams.get_or_create(&TransportLabel { transport });
            gauge.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        for (state, connections) in [
            ("in_use", pool.in_use),
            ("idle", pool.idle),
            ("waiting", pool.waiting),
        ] {
            let gauge = self.pool.get_or_create(&StateLabel { state });
            gauge.set(i64::try_from(connections).unwrap_or(i64::MAX));
        }
        match queue {
            Seen::Now(queue) => {
                self.database_up.set(1);
                self.see(queue);
            }
            Seen::Before => {}
            Seen::Nothing => {
                self.database_up.set(0);
            }
        }
        self.all.text()
    }

    fn see(&self, queue: QueueState) {
        self.ready.set(queue.ready);
        self.oldest_ready.set(queue.oldest_ready.as_secs_f64());
        self.running.set(queue.running);
        self.oldest_running.set(queue.oldest_running.as_secs_f64());
        self.behind.set(queue.behind);
        self.awaiting_approval.set(queue.awaiting_approval);
        self.workers.set(queue.workers);
        self.slots.set(queue.slots);
        self.paused.set(i64::from(queue.paused));
        self.age.set(queue.age.as_secs_f64());
    }

    /// A part of a turn took so long.
    pub(crate) fn stage(&self, stage: &'static str, took: Duration) {
        let stage = self.stage.get_or_create(&StageLabel { stage });
        stage.observe(took.as_secs_f64());
    }

    fn answered(&self, labels: &RequestLabels, took: Duration) {
        self.requests
            .get_or_create(labels)
            .observe(took.as_secs_f64());
    }
}

/// Measures answers of routes. A path that is none has no name here: whoever asks may make up any number of them.
pub(crate) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        return next.run(request).await;
    };
    let route = route.as_str().to_owned();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    let labels = RequestLabels {
        method,
        route,
        status: response.status().as_u16(),
    };
    app.metrics.answered(&labels, begun.elapsed());
    response
}
