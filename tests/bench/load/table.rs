//! The table of README: the same load with more and more turns in flight, and, if asked for, what longer parts show.

mod parts;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;

use crate::{
    case::{self, Case, TURNS},
    ceiling,
    check::Verdict,
    figures::{Report, Row},
    peer, print,
    run::Loop,
    system::{Setting, System},
};

/// Longer than turns that are counted take.
const MOST: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct TableOptions {
    /// Less than a minute for everything, with less exact tails
    #[arg(long)]
    quick: bool,
    /// Turns in flight
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    in_flight: Vec<usize>,
    /// Seconds that count, for each row [default: 10, or 2 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
    /// Also: a model whose answers take a second, with these numbers of turns in flight
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "200,1000,5000")]
    slow_model: Vec<usize>,
    /// Also: 1, 2 and 4 workers, with 1 and 2 APIs
    #[arg(long)]
    processes: bool,
    /// Also: conversations of so many messages
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "10,1000,100000")]
    messages: Vec<i32>,
    /// Also: beside so many finished runs
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "1000000")]
    past: Vec<u32>,
    /// Also: another stack in this folder, whose `run.sh` starts it (see `tests/bench/load/peer.rs`)
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Writes the figures to this file
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl TableOptions {
    /// Most turns in flight.
    pub(crate) fn most(&self) -> usize {
        let all = self.in_flight.iter().chain(&self.slow_model);
        all.copied().max().unwrap_or(1)
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 2 } else { 10 }))
    }

    /// With more and more turns in flight.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        self.in_flight.iter().map(|&in_flight| self.case(in_flight))
    }

    fn case(&self, in_flight: usize) -> Case {
        let mut case = Case::new(Loop::Closed(in_flight), self.time());
        if self.quick {
            case.load.warm /= 2;
        }
        // Conversations of all ages from the start, as in an installation that has run for long.
        case.past = (0..TURNS.cast_signed()).collect();
        case
    }
}

/// Measures and prints everything; whether the database always held what it should.
pub(crate) async fn print(options: &TableOptions, system: &System) -> Result<bool> {
    let mut report = Report::new(system.version().await?);
    let Report {
        commit,
        build,
        cores,
        postgres,
        ..
    } = &report;
    println!("commit {commit}, {build} build, {cores} cores for everything, Postgres {postgres}");
    if cfg!(debug_assertions) {
        println!(
            "A debug build: its times are not those of what ships; round trips, statements and commits are."
        );
    }
    in_flight(options, system, &mut report).await?;
    match &options.peer {
        Some(folder) => peer::print(folder, options, system, &mut report).await?,
        None => println!("\nanother stack (--peer): left out"),
    }
    if !options.slow_model.is_empty() {
        parts::slow_model(&options.slow_model, options, system, &mut report).await?;
    }
    if options.processes {
        parts::processes(options, system, &mut report).await?;
    }
    // Of these two the former begins with none.
    if !options.past.is_empty() {
        parts::past(&options.past, options, system, &mut report).await?;
    }
    if !options.messages.is_empty() {
        parts::messages(&options.messages, options, system, &mut report).await?;
    }
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    let verdicts = report.rows.iter().filter_map(|row| row.verdict.as_ref());
    let holds = verdicts.clone().all(Verdict::holds);
    if holds {
        let added: usize = verdicts.map(|verdict| verdict.added).sum();
        println!("\n{added} tasks added, each once; every run is over");
    }
    Ok(holds)
}

/// More and more turns in flight.
async fn in_flight(options: &TableOptions, system: &System, report: &mut Report) -> Result<()> {
    let programs = system.start(Setting::default()).await?;
    let mut rows = Vec::new();
    for case in options.cases() {
        let mut row = case.timed(system, &programs).await?;
        row.ceiling = Some(ceiling::of(system, options.time() / 3).await?);
        rows.push((case, row));
    }
    programs.stop().await?;
    let counted = Setting {
        counted: true,
        ..Setting::default()
    };
    let programs = system.start(counted).await?;
    let at_rest = case::at_rest(system, &programs).await?;
    print::head();
    for (mut case, mut row) in rows {
        // Turns, not time: on a slow machine, too, there must be some.
        case.load.most = Some(60.max(case.load.how.seats() * 2));
        case.load.time = MOST;
        row.asked = Some(case.counted(system, &programs, at_rest).await?);
        print::line(&row);
        report.rows.push(row);
    }
    programs.stop().await
}

/// Prints a row and keeps it.
fn keep(report: &mut Report, row: Row) {
    print::line(&row);
    report.rows.push(row);
}
