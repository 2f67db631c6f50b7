//! A result as one page that needs nothing else: its style is in it, and there is no script.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    compare::Comparison,
    report::{CaseResult, FAST, Figures, Report},
    table::percent,
};

/// Colours and type of the product's own page, without what it loads.
const PRODUCT: &str = include_str!("../../../api/ui/css/base.css");
const STYLE: &str = include_str!("page/style.css");

/// Writes a page.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, page: &str) -> Result<()> {
    fs::write(path, page).with_context(|| path.display().to_string())
}

/// The page of a result.
#[must_use]
pub fn of(report: &Report) -> String {
    let mut body = head(&report.model, &summary(report));
    tiles(&mut body, &report.total);
    table(&mut body, report);
    let wrong: Vec<&CaseResult> = report
        .cases
        .iter()
        .filter(|case| case.right() < case.attempts.len())
        .collect();
    let _ = write!(body, "<h2>What went wrong</h2>");
    if wrong.is_empty() {
        body += "<p class=\"quiet\">Nothing.</p>";
    }
    for family in report.families.keys() {
        cases(
            &mut body,
            family,
            wrong.iter().filter(|case| case.family == *family),
        );
    }
    if !report.skipped.is_empty() {
        let _ = write!(
            body,
            "<p class=\"quiet\">Not recorded, so not played: {}</p>",
            escaped(&report.skipped.join(", "))
        );
    }
    document(&format!("Evals: {}", report.model), &body)
}

/// The page of two results beside each other.
#[must_use]
pub fn of_two(before: &Report, after: &Report) -> String {
    let comparison = Comparison::of(before, after);
    let [old, new] = comparison.shares.map(percent);
    let summary = format!(
        "Before: {}. After: {}. Right, of the cases that both have: {old} before, {new} after.",
        before.model, after.model
    );
    let mut body = head("Two results", &summary);
    body += "<div class=\"scroll\"><table><thead><tr><th>Family</th><th>Right before</th><th>after</th><th>95 % within before</th><th>after</th>\
             <th>$ per 1000 turns before</th><th>after</th></tr></thead><tbody>";
    for (name, pair) in &comparison.rows {
        let _ = write!(body, "<tr><th>{}</th>", escaped(name));
        for figure in [right as fn(&Figures) -> String, slow, cost] {
            for figures in pair {
                let _ = write!(body, "<td>{}</td>", figures.map_or("–".to_owned(), figure));
            }
        }
        body += "</tr>";
    }
    body += "</tbody></table></div>";
    for (what, names) in [
        ("Lost", &comparison.lost),
        ("Won", &comparison.won),
        ("Only in one of them", &comparison.odd),
    ] {
        let _ = write!(
            body,
            "<h2>{what}</h2><p class=\"quiet\">{}</p>",
            escaped(&names.join(", "))
        );
    }
    document("Evals: two results", &body)
}

fn head(title: &str, summary: &str) -> String {
    format!(
        "<header><p class=\"product\">Errand <span>evals</span></p><h1>{}</h1><p class=\"summary\">{}</p></header>",
        escaped(title),
        escaped(summary)
    )
}

fn summary(report: &Report) -> String {
    format!(
        "{} cases, {} turns, each case played {}, {}. Judged by the tasks that were there afterwards, and by no word of the model.",
        report.total.cases,
        report.total.turns,
        if report.repeat == 1 {
            "once".to_owned()
        } else {
            format!("{} times", report.repeat)
        },
        report.started_at.format("%-d %B %Y, %H:%M UTC"),
    )
}

fn right(figures: &Figures) -> String {
    percent(figures.pass_1)
}

fn slow(figures: &Figures) -> String {
    format!("{:.2} s", figures.seconds_p95)
}

fn cost(figures: &Figures) -> String {
    figures
        .cost
        .map_or("–".to_owned(), |cost| format!("${cost:.2}"))
}

fn power(figures: &Figures) -> String {
    figures.pass_4.map_or("–".to_owned(), percent)
}

fn tiles(body: &mut String, total: &Figures) {
    *body += "<dl class=\"tiles\">";
    for (what, value) in [
        ("Right effects", right(total)),
        ("Right four times in four", power(total)),
        (
            &*format!("Answered in under {FAST:.0} s"),
            percent(total.fast),
        ),
        ("Median answer", format!("{:.2} s", total.seconds_p50)),
        ("Dollars for 1000 turns", cost(total)),
    ] {
        let _ = write!(body, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    *body += "</dl>";
}

fn table(body: &mut String, report: &Report) {
    *body += "<h2>Families</h2><div class=\"scroll\"><table><thead><tr>";
    let heads = [
        "Family",
        "Cases",
        "Right effects",
        "pass^4",
        &format!("&lt; {FAST:.0} s"),
        "Median",
        "95 % within",
        "Calls",
        "Model calls",
        "Input",
        "Cached",
        "Output",
        "$ / 1000",
    ];
    for head in heads {
        let _ = write!(body, "<th>{head}</th>");
    }
    *body += "</tr></thead><tbody>";
    let families = report
        .families
        .iter()
        .map(|(name, figures)| (name.as_str(), figures));
    for (name, figures) in families.chain([("all", &report.total)]) {
        let about = report.about.get(name).map_or("", String::as_str);
        let share = figures.pass_1 * 100.0;
        let _ = write!(
            body,
            "<tr><th title=\"{}\">{}</th><td>{}</td><td><span class=\"bar\"><i style=\"width:{share:.0}%\"></i></span>{}</td><td>{}</td><td>{}</td>\
             <td>{:.2} s</td><td>{}</td><td>{:.1}</td><td>{:.1}</td><td>{:.0}</td><td>{}</td><td>{:.0}</td><td>{}</td></tr>",
            escaped(about),
            escaped(name),
            figures.cases,
            right(figures),
            power(figures),
            percent(figures.fast),
            figures.seconds_p50,
            slow(figures),
            figures.calls,
            figures.model_calls,
            figures.input_tokens,
            percent(figures.cached),
            figures.output_tokens,
            cost(figures),
        );
    }
    *body += "</tbody></table></div><p class=\"quiet\">Calls, model calls and tokens are those of a turn.</p>";
}

fn cases<'a>(body: &mut String, family: &str, wrong: impl Iterator<Item = &'a &'a CaseResult>) {
    let mut wrong = wrong.peekable();
    if wrong.peek().is_none() {
        return;
    }
    let _ = write!(body, "<h3>{}</h3>", escaped(family));
    for case in wrong {
        let _ = write!(
            body,
            "<details><summary><b>{}</b><span>{} of {} right</span></summary>",
            escaped(&case.name),
            case.right(),
            case.attempts.len()
        );
        for said in &case.said {
            let _ = write!(body, "<blockquote>{}</blockquote>", escaped(said));
        }
        for (n, attempt) in case
            .attempts
            .iter()
            .enumerate()
            .filter(|(_, attempt)| !attempt.right)
        {
            let lines: String = attempt
                .complaints
                .iter()
                .map(|line| format!("<li>{}</li>", escaped(line)))
                .collect();
            let _ = write!(
                body,
                "<p class=\"attempt\">Attempt {}</p><ul>{lines}</ul>",
                n + 1
            );
        }
        *body += "</details>";
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{}{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        escaped(title),
        tokens(),
    )
}

/// The variables at the beginning of the product's style.
fn tokens() -> &'static str {
    let begin = PRODUCT.find(":root").unwrap_or_default();
    let end = PRODUCT[begin..]
        .find("\n}")
        .map_or(begin, |end| begin + end + 2);
    &PRODUCT[begin..end]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
