//! The quiet user: a turn, a look at the list, a pause, and again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use crate::stage::Stage;

/// Between two turns.
const PAUSE: Duration = Duration::from_millis(50);

/// What the quiet user saw.
#[derive(Default)]
pub(crate) struct Quiet {
    took: Vec<Duration>,
    /// Answers that were not 200, and how often.
    troubles: BTreeMap<String, usize>,
}

impl Quiet {
    /// Takes turns for so long.
    pub(crate) async fn alone(stage: &Stage, time: Duration) -> Result<Self> {
        let mut quiet = Self::default();
        let until = Instant::now() + time;
        while Instant::now() < until {
            quiet.turn(stage).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(quiet)
    }

    async fn turn(&mut self, stage: &Stage) -> Result<()> {
        let begun = Instant::now();
        let chat = stage
            .request(Method::POST, "chat")
            .json(&json!({"message": "hello"}));
        let list = stage.request(Method::GET, "tasks?search=milk");
        for (what, request) in [("chat", chat), ("tasks", list)] {
            let response = request.timeout(Duration::from_secs(60)).send().await?;
            let status = response.status();
            let body = response.text().await?;
            if status != 200 {
                let body: String = body.chars().take(120).collect();
                *self
                    .troubles
                    .entry(format!("{status} by {what}: {body}"))
                    .or_default() += 1;
            }
        }
        self.took.push(begun.elapsed());
        Ok(())
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.took.extend(more.took);
        self.troubles.extend(more.troubles);
    }

    pub(crate) fn turns(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn p50(&mut self) -> f64 {
        self.milliseconds(0.5)
    }

    pub(crate) fn p99(&mut self) -> f64 {
        self.milliseconds(0.99)
    }

    pub(crate) fn troubles(&self) -> impl Iterator<Item = String> + '_ {
        self.troubles
            .iter()
            .map(|(what, times)| format!("{what} ({times} times)"))
    }

    fn milliseconds(&mut self, share: f64) -> f64 {
        self.took.sort();
        let last = self.took.len().saturating_sub(1);
        self.took
            .get((last as f64 * share).round() as usize)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}
