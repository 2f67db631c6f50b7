//! Figures for people.

use crate::figures::{Asked, Quantiles, Row};

/// Cores that other programs may use before that is said.
const OTHERS: f64 = 0.1;

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
    if let Some(added) = row.added {
        quantiles("over the model's own time", added);
    }
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

/// The heads of [`line()`]s.
pub(crate) fn head() {
    println!(
        "{:<24} {:>7} {:>7} {:>7} | {:>8} {:>6} {:>6} {:>6} {:>6} | {:>6} {:>6} {:>6} {:>8} | {:>5}",
        "",
        "turns/s",
        "p50 ms",
        "p99 ms",
        "Postgres",
        "API",
        "worker",
        "model",
        "load",
        "trips",
        "stmts",
        "commit",
        "WAL KiB",
        "share"
    );
}

/// One load in one line: turns a second, what a turn took beyond the model, processor milliseconds a turn, what a turn asked of
/// Postgres, and the share of what bare SQL does.
pub(crate) fn line(row: &Row) {
    let processor = |kind: &str| number(row.processor.get(kind).copied(), 2);
    let asked = |figure: fn(&Asked) -> f64| number(row.asked.as_ref().map(figure), 1);
    println!(
        "{:<24} {:>7.1} {:>7} {:>7} | {:>8} {:>6} {:>6} {:>6} {:>6} | {:>6} {:>6} {:>6} {:>8} | {:>5}",
        row.name,
        row.turns_per_second,
        number(row.added.map(|added| added.p50), 1),
        number(row.added.map(|added| added.p99), 1),
        processor("postgres"),
        processor("api"),
        processor("worker"),
        processor("model"),
        processor("load"),
        asked(|asked| asked.round_trips),
        asked(|asked| asked.statements),
        asked(|asked| asked.commits),
        number(row.wal_bytes.map(|bytes| bytes / 1024.0), 1),
        number(row.share(), 2)
    );
    if row.turns == 0 {
        println!("  no turn was answered in time");
    }
    if row.failed > 0 || row.verdict.as_ref().is_some_and(|verdict| !verdict.holds()) {
        println!("  {} failed", row.failed);
        verdict(row);
    }
    if row.others > OTHERS {
        println!("  other programs used {:.2} cores meanwhile", row.others);
    }
}

/// What turns that wait for the model cost.
pub(crate) fn waiting(row: &Row, in_flight: usize, ideal: f64) {
    let memory = row.memory.unwrap_or_default();
    println!(
        "  {:.0} % of the {ideal:.0} turns/s that the model allows; {:.0} MiB in the API, {:.0} MiB in the worker, {} KiB more for each of {in_flight}",
        row.turns_per_second / ideal * 100.0,
        memory[0],
        memory[1],
        number(row.memory_per_run, 1)
    );
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
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
