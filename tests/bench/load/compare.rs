//! Two results beside each other.

use crate::figures::{Report, Row};

type Figure = (&'static str, fn(&Row) -> Option<f64>);

const FIGURES: &[Figure] = &[
    ("turns/s", |row| Some(row.turns_per_second)),
    ("share of the ceiling", Row::share),
    ("p50 ms", |row| Some(row.added?.p50)),
    ("p99 ms", |row| Some(row.added?.p99)),
    ("first token p50 ms", |row| Some(row.first?.p50)),
    ("first token p99 ms", |row| Some(row.first?.p99)),
    ("Postgres ms", |row| row.processor.get("postgres").copied()),
    ("API ms", |row| row.processor.get("api").copied()),
    ("worker ms", |row| row.processor.get("worker").copied()),
    ("round trips", |row| Some(row.asked?.round_trips)),
    ("statements", |row| Some(row.asked?.statements)),
    ("commits", |row| Some(row.asked?.commits)),
    ("WAL bytes", |row| row.wal_bytes),
    ("flushes", |row| row.flushes),
    ("API MiB", |row| Some(row.memory?[0])),
    ("worker MiB", |row| Some(row.memory?[1])),
];

/// Prints the rows that both have, and for each figure how many times the old one the new one is.
pub(crate) fn print(before: &Report, after: &Report) {
    for (what, report) in [("before", before), ("after", after)] {
        let Report {
            commit,
            build,
            cores,
            postgres,
            ..
        } = report;
        println!("{what:<7} {commit}, {build}, {cores} cores, Postgres {postgres}");
    }
    for new in &after.rows {
        let Some(old) = before.rows.iter().find(|old| old.name == new.name) else {
            println!("\n{}: only after", new.name);
            continue;
        };
        println!(
            "\n{:<24} {:>10} {:>10} {:>7}",
            new.name, "before", "after", "ratio"
        );
        for (what, figure) in FIGURES {
            if let (Some(old), Some(new)) = (figure(old), figure(new)) {
                println!("{what:<24} {old:>10.2} {new:>10.2} {:>7.2}", new / old);
            }
        }
    }
    let only_before = before.rows.iter();
    for old in only_before.filter(|old| after.rows.iter().all(|new| new.name != old.name)) {
        println!("\n{}: only before", old.name);
    }
}
