//! `errand-api times`: where a turn's time goes, from the metrics of processes that run.

use std::fmt::Write as _;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{json, print, scrape::Scrape};
use crate::{ApiStartError, config::TimesConfig};

/// A part of a turn, and the histogram that it is in.
struct Part {
    name: &'static str,
    histogram: &'static str,
    label: Option<(&'static str, &'static str)>,
    /// Between the acceptance of the run and its end: what is left of that time is nobody's part.
    is_within: bool,
}

const fn stage(name: &'static str, histogram: &'static str, is_within: bool) -> Part {
    Part {
        name,
        histogram,
        label: Some(("stage", name)),
        is_within,
    }
}

const fn whole(name: &'static str, histogram: &'static str) -> Part {
    Part {
        name,
        histogram,
        label: None,
        is_within: true,
    }
}

/// In the order in which they come.
const PARTS: [Part; 8] = [
    stage("accept", "errand_turn_stage_seconds", false),
    whole("queue", "errand_pickup_seconds"),
    stage("history", "errand_run_stage_seconds", true),
    whole("model", "errand_model_request_seconds"),
    stage("step", "errand_run_stage_seconds", true),
    whole("tool", "errand_tool_call_seconds"),
    stage("finish", "errand_run_stage_seconds", true),
    stage("deliver", "errand_turn_stage_seconds", false),
];

/// A line of the table. Times are in seconds.
#[derive(Debug, Serialize)]
struct Line {
    part: &'static str,
    per_turn: f64,
    share: f64,
    times_a_turn: f64,
    mean: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Times {
    /// Runs that ended, or went to wait for a decision.
    turns: f64,
    /// Seconds of a turn, on the average.
    whole: f64,
    parts: Vec<Line>,
}

/// Prints where a turn's time went since the processes were started, or goes in the time that is asked for.
///
/// # Errors
/// A process cannot be read, or no turn has ended.
pub async fn times(config: &TimesConfig, stop: CancellationToken) -> Result<(), ApiStartError> {
    let scrape = async || {
        Scrape::of(&config.urls)
            .await
            .map_err(ApiStartError::Operate)
    };
    let mut seen = scrape().await?;
    if let Some(time) = config.over {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
        seen = scrape().await?.since(&seen);
    }
    let times = of(&seen).ok_or_else(|| {
        ApiStartError::Operate(
            "no turn has ended, or no worker is among these processes (METRICS_PORT)".to_owned(),
        )
    })?;
    print(&match config.json {
        true => json(&times),
        false => table(&times),
    })?;
    Ok(())
}

fn of(seen: &Scrape) -> Option<Times> {
    let turn = seen.histogram("errand_turn_seconds", None);
    if turn.count <= 0.0 {
        return None;
    }
    let mut parts = Vec::new();
    let mut within = 0.0;
    for part in PARTS {
        let times = seen.histogram(part.histogram, part.label);
        if part.is_within {
            within += times.sum;
        }
        // An API that is not asked here, or answers others, knows another number of turns; once a turn each of these is.
        let turns = if part.is_within {
            turn.count
        } else {
            times.count
        };
        let has_any = times.count > 0.0;
        parts.push(Line {
            part: part.name,
            per_turn: if has_any { times.sum / turns } else { 0.0 },
            share: 0.0,
            times_a_turn: if has_any { times.count / turns } else { 0.0 },
            mean: has_any.then(|| times.sum / times.count),
            p50: times.quantile(0.5),
            p95: times.quantile(0.95),
        });
    }
    let other = Line {
        part: "other",
        per_turn: (turn.sum - within).max(0.0) / turn.count,
        share: 0.0,
        times_a_turn: 1.0,
        mean: None,
        p50: None,
        p95: None,
    };
    parts.insert(parts.len() - 1, other);
    let whole: f64 = parts.iter().map(|line| line.per_turn).sum();
    for line in &mut parts {
        line.share = if whole > 0.0 {
            line.per_turn / whole
        } else {
            0.0
        };
    }
    Some(Times {
        turns: turn.count,
        whole,
        parts,
    })
}

fn table(times: &Times) -> String {
    let mut text = format!(
        "where a turn's time goes, of {} turns with {} each\n\n\
         part        per turn    share   times a turn       mean        p50        p95\n",
        times.turns,
        milliseconds(Some(times.whole)),
    );
    for line in &times.parts {
        let _ = writeln!(
            text,
            "{:<8}  {:>10}  {:>5.1} %  {:>13.2}  {:>9}  {:>9}  {:>9}",
            line.part,
            milliseconds(Some(line.per_turn)),
            100.0 * line.share,
            line.times_a_turn,
            milliseconds(line.mean),
            milliseconds(line.p50),
            milliseconds(line.p95),
        );
    }
    text
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(
        || "-".to_owned(),
        |seconds| {
            let digits = if seconds < 1.0 { 1 } else { 0 };
            format!("{:.digits$} ms", 1e3 * seconds)
        },
    )
}
