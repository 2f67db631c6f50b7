//! The evals themselves: every case can be solved, nobody passes who should not, and a good run is told from a bad one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, Utc};
use errand_evals::{
    cases::Cases,
    clock::Clock,
    compare::Comparison,
    models::Choice,
    page,
    prices::Price,
    recording::Recording,
    report::{Options, Report},
    system::{Database, System},
};

use crate::system::{as_superuser, database};

const ONCE: Options = Options {
    repeat: 1,
    parallel: 8,
    price: None,
};

fn cases() -> Cases {
    Cases::read(&Cases::folder()).expect("the cases can be read")
}

/// So many cases of each family, the first ones.
fn some_of_each(cases: &Cases, number: usize) -> Cases {
    let mut had: BTreeMap<String, usize> = BTreeMap::new();
    let mut some = cases.clone();
    some.all.retain(|case| {
        let had = had.entry(case.family.clone()).or_default();
        *had += 1;
        *had <= number
    });
    some
}

async fn played(cases: &Cases, choice: Choice, options: Options) -> (Report, Recording) {
    let url = database().await;
    let database = Database {
        admin_url: as_superuser(&url),
        url,
    };
    let system = System::start(&database, &choice).await.expect("it starts");
    let made = Box::pin(Report::make(&system, cases, &choice, options, |_| {})).await;
    system.stop().await.expect("it stops");
    made.expect("the system works")
}

/// The cases of which no attempt was wrong.
fn right(report: &Report) -> BTreeSet<&str> {
    let right = report
        .cases
        .iter()
        .filter(|case| case.right() == case.attempts.len());
    right.map(|case| case.name.as_str()).collect()
}

#[track_caller]
fn assert_all_right(report: &Report) {
    let wrong = report
        .cases
        .iter()
        .filter(|case| case.right() < case.attempts.len());
    let told: Vec<_> = wrong
        .map(|case| (&case.name, &case.attempts[0].complaints))
        .collect();
    assert!(told.is_empty(), "{told:#?}");
}

fn recording(name: &str) -> Recording {
    let folder = Cases::folder().with_file_name("recordings");
    Recording::read(&folder.join(name)).expect("a recording")
}

/// And what was played can be played again from its recording, with other tasks under other ids.
#[tokio::test(flavor = "multi_thread")]
async fn every_case_can_be_solved() {
    let cases = cases();
    assert!(cases.all.len() >= 150, "{}", cases.all.len());
    assert!(cases.families.len() >= 18, "{:?}", cases.families.keys());
    let (report, recording) = played(&cases, Choice::Solutions, ONCE).await;
    assert_all_right(&report);
    assert_eq!(report.cases.len(), cases.all.len());
    assert!(report.total.model_calls > 1.0 && report.total.input_tokens > 100.0);

    let again = Choice::Recorded(Arc::new(recording));
    let (replayed, _) = played(&some_of_each(&cases, 2), again, ONCE).await;
    assert_all_right(&replayed);
}

