//! What a turn with one tool call, and what programs at rest, may ask of Postgres. Fails a build that asks for more; how fast it is matters little.

use std::{path::Path, time::Duration};

use anyhow::Result;

use crate::{
    case::{self, Case},
    figures::Asked,
    rest,
    run::Loop,
    system::{Setting, System},
    turn::Deed,
};

/// Of one turn, on the average of many.
struct Bounds {
    in_flight: usize,
    /// Turns that are counted.
    turns: usize,
    round_trips: f64,
    /// Transactions, those that only read or only tell a hint included.
    commits: f64,
    /// Commits that waited for the disk.
    flushes: f64,
}

/// The bounds, for a debug build. Lower them when a turn has become cheaper: the aim is 8 round trips and 4 flushes alone, 2 and 2 for each of many.
const BOUNDS: [Bounds; 2] = [
    Bounds {
        in_flight: 128,
        turns: 800,
        round_trips: 2.0,
        commits: 2.0,
        flushes: 1.0,
    },
    Bounds {
        in_flight: 1,
        turns: 100,
        // Five of its own, hints, and in a slow build its first words before the reply is there.
        round_trips: 12.0,
        commits: 12.0,
        flushes: 6.0,
    },
];

/// Longer than any of them takes, on a slow machine too.
const MOST: Duration = Duration::from_secs(120);

/// Whether a turn keeps to its bounds.
pub(crate) async fn keeps(state: &Path) -> Result<bool> {
    let system = System::open(state).await?;
    let counted = Setting {
        counted: true,
        ..Setting::default()
    };
    let programs = system.start(counted).await?;
    println!("a turn with one tool call, without what is asked while nobody takes a turn");
    println!(
        "{:>9} {:>12} {:>6} {:>9} {:>6} {:>9} {:>6} {:>11} {:>8}",
        "in flight",
        "round trips",
        "bound",
        "commits",
        "bound",
        "flushes",
        "bound",
        "statements",
        "at rest"
    );
    let at_rest = case::at_rest(&system, &programs).await?;
    let mut keeps = true;
    // Many first: they fill the pools, and what is prepared once for all is prepared.
    for bounds in &BOUNDS {
        let mut case = Case::new(Loop::Closed(bounds.in_flight), MOST);
        case.load.mix = vec![Deed::Add];
        case.load.warm = Duration::from_secs(3);
        case.load.most = Some(bounds.turns);
        let asked = case.counted(&system, &programs, at_rest).await?;
        keeps &= report(bounds, &asked);
    }
    programs.stop().await?;
    println!("one API and one worker while nobody wants anything");
    for kind in rest::KINDS {
        keeps &= rest::keeps(&system, kind).await?;
    }
    system.stop().await?;
    Ok(keeps)
}

fn report(bounds: &Bounds, asked: &Asked) -> bool {
    let [round_trips, commits] = asked.of_turn();
    // Servers before Postgres 14 do not say.
    let flushes = asked.flushes;
    println!(
        "{:>9} {round_trips:>12.2} {:>6.1} {commits:>9.2} {:>6.1} {:>9} {:>6.1} {:>11.2} {:>6.1}/s",
        bounds.in_flight,
        bounds.round_trips,
        bounds.commits,
        flushes.map_or("–".to_owned(), |flushes| format!("{flushes:.2}")),
        bounds.flushes,
        asked.statements,
        asked.at_rest.round_trips
    );
    let keeps = round_trips <= bounds.round_trips
        && commits <= bounds.commits
        && flushes.is_none_or(|flushes| flushes <= bounds.flushes);
    if !keeps {
        println!(
            "OVER: a turn with {} in flight asks more of Postgres than it may",
            bounds.in_flight
        );
    }
    keeps
}
