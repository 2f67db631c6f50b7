//! What a worker measures: how long runs wait and take, what models and tools take, and what went wrong.
//!
//! Labels have few values: outcomes, names of tools, and the model that is configured. None of them is anybody's text.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use errand_server::metrics::{self, seconds, short_seconds};
use errand_store::{
    Pool, PoolUsage, Wait, lifecycle::Outcome, queue::purge::Purge, read::usage::Tokens,
};
use errand_tools::NAMES;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

use crate::spans;

mod circuits;
mod measured;
mod server;

pub(crate) use measured::{Attempt, MeasuredJournal, MeasuredModel, MeasuredTools};
pub(crate) use server::Server;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabel {
    tool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// What attempts at summaries come to.
const SUMMARY_OUTCOMES: [&str; 5] = ["completed", "failed", "again", "cancelled", "lost"];

/// The metrics of one worker.
#[derive(Debug)]
pub(crate) struct Metrics {
    all: metrics::Metrics,
    slots: Family<StateLabel, Gauge>,
    pool: Family<StateLabel, Gauge>,
    pickup: Histogram,
    turn: Family<OutcomeLabel, Histogram>,
    first_token: Histogram,
    model: Family<ModelLabels, Histogram>,
    model_first_token: Histogram,
    tokens: Family<TokenLabels, Counter>,
    pub(crate) circuits: circuits::Circuits,
    tool: Family<ToolLabel, Histogram>,
    tool_errors: Family<ToolLabel, Counter>,
    stage: Family<StageLabel, Histogram>,
    summary: Family<OutcomeLabel, Histogram>,
    rescued: Counter,
    fenced: Counter,
    released: Family<WhatLabel, Counter>,
    purged: Family<WhatLabel, Counter>,
    purge_backlog: Family<WhatLabel, Gauge<f64, AtomicU64>>,
    purge_failures: Family<WhatLabel, Counter>,
    purges: Mutex<HashMap<&'static str, Instant>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut new = Self {
            slots: Family::default(),
            pool: Family::default(),
            pickup: seconds(),
            turn: Family::new_with_constructor(seconds),
            first_token: seconds(),
            model: Family::new_with_constructor(seconds),
            model_first_token: seconds(),
            tokens: Family::default(),
            circuits: circuits::Circuits::default(),
            tool: Family::new_with_constructor(short_seconds),
            tool_errors: Family::default(),
            stage: Family::new_with_constructor(short_seconds),
            summary: Family::new_with_constructor(seconds),
            rescued: Counter::default(),
            fenced: Counter::default(),
            released: Family::default(),
            purged: Family::default(),
            purge_backlog: Family::default(),
            purge_failures: Family::default(),
            purges: Mutex::default(),
            all: metrics::Metrics::default(),
        };
        // What has not happened yet is told as 0: a rate needs something to begin with.
        for outcome in ["completed", "failed", "cancelled", "awaiting_approval"] {
            drop(new.turn.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in SUMMARY_OUTCOMES {
            drop(new.summary.get_or_create(&OutcomeLabel { outcome }));
        }
        for what in ["failure", "outage", "drained"] {
            drop(new.released.get_or_create(&WhatLabel { what }));
        }
        for stage in ["claim", "history", "step", "finish"] {
            drop(new.stage.get_or_create(&StageLabel { stage }));
        }
        for what in Purge::ALL.map(Purge::name) {
            drop(new.purge_failures.get_or_create(&WhatLabel { what }));
        }
        for tool in NAMES {
            drop(new.tool.get_or_create(&ToolLabel { tool }));
            drop(new.tool_errors.get_or_create(&ToolLabel { tool }));
        }
        let registry = new.all.registry();
        registry.register(
            "slots",
            "Places for runs in this process, busy and free",
            new.slots.clone(),
        );
        registry.register("pool_connections", "Connections to the database that are in_use or idle, and callers that wait for one (waiting)", new.pool.clone());
        registry.register(
            "pickup_seconds",
            "From the acceptance of a run to its first claim",
            new.pickup.clone(),
        );
        registry.register(
            "turn_seconds",
            "From the acceptance of a run to its end, by outcome",
            new.turn.clone(),
        );
        registry.register(
            "first_token_seconds",
            "From the acceptance of a run to the first word of its first attempt",
            new.first_token.clone(),
        );
        registry.register(
            "model_request_seconds",
            "One answer of the model, retries included, by model and outcome",
            new.model.clone(),
        );
        registry.register(
            "model_first_token_seconds",
            "From a request to the model's first word",
            new.model_first_token.clone(),
        );
        registry.register(
            "model_tokens",
            "Tokens of answers that came to their end: input, cached (of the input), output, reasoning (of the output)",
            new.tokens.clone(),
        );
        new.circuits.register(registry);
        registry.register(
            "tool_call_seconds",
            "One call of a tool, with its commit",
            new.tool.clone(),
        );
        registry.register(
            "tool_errors",
            "Calls of tools that came to an error which the model was told of",
            new.tool_errors.clone(),
        );
        registry.register(
            "run_stage_seconds",
            "What a worker does for a run besides asking models and calling tools: claim, history (what was said before), step (one commit of an answer), finish (the commit of the end)",
            new.stage.clone(),
        );
        registry.register(
            "summary_seconds",
            "One attempt at a summary of a conversation, from its claim, by outcome",
            new.summary.clone(),
        );
        registry.register(
            "runs_rescued",
            "Jobs taken over from workers that fell silent",
            new.rescued.clone(),
        );
        registry.register(
            "writes_fenced",
            "Attempts that found another one in their place",
            new.fenced.clone(),
        );
        registry.register(
            "runs_released",
            "Attempts that gave their run back to the queue, by reason",
            new.released.clone(),
        );
        registry.register(
            "purged_rows",
            "Rows that were purged, by what they were",
            new.purged.clone(),
        );
        registry.register(
            "purge_failures",
            "Purges that failed and are tried again, by what was to be purged",
            new.purge_failures.clone(),
        );
        registry.register(
            "purge_backlog_seconds",
            "How long this worker has been purging without having come to the end of what is due; 0 if nothing is left, or others purge",
            new.purge_backlog.clone(),
        );
        new
    }
}

impl Metrics {
    /// Measures how long work on this pool waits, too.
    pub(crate) fn measure_waits(&mut self, pool: &Pool) {
        let measure = metrics::waits(self.all.registry(), Wait::ALL.map(Wait::name));
        pool.measure_waits(move |wait, took| measure(wait as usize, took));
    }

    /// All as text. What is not counted but looked at is looked at now.
    pub(super) fn text(&self, busy: usize, slots: usize, pool: PoolUsage) -> String {
        let set = |family: &Family<StateLabel, Gauge>, state, value: usize| {
            let gauge = family.get_or_create(&StateLabel { state });
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.slots, "busy", busy);
        set(&self.slots, "free", slots.saturating_sub(busy));
        set(&self.pool, "in_use", pool.in_use);
        set(&self.pool, "idle", pool.idle);
        set(&self.pool, "waiting", pool.waiting);
        let purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        for what in Purge::ALL.map(Purge::name) {
            let begun = purges.get(what);
            let backlog = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
            self.purge_backlog
                .get_or_create(&WhatLabel { what })
                .set(backlog);
        }
        drop(purges);
        self.all.text()
    }

    /// A run was claimed for the first time, so long after its acceptance.
    pub(crate) fn picked_up(&self, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.pickup.observe(waited.as_secs_f64());
        }
    }

    /// A run came to its end, or waits, so long after its acceptance.
    pub(crate) fn ended(&self, outcome: &Outcome, took: Option<Duration>) {
        let outcome = spans::outcome(outcome);
        if let Some(took) = took {
            let turn = self.turn.get_or_create(&OutcomeLabel { outcome });
            turn.observe(took.as_secs_f64());
        }
    }

    /// The first word of a run's first attempt was heard, so long after its acceptance.
    pub(crate) fn first_token(&self, after: Option<Duration>) {
        if let Some(after) = after {
            self.first_token.observe(after.as_secs_f64());
        }
    }

    fn model_answered(&self, model: &str, outcome: &'static str, took: Duration, tokens: Tokens) {
        let labels = ModelLabels {
            model: model.to_owned(),
            outcome,
        };
        self.model
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        self.used(model, tokens);
    }

    /// An answer of the model took this.
    pub(crate) fn used(&self, model: &str, tokens: Tokens) {
        for (kind, tokens) in [
            ("input", tokens.input),
            ("cached", tokens.cached),
            ("output", tokens.output),
            ("reasoning", tokens.reasoning),
        ] {
            if let Ok(tokens @ 1..) = u64::try_from(tokens) {
                let model = model.to_owned();
                self.tokens
                    .get_or_create(&TokenLabels { model, kind })
                    .inc_by(tokens);
            }
        }
    }

    /// A part of a run took so long.
    pub(crate) fn stage(&self, stage: &'static str, took: Duration) {
        let stage = self.stage.get_or_create(&StageLabel { stage });
        stage.observe(took.as_secs_f64());
    }

    fn tool_called(&self, tool: &str, took: Duration, is_error: bool) {
        // What the model makes up is nothing that a label may grow by.
        let known = NAMES.into_iter().find(|known| *known == tool);
        let label = ToolLabel {
            tool: known.unwrap_or("unknown"),
        };
        self.tool.get_or_create(&label).observe(took.as_secs_f64());
        if is_error {
            self.tool_errors.get_or_create(&label).inc();
        }
    }

    /// An attempt at a summary came to this.
    pub(crate) fn summarised(&self, outcome: &'static str, took: Duration) {
        let summary = self.summary.get_or_create(&OutcomeLabel { outcome });
        summary.observe(took.as_secs_f64());
    }

    /// Jobs were taken over from workers that fell silent.
    pub(crate) fn rescued(&self, jobs: u64) {
        self.rescued.inc_by(jobs);
    }

    /// An attempt found another one in its place.
    pub(crate) fn fenced(&self) {
        self.fenced.inc();
    }

    /// An attempt gave its run back to the queue.
    pub(crate) fn released(&self, what: &'static str) {
        self.released.get_or_create(&WhatLabel { what }).inc();
    }

    /// A purge begins.
    pub(crate) fn purge_begins(&self, what: &'static str) {
        let mut purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        purges.insert(what, Instant::now());
    }

    /// A purge has come to its end, or is another worker's, or failed.
    pub(crate) fn purge_ends(&self, what: &'static str, has_failed: bool) {
        if has_failed {
            self.purge_failures.get_or_create(&WhatLabel { what }).inc();
        }
        let mut purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        purges.remove(what);
    }

    /// Rows were purged.
    pub(crate) fn purged(&self, what: &'static str, rows: u64) {
        self.purged.get_or_create(&WhatLabel { what }).inc_by(rows);
    }
}
