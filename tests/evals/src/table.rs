//! Results on a terminal.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

use crate::{
    compare::Comparison,
    report::{CaseResult, FAST, Figures, Report},
};

/// Says what went wrong with the program itself.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A case is over.
pub(crate) fn told(result: &CaseResult) {
    let right = result.right();
    let of = result.attempts.len();
    if right == of {
        return;
    }
    println!("{}/{}: {right} of {of} right", result.family, result.name);
    let wrong = result.attempts.iter().find(|attempt| !attempt.right);
    for complaint in wrong.iter().flat_map(|attempt| &attempt.complaints) {
        println!("    {complaint}");
    }
}

/// All of a result.
pub(crate) fn report(report: &Report) {
    println!(
        "\n{}, {} cases, each played {} times\n",
        report.model, report.total.cases, report.repeat
    );
    println!(
        "{:<14} {:>5} {:>7} {:>7} {:>6} {:>7} {:>7} {:>6} {:>6} {:>8} {:>7} {:>7} {:>8}",
        "family",
        "cases",
        "right",
        "pass^4",
        format!("<{FAST:.0} s"),
        "p50 s",
        "p95 s",
        "calls",
        "model",
        "input",
        "cached",
        "output",
        "$/1000"
    );
    let rows = report
        .families
        .iter()
        .map(|(name, figures)| (name.as_str(), figures));
    for (name, figures) in rows.chain([("all", &report.total)]) {
        println!("{}", row(name, figures));
    }
    println!(
        "\nright: pass@1, by the tasks alone. calls, model calls and tokens are those of a turn, $ those of 1000 turns."
    );
    if !report.skipped.is_empty() {
        println!("not recorded, so not played: {}", report.skipped.join(", "));
    }
}

fn row(name: &str, figures: &Figures) -> String {
    let Figures {
        cases,
        pass_1,
        pass_4,
        fast,
        seconds_p50,
        seconds_p95,
        calls,
        model_calls,
        input_tokens,
        cached,
        output_tokens,
        cost,
        ..
    } = figures;
    let pass_4 = pass_4.map_or("-".to_owned(), percent);
    let cost = cost.map_or("-".to_owned(), |cost| format!("{cost:.2}"));
    format!(
        "{name:<14} {cases:>5} {:>7} {pass_4:>7} {:>6} {seconds_p50:>7.2} {seconds_p95:>7.2} {calls:>6.1} {model_calls:>6.1} \
         {input_tokens:>8.0} {:>7} {output_tokens:>7.0} {cost:>8}",
        percent(*pass_1),
        percent(*fast),
        percent(*cached),
    )
}

pub(crate) fn percent(share: f64) -> String {
    // Only all is 100 %.
    let rounded = (share * 1e3).floor() / 10.0;
    if rounded.fract() == 0.0 {
        format!("{rounded:.0} %")
    } else {
        format!("{rounded:.1} %")
    }
}

/// Two results.
pub(crate) fn compared(comparison: &Comparison<'_>) {
    println!(
        "before: {}\nafter:  {}\n",
        comparison.models[0], comparison.models[1]
    );
    println!(
        "{:<14} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "family", "right", "", "p95 s", "", "$/1000", ""
    );
    for (name, [before, after]) in &comparison.rows {
        let right = |figures: &Option<&Figures>| {
            figures.map_or("-".to_owned(), |figures| percent(figures.pass_1))
        };
        let slow = |figures: &Option<&Figures>| {
            figures.map_or("-".to_owned(), |figures| {
                format!("{:.2}", figures.seconds_p95)
            })
        };
        let cost = |figures: &Option<&Figures>| {
            figures
                .and_then(|figures| figures.cost)
                .map_or("-".to_owned(), |cost| format!("{cost:.2}"))
        };
        println!(
            "{name:<14} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
            right(before),
            right(after),
            slow(before),
            slow(after),
            cost(before),
            cost(after)
        );
    }
    for (what, names) in [
        ("lost", &comparison.lost),
        ("won", &comparison.won),
        ("only in one", &comparison.odd),
    ] {
        if !names.is_empty() {
            println!("\n{what} ({}): {}", names.len(), names.join(", "));
        }
    }
    let [before, after] = comparison.shares.map(percent);
    println!("\nright, of the cases that both have: {before} before, {after} after");
}
