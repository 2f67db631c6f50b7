//! The figures of loads, as they are printed and kept.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context, Result};
use errand_bench::gauge::Sample;
use errand_devkit::proxy::Counts;
use serde::{Deserialize, Serialize};

use crate::{
    check::Verdict,
    run::Outcome,
    turn::{Target, Transport},
    used::KINDS,
};

/// What one program run has measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of the code that was measured; with a mark if it was changed since.
    pub(crate) commit: String,
    /// `debug` or `release`.
    pub(crate) build: String,
    pub(crate) cores: usize,
    pub(crate) postgres: String,
    pub(crate) rows: Vec<Row>,
}

/// One load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What two reports are compared by.
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) users: usize,
    pub(crate) seconds: f64,
    pub(crate) turns: usize,
    pub(crate) failed: usize,
    /// Turns of an open loop that were due and found no free user.
    pub(crate) left_out: usize,
    pub(crate) turns_per_second: f64,
    /// Milliseconds over the model's own time; none if no turn was answered in time.
    pub(crate) added: Option<Quantiles>,
    /// Milliseconds until the first token over the model's own time; streams only.
    pub(crate) first: Option<Quantiles>,
    /// Milliseconds of processor time a turn, by kind of process.
    pub(crate) processor: BTreeMap<String, f64>,
    /// Of one core, what other programs of this machine used meanwhile.
    pub(crate) others: f64,
    /// Of Postgres, a turn.
    pub(crate) wal_bytes: Option<f64>,
    /// As Postgres counts them. Sessions that listen have one for each notification, too, which no client asks for.
    pub(crate) commits: Option<f64>,
    pub(crate) written_commits: Option<f64>,
    pub(crate) flushes: Option<f64>,
    /// What APIs and workers asked of Postgres for a turn, counted in a time of its own.
    pub(crate) asked: Option<Asked>,
    /// Turns a second of the same turn as bare SQL.
    pub(crate) ceiling: Option<f64>,
    /// MiB of APIs and workers at their largest.
    pub(crate) memory: Option<[f64; 2]>,
    /// The same, KiB for each turn in flight beyond what they had at rest.
    pub(crate) memory_per_run: Option<f64>,
    pub(crate) verdict: Option<Verdict>,
    /// Why turns failed, and how many.
    pub(crate) errors: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

/// For one turn: of APIs and workers together, and by kind.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) turns: usize,
    pub(crate) seconds: f64,
    pub(crate) round_trips: f64,
    pub(crate) statements: f64,
    pub(crate) commits: f64,
    pub(crate) rollbacks: f64,
    /// Commit records in the log.
    pub(crate) written_commits: Option<f64>,
    /// Commits that waited for the disk; fewer if several waited together. Postgres tells of them up to a second late: of a short time some are missing.
    #[serde(default)]
    pub(crate) flushes: Option<f64>,
    pub(crate) api_round_trips: f64,
    pub(crate) worker_round_trips: f64,
    /// A second, while nobody took a turn; contained in the figures above as far as it went on meanwhile.
    pub(crate) at_rest: AtRest,
}

/// What programs ask without being asked, in a second.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct AtRest {
    pub(crate) round_trips: f64,
    pub(crate) commits: f64,
}

impl Quantiles {
    /// None of an empty sample.
    fn of(sample: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut all = Sample::default();
        all.extend(sample.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| all.milliseconds(share));
        (!all.is_empty()).then_some(Self { p50, p99, most })
    }
}

impl Report {
    /// An empty one, about the code that this program was built from.
    pub(crate) fn new(postgres: String) -> Self {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
            let output = git.output().ok().filter(|output| output.status.success())?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let mut commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        if changed.is_some_and(|changed| !changed.is_empty()) {
            commit.push_str("-changed");
        }
        let debug = cfg!(debug_assertions);
        Self {
            commit,
            build: if debug { "debug" } else { "release" }.to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            postgres,
            rows: Vec::new(),
        }
    }

    pub(crate) fn write(&self, path: &std::path::Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    pub(crate) fn read(path: &std::path::Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| format!("{}: no report", path.display()))
    }
}

impl Row {
    pub(crate) fn new(name: String, target: &Target, users: usize, outcome: &Outcome) -> Self {
        let done = || outcome.counted().filter(|taken| taken.error.is_none());
        let turns = done().count();
        let each = |all: f64| all / turns.max(1) as f64;
        let seconds = outcome.until.duration_since(outcome.from).as_secs_f64();
        let mut errors = BTreeMap::new();
        for error in outcome.all.iter().filter_map(|taken| taken.error.clone()) {
            *errors.entry(error).or_insert(0) += 1;
        }
        let used = &outcome.used;
        let processor = KINDS.iter().zip(used.processor);
        let processor = processor.filter(|(_, time)| !time.is_zero());
        let in_database = used.wal_bytes > 0;
        Self {
            name,
            transport: target.transport,
            users,
            seconds,
            turns,
            failed: outcome.counted().count() - turns,
            left_out: outcome.left_out,
            turns_per_second: turns as f64 / seconds,
            added: Quantiles::of(
                done().map(|taken| taken.latency.saturating_sub(taken.deed.models(target.pace))),
            ),
            first: Quantiles::of(done().filter_map(|taken| taken.first)),
            processor: processor
                .map(|(kind, time)| ((*kind).to_owned(), each(time.as_secs_f64() * 1e3)))
                .collect(),
            others: used.others.as_secs_f64() / seconds,
            wal_bytes: in_database.then(|| each(used.wal_bytes as f64)),
            commits: in_database.then(|| each(used.commits as f64)),
            written_commits: used.written_commits.map(|commits| each(commits as f64)),
            flushes: used.flushes.map(|flushes| each(flushes as f64)),
            asked: None,
            ceiling: None,
            memory: (used.memory[0] > 0).then(|| used.memory.map(|kib| kib as f64 / 1024.0)),
            memory_per_run: None,
            verdict: None,
            errors,
        }
    }

    pub(crate) fn share(&self) -> Option<f64> {
        Some(self.turns_per_second / self.ceiling?)
    }
}

impl Asked {
    /// Round trips and commits of a turn without what would have been asked at rest, which depends on how long a turn takes.
    pub(crate) fn of_turn(&self) -> [f64; 2] {
        let rest = |each: f64| each * self.seconds / self.turns.max(1) as f64;
        let round_trips = self.round_trips - rest(self.at_rest.round_trips);
        let commits = self.commits - rest(self.at_rest.commits);
        [round_trips, commits].map(|net| net.max(0.0))
    }

    /// From what was counted; nothing if nothing was.
    pub(crate) fn of(outcome: &Outcome, at_rest: AtRest) -> Option<Self> {
        let [api, worker] = outcome.used.counts?;
        let turns = outcome.counted().count();
        let each = |all: u64| all as f64 / turns.max(1) as f64;
        let both: Counts = api.plus(worker);
        Some(Self {
            turns,
            seconds: outcome.until.duration_since(outcome.from).as_secs_f64(),
            round_trips: each(both.round_trips),
            statements: each(both.statements),
            commits: each(both.commits),
            rollbacks: each(both.rollbacks),
            written_commits: outcome
                .used
                .written_commits
                .map(|commits| commits as f64 / turns.max(1) as f64),
            flushes: outcome
                .used
                .flushes
                .map(|flushes| flushes as f64 / turns.max(1) as f64),
            api_round_trips: each(api.round_trips),
            worker_round_trips: each(worker.round_trips),
            at_rest,
        })
    }
}