/// Who does nothing is right only where nothing has to be done; who acts on everything, nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn no_case_is_passed_by_accident() {
    let cases = cases();
    let (idle, _) = played(&cases, Choice::Idle, ONCE).await;
    let may_be_left: BTreeSet<&str> = cases
        .all
        .iter()
        .filter(|case| case.allows_nothing())
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(right(&idle), may_be_left);
    assert!(may_be_left.len() * 4 < cases.all.len());
    let (rash, _) = played(&cases, Choice::Rash, ONCE).await;
    assert_eq!(right(&rash), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_good_run_is_told_from_a_recorded_bad_one() {
    let cases = some_of_each(&cases(), 4);
    let twice = Options { repeat: 2, ..ONCE };
    let play = async |name: &str, options| {
        let choice = Choice::Recorded(Arc::new(recording(name)));
        played(&cases, choice, options).await.0
    };
    let good = play("good.json", ONCE).await;
    assert!(good.skipped.is_empty(), "not recorded: {:?}", good.skipped);
    assert_all_right(&good);
    let bad = play("bad.json", twice).await;
    // What is recorded is judged in the same way each time.
    for case in &bad.cases {
        let [first, second] = &case.attempts[..] else {
            panic!("{} was not played twice", case.name)
        };
        let said = (&first.complaints, &second.complaints);
        assert_eq!(first.right, second.right, "{}: {said:?}", case.name);
    }
    assert!(bad.total.pass_1 < 0.5, "{}", bad.total.pass_1);
    let comparison = Comparison::of(&good, &bad);
    assert!(comparison.is_worse(0.0) && comparison.is_worse(0.3));
    assert!(comparison.lost.len() > cases.all.len() / 2 && comparison.won.is_empty());
    assert!(!Comparison::of(&bad, &good).is_worse(0.0));
    assert!(!Comparison::of(&good, &good).is_worse(0.0));
    assert_page(&good, &bad);
}

/// A page needs nothing from anywhere, and what people and models have written is text in it.
fn assert_page(good: &Report, bad: &Report) {
    let mut odd = bad.clone();
    odd.model = "<script>alert(1)</script>".to_owned();
    for page in [page::of(&odd), page::of_two(good, &odd)] {
        assert!(page.contains("&lt;script&gt;") && page.contains("--accent:"));
        for foreign in ["<script", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
    // What is kept is read again.
    let path = std::env::temp_dir().join(format!("evals-{}.json", uuid::Uuid::now_v7()));
    bad.write(&path).expect("it is written");
    let read = Report::read(&path).expect("it is read");
    fs::remove_file(path).expect("it goes");
    assert_eq!(right(&read), right(bad));
}

/// Three of four attempts are right: that is pass@1, and pass^4 is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_by_themselves() {
    let mut cases = cases();
    cases.all.retain(|case| case.name == "milk");
    let attempts = ["milk", "bread", "milk", "milk"].map(|title| {
        format!(r#"[[{{"calls": [{{"tool": "add_task", "arguments": {{"title": "{title}"}}}}]}}, {{"text": "ok"}}]]"#)
    });
    let text = format!(
        r#"{{"model": "wavering", "cases": {{"milk": [{}]}}}}"#,
        attempts.join(",")
    );
    let wavering = Choice::Recorded(Arc::new(serde_json::from_str(&text).expect("a recording")));
    let options = Options {
        repeat: 4,
        price: Some(Price {
            input: 1.0,
            cached: None,
            output: 2.0,
        }),
        ..ONCE
    };
    let (report, _) = played(&cases, wavering.clone(), options).await;
    assert_eq!(
        (report.total.pass_1, report.total.pass_4),
        (0.75, Some(0.0))
    );
    assert_eq!((report.total.calls, report.total.model_calls), (1.0, 2.0));
    let total = &report.total;
    let cost = (total.input_tokens + 2.0 * total.output_tokens) / 1e3;
    assert!((total.cost.expect("a price") - cost).abs() < 1e-9);
    let wrong = &report.cases[0].attempts[1].complaints;
    assert!(wrong.iter().any(|told| told.contains("bread")), "{wrong:?}");
    let (once, _) = played(&cases, wavering, ONCE).await;
    assert_eq!((once.total.pass_1, once.total.pass_4), (1.0, None));
}

/// The stand-in of `cargo dev` is no model; it is scored all the same, and must do more than nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_is_scored_for_what_it_is() {
    let mut cases = cases();
    let some = ["plain", "dates", "several"];
    cases.all.retain(|case| some.contains(&&*case.family));
    let (report, _) = played(&cases, Choice::StandIn, ONCE).await;
    assert!(
        (0.2..0.8).contains(&report.total.pass_1),
        "{}",
        report.total.pass_1
    );
}

fn at(moment: &str, name: &str) -> Clock {
    let moment: DateTime<Utc> = moment.parse().expect("a moment");
    Clock::of(name, moment).expect("a clock")
}

#[test]
fn dates_are_relative_to_the_users_day() {
    // A Thursday.
    let clock = at("2026-11-26T12:00:00Z", "UTC");
    for (expression, expected) in [
        ("today", "2026-11-26"),
        ("yesterday", "2026-11-25"),
        ("+3d", "2026-11-29"),
        ("-2w", "2026-11-12"),
        ("friday", "2026-11-27"),
        ("thursday", "2026-12-03"),
        ("friday+1w", "2026-12-04"),
        ("month-end", "2026-11-30"),
        ("month-end-1d", "2026-11-29"),
        ("next-month-end", "2026-12-31"),
        ("week-start+7d", "2026-11-30"),
        ("15th", "2026-12-15"),
        ("31st", "2026-12-31"),
        ("12-24", "2026-12-24"),
        ("11-26", "2027-11-26"),
        ("02-29", "2028-02-29"),
        ("2027-01-01+1y", "2028-01-01"),
    ] {
        let date = clock.date(expression).expect(expression);
        assert_eq!(date.to_string(), expected, "{expression}");
    }
    for wrong in [
        "",
        "someday",
        "32nd",
        "13-45",
        "friday+",
        "+99999999999y",
        "fri",
    ] {
        let is_empty = wrong.is_empty();
        assert_eq!(clock.date(wrong).is_ok(), is_empty, "{wrong}");
    }
    let filled = clock.fill("on {friday:weekday}, {friday:day}: {{x} {+1d} {+1d:basic}");
    assert_eq!(
        filled.expect("dates"),
        "on Friday, 27 November: {x} 2026-11-27 20261127"
    );
    assert!(clock.fill("{soon}").is_err() && clock.fill("{today").is_err());
}

#[test]
fn a_day_that_recurs_may_be_today() {
    let clock = at("2026-11-26T12:00:00Z", "UTC");
    let date = |text: &str| text.parse::<NaiveDate>().ok();
    for (pattern, is, expected) in [
        ("none", None, true),
        ("any", None, true),
        ("friday", None, false),
        ("none|friday", date("2026-11-27"), true),
        ("thursday", date("2026-11-26"), true),
        ("thursday", date("2026-12-03"), true),
        ("thursday", date("2026-12-10"), false),
        ("thursday+1w", date("2026-11-26"), false),
        ("26th", date("2026-11-26"), true),
        ("today..+3d", date("2026-11-29"), true),
        ("today..+3d", date("2026-11-30"), false),
    ] {
        assert_eq!(
            clock.allows(pattern, is).expect(pattern),
            expected,
            "{pattern} {is:?}"
        );
    }
    assert!(clock.allows("+3d..today", None).is_err());
}

/// At any minute there is a zone where it is late, one where it has just become tomorrow, and one where it is morning.
#[test]
fn it_is_always_late_somewhere() {
    for minute in 0..24 * 60 {
        let moment = format!("2026-11-26T{:02}:{:02}:00Z", minute / 60, minute % 60);
        let parsed: DateTime<Utc> = moment.parse().expect("a moment");
        for (name, hours) in [("late", 22..24), ("early", 0..1), ("morning", 9..10)] {
            let clock = at(&moment, name);
            let zone: chrono_tz::Tz = clock.zone().parse().expect("a zone");
            let there = parsed.with_timezone(&zone);
            let hour = chrono::Timelike::hour(&there);
            assert!(hours.contains(&hour), "{name} at {moment}: {there}");
            let in_ten_minutes = parsed + chrono::Duration::minutes(9);
            assert!(!clock.has_passed(in_ten_minutes), "{name} at {moment}");
        }
    }
}

/// Whoever writes a case is told what is wrong with it, and where.
#[test]
fn a_wrong_case_is_named() {
    let folder: PathBuf = std::env::temp_dir().join(format!("cases-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).expect("a folder");
    let read = |text: &str| {
        fs::write(folder.join("odd.toml"), format!("about = \"\"\n{text}")).expect("a file");
        format!("{:#}", Cases::read(&folder).expect_err(text))
    };
    let turn = "[[case.turn]]\nsay = \"hi\"\n";
    for (text, expected) in [
        (format!("[[case]]\nname = \"a\"\n{turn}"), "no `after`"),
        (
            format!("[[case]]\nname = \"a\"\n{turn}after = [{{ done = [\"x\"] }}]"),
            "no task is called \"x\"",
        ),
        (
            format!("[[case]]\nname = \"a\"\n{turn}after = \"changed\""),
            "unchanged",
        ),
        (
            format!("[[case]]\nname = \"a\"\nclock = \"Mars\"\n{turn}after = \"unchanged\""),
            "Mars",
        ),
        (
            format!(
                "[[case]]\nname = \"a\"\nstart = [{{ title = \"x\", due = \"soon\" }}]\n{turn}after = \"unchanged\""
            ),
            "soon",
        ),
        (
            format!(
                "[[case]]\nname = \"a\"\nstart = [{{ title = \"x\" }}, {{ title = \"x\" }}]\n{turn}after = \"unchanged\""
            ),
            "key",
        ),
        (
            format!("[[case]]\nname = \"a\"\nage = 3\n{turn}after = \"unchanged\""),
            "age",
        ),
        (
            format!(
                "[[case]]\nname = \"a\"\n{turn}after = \"unchanged\"\n[[case]]\nname = \"b\"\n{turn}after = \"unchanged\""
            ),
            "said elsewhere",
        ),
    ] {
        let error = read(&text);
        assert!(error.contains(expected), "{error}");
        assert!(
            expected.contains("elsewhere") || error.contains("odd.toml"),
            "{error}"
        );
    }
    fs::remove_dir_all(folder).expect("it goes");
}

/// What the page offers to say is played as it stands.
#[test]
fn the_pages_own_prompts_are_among_the_cases() {
    let page = Cases::folder().join("../../../api/ui/suggestions.js");
    let page = fs::read_to_string(page).expect("the page");
    let texts: Vec<&str> = page
        .split("  text: \"")
        .skip(1)
        .filter_map(|rest| rest.split_once("\",\n"))
        .map(|(text, _)| text.trim_end_matches("\\n"))
        .collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    let cases = fs::read_to_string(Cases::folder().join("prompts.toml")).expect("the cases");
    for text in texts {
        assert!(cases.matches(text).count() > 1, "{text}");
    }
}
