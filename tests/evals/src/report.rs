//! What a run of evals comes to: each case as it was played, and figures by family.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    cases::{Case, Cases},
    clock::Clock,
    models::Choice,
    play::{Played, play},
    prices::{self, Price},
    recording::Recording,
    said::TurnFigures,
    system::System,
};

/// A turn that is answered sooner is fast.
pub const FAST: f64 = 5.0;
/// Attempts that `pass^4` is about.
pub const POWER: usize = 4;

/// A result, as it is kept in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The model that answered.
    pub model: String,
    pub started_at: DateTime<Utc>,
    /// How often each case was played.
    pub repeat: usize,
    pub total: Figures,
    /// In the order of their names.
    pub families: BTreeMap<String, Figures>,
    /// What the families are about.
    pub about: BTreeMap<String, String>,
    pub cases: Vec<CaseResult>,
    /// Cases that the recording does not have.
    pub skipped: Vec<String>,
}

/// A case, as often as it was played.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseResult {
    pub name: String,
    pub family: String,
    /// What was said, turn by turn.
    pub said: Vec<String>,
    pub attempts: Vec<Played>,
}

/// Figures of several cases.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figures {
    pub cases: usize,
    /// The share of right attempts.
    pub pass_1: f64,
    /// How likely all of four attempts are right; none if cases were played less often.
    pub pass_4: Option<f64>,
    /// Messages of users.
    pub turns: usize,
    /// The share of turns that were answered within [`FAST`] seconds.
    pub fast: f64,
    pub seconds_p50: f64,
    pub seconds_p95: f64,
    /// Of tools, for each turn.
    pub calls: f64,
    /// For each turn.
    pub model_calls: f64,
    /// For each turn, the cached ones included.
    pub input_tokens: f64,
    /// The share of input tokens that came from the provider's cache.
    pub cached: f64,
    /// For each turn.
    pub output_tokens: f64,
    /// Dollars for a thousand turns; none if the model has no price.
    pub cost: Option<f64>,
}

/// How to play.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How often each case is played.
    pub repeat: usize,
    /// Cases at the same time.
    pub parallel: usize,
    pub price: Option<Price>,
}

impl Report {
    /// Plays cases on a system that has this model, and keeps what the model answers. `told` hears of each case that is over.
    ///
    /// # Errors
    /// The system does not work, which is no fault of the model's.
    pub async fn make(
        system: &System,
        cases: &Cases,
        choice: &Choice,
        options: Options,
        told: impl Fn(&CaseResult),
    ) -> Result<(Self, Recording)> {
        let started_at = Utc::now();
        let (known, unknown): (Vec<&Case>, Vec<&Case>) =
            cases.all.iter().partition(|case| choice.knows(case));
        let mut results: Vec<(CaseResult, Vec<_>)> = stream::iter(known)
            .map(|case| Box::pin(play_all(system, case, options.repeat)))
            .buffer_unordered(options.parallel.max(1))
            .inspect_ok(|(result, _)| told(result))
            .try_collect()
            .await?;
        let places: HashMap<&str, usize> = cases
            .all
            .iter()
            .enumerate()
            .map(|(n, case)| (case.name.as_str(), n))
            .collect();
        results.sort_by_key(|(result, _)| places.get(result.name.as_str()).copied());
        let mut recording = Recording {
            model: choice.name(),
            ..Recording::default()
        };
        let mut kept = Vec::new();
        for (result, attempts) in results {
            recording.cases.insert(result.name.clone(), attempts);
            kept.push(result);
        }
        let mut families: BTreeMap<String, Vec<&CaseResult>> = BTreeMap::new();
        for result in &kept {
            families
                .entry(result.family.clone())
                .or_default()
                .push(result);
        }
        let figures = families
            .into_iter()
            .map(|(name, of)| (name, Figures::of(&of, options.price)));
        let report = Self {
            model: choice.name(),
            started_at,
            repeat: options.repeat,
            families: figures.collect(),
            total: Figures::of(&kept.iter().collect::<Vec<_>>(), options.price),
            about: cases.families.clone(),
            cases: kept,
            skipped: unknown.into_iter().map(|case| case.name.clone()).collect(),
        };
        Ok((report, recording))
    }

    /// Reads one that was kept.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

/// One attempt after the other: a recording of several attempts has an order.
async fn play_all(
    system: &System,
    case: &Case,
    repeat: usize,
) -> Result<(CaseResult, Vec<crate::recording::Attempt>)> {
    let clock = Clock::of(&case.clock, Utc::now())?;
    let said: Result<Vec<String>> = case.turn.iter().map(|turn| clock.fill(&turn.say)).collect();
    let mut result = CaseResult {
        name: case.name.clone(),
        family: case.family.clone(),
        said: said?,
        attempts: Vec::new(),
    };
    let mut answers = Vec::new();
    for attempt in 0..repeat.max(1) {
        let (played, answered) = play(system, case, attempt)
            .await
            .with_context(|| case.name.clone())?;
        result.attempts.push(played);
        answers.push(answered);
    }
    Ok((result, answers))
}

impl CaseResult {
    /// How many attempts were right.
    #[must_use]
    pub fn right(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.right).count()
    }

    /// How likely `k` attempts are all right, estimated without bias from those that there are.
    fn pass(&self, k: usize) -> Option<f64> {
        let (of, right) = (self.attempts.len(), self.right());
        let chances = (0..k).map(|n| (right.saturating_sub(n)) as f64 / (of - n) as f64);
        (of >= k).then(|| chances.product())
    }
}

impl Figures {
    fn of(results: &[&CaseResult], price: Option<Price>) -> Self {
        let attempts = || results.iter().flat_map(|result| &result.attempts);
        let turns: Vec<&TurnFigures> = attempts().flat_map(|attempt| &attempt.turns).collect();
        let mut seconds: Vec<f64> = turns.iter().map(|turn| turn.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let last = seconds.len().saturating_sub(1) as f64;
            seconds
                .get((last * share).round() as usize)
                .copied()
                .unwrap_or_default()
        };
        let sum =
            |of: fn(&TurnFigures) -> u64| turns.iter().map(|turn| of(turn)).sum::<u64>() as f64;
        let mean = |of: fn(&TurnFigures) -> u64| share(sum(of), turns.len());
        let input = sum(|turn| turn.input_tokens);
        let powers: Option<Vec<f64>> = results.iter().map(|result| result.pass(POWER)).collect();
        let cost = price.map(|price| {
            turns
                .iter()
                .map(|turn| prices::of(price, turn))
                .sum::<f64>()
        });
        Self {
            cases: results.len(),
            pass_1: share(
                results.iter().filter_map(|result| result.pass(1)).sum(),
                results.len(),
            ),
            pass_4: powers.map(|powers| share(powers.iter().sum(), results.len())),
            turns: turns.len(),
            fast: share(
                seconds.iter().filter(|seconds| **seconds < FAST).count() as f64,
                turns.len(),
            ),
            seconds_p50: quantile(0.5),
            seconds_p95: quantile(0.95),
            calls: mean(|turn| turn.calls),
            model_calls: mean(|turn| turn.model_calls),
            input_tokens: mean(|turn| turn.input_tokens),
            cached: if input > 0.0 {
                sum(|turn| turn.cached_tokens) / input
            } else {
                0.0
            },
            output_tokens: mean(|turn| turn.output_tokens),
            cost: cost.map(|cost| share(cost * 1e3, turns.len())),
        }
    }
}

fn share(of: f64, all: usize) -> f64 {
    if all == 0 { 0.0 } else { of / all as f64 }
}
