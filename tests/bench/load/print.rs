//! Figures for people.

use crate::figures::{Quantiles, Row};

/// Everything about one load.
pub(crate) fn row(row: &Row) {
    println!(
        "{}, {:?}, {} users, {:.1} s",
        row.name, row.transport, row.users, row.seconds
    );
    let left_out = match row.left_out {
        0 => String::new(),
        n => format!(", {n} left out"),
    };
    println!(
        "  {:.1} turns/s: {} answered, {} failed{left_out}",
        row.turns_per_second, row.turns, row.failed
    );
    quantiles("over the model's own time", row.added);
    if let Some(first) = row.first {
        quantiles("first token over the model's own", first);
    }
    let kinds = row.processor.iter();
    let kinds: Vec<_> = kinds.map(|(kind, ms)| format!("{kind} {ms:.2}")).collect();
    println!(
        "  ms of processor a turn: {}; others used {:.2} cores",
        kinds.join(", "),
        row.others
    );
    if let (Some(wal), Some(commits)) = (row.wal_bytes, row.commits) {
        let more = [
            ("that wrote", row.written_commits),
            ("flushes", row.flushes),
        ];
        let more: String = more
            .iter()
            .filter_map(|(what, value)| Some(format!(", {:.2} {what}", (*value)?)))
            .collect();
        println!(
            "  Postgres, a turn: {:.1} KiB of WAL, {commits:.2} commits{more}",
            wal / 1024.0
        );
    }
    if let Some(asked) = row.asked {
        println!(
            "  counted, a turn: {:.2} round trips (API {:.2}, worker {:.2}), {:.2} statements, {:.2} commits, {:.2} rollbacks",
            asked.round_trips,
            asked.api_round_trips,
            asked.worker_round_trips,
            asked.statements,
            asked.commits,
            asked.rollbacks
        );
        let (rest, [round_trips, commits]) = (asked.at_rest, asked.of_turn());
        println!(
            "  without what is asked at rest ({:.1} round trips and {:.1} commits a second): {round_trips:.2} and {commits:.2}",
            rest.round_trips, rest.commits
        );
    }
    if let Some([api, worker]) = row.memory {
        println!("  at most {api:.0} MiB in APIs, {worker:.0} MiB in workers");
    }
    if let (Some(ceiling), Some(share)) = (row.ceiling, row.share()) {
        println!("  {share:.2} of the {ceiling:.0} turns/s of bare SQL");
    }
    verdict(row);
}

/// What was wrong, and whether the database holds what it should.
pub(crate) fn verdict(row: &Row) {
    for (error, count) in row.errors.iter().take(10) {
        println!("  failed {count} times: {error}");
    }
    match &row.verdict {
        Some(verdict) if verdict.holds() => {
            println!(
                "  {} tasks added, each once; every run is over",
                verdict.added
            );
        }
        Some(verdict) => println!("  WRONG: {verdict:?}"),
        None => println!("  the database was not looked at"),
    }
}

fn quantiles(what: &str, Quantiles { p50, p99, most }: Quantiles) {
    println!("  {what}: p50 {p50:.1}, p99 {p99:.1}, at most {most:.1} ms");
}
