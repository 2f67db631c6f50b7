//! Rules as the RFC has them, and what is refused.

use super::{super::tests::date, *};

fn rule(text: &str) -> Rule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The first dates of a rule that begins on this day.
fn first(text: &str, start: &str, count: usize) -> Vec<String> {
    let dates = rule(text).dates(date(start)).expect("a rule");
    dates.take(count).map(|date| date.to_string()).collect()
}

#[test]
fn dates_are_those_of_the_rfc() {
    for (text, start, dates) in [
        (
            "FREQ=WEEKLY;BYDAY=MO",
            "2026-11-27",
            vec!["2026-11-30", "2026-12-07"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2",
            "2026-11-27",
            vec!["2026-11-27", "2026-12-11"],
        ),
        (
            "FREQ=MONTHLY",
            "2026-12-31",
            vec!["2026-12-31", "2027-01-31", "2027-03-31", "2027-05-31"],
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "2026-12-31",
            vec!["2026-12-31", "2027-01-31", "2027-02-28"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1MO;INTERVAL=2",
            "2023-10-30",
            vec!["2023-10-30", "2023-12-25", "2024-02-26"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "2026-11-27",
            vec!["2026-11-30", "2026-12-31"],
        ),
        (
            "FREQ=YEARLY",
            "2028-02-29",
            vec!["2028-02-29", "2032-02-29"],
        ),
        (
            "FREQ=YEARLY",
            "2096-02-29",
            vec!["2096-02-29", "2104-02-29"],
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1",
            "2026-11-27",
            vec!["2027-02-28", "2028-02-29"],
        ),
        (
            "FREQ=YEARLY;BYDAY=2SU;BYMONTH=5",
            "2026-11-27",
            vec!["2027-05-09", "2028-05-14"],
        ),
        (
            "FREQ=DAILY;UNTIL=20261128",
            "2026-11-27",
            vec!["2026-11-27", "2026-11-28"],
        ),
        (
            "rrule:freq=daily;until=20261128T235959Z;",
            "2026-11-27",
            vec!["2026-11-27", "2026-11-28"],
        ),
        (
            "FREQ=YEARLY",
            "9998-06-01",
            vec!["9998-06-01", "9999-06-01"],
        ),
    ] {
        let found = first(text, start, 4);
        assert_eq!(found[..dates.len()], dates, "{text}");
    }
    assert_eq!(first("FREQ=YEARLY", "9998-06-01", 4).len(), 2);
    assert_eq!(first("FREQ=DAILY;UNTIL=20261128", "2026-11-27", 4).len(), 2);
}

#[test]
fn a_rule_is_written_in_one_way() {
    for text in VALID_RULES {
        assert_eq!(rule(text).to_string(), text);
    }
    assert_eq!(
        rule(" rrule:byday=mo;freq=weekly;").to_string(),
        "FREQ=WEEKLY;BYDAY=MO"
    );
    assert_eq!(
        rule("FREQ=DAILY;UNTIL=20261231T120000Z").to_string(),
        "FREQ=DAILY;UNTIL=20261231"
    );
    assert_eq!(rule("COUNT=3;FREQ=DAILY").to_string(), "FREQ=DAILY;COUNT=3");
}

#[test]
fn what_means_nothing_for_days_is_refused_with_what_would() {
    for text in [
        "",
        "weekly",
        "every monday",
        "FREQ=",
        "FREQ=HOURLY",
        "FREQ=SECONDLY",
        "FREQ=FORTNIGHTLY",
        "BYDAY=MO",
        "FREQ=DAILY;FREQ=WEEKLY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=99999999999",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;COUNT=2;UNTIL=20261231",
        "FREQ=DAILY;UNTIL=soon",
        "FREQ=DAILY;UNTIL=20260231",
        "FREQ=DAILY;BYHOUR=3",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=WEEKLY;BYMONTHDAY=3",
        "FREQ=WEEKLY;BYWEEKNO=3",
        "FREQ=DAILY;BYSETPOS=2",
        "FREQ=DAILY;DTSTART=20261127",
        "FREQ=DAILY;FOO=1",
        "FREQ=WEEKLY;WKST=1",
        "FREQ=DAILY;BYMONTH=1,13",
        "FREQ=DAILY;BYDAY=\u{e9}\u{e9}",
        "FREQ=MONTHLY;BYDAY=99999999999999999999MO",
    ] {
        let error = text.parse::<Rule>().expect_err(text).to_string();
        assert!(
            error.contains("repeat") && error.len() < 200,
            "{text}: {error}"
        );
    }
    assert!("FREQ=DAILY;BYMONTH=".repeat(100).parse::<Rule>().is_err());
}

#[test]
fn a_rule_without_a_date_is_found_out_soon() {
    for text in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;INTERVAL=1000",
        "FREQ=WEEKLY;BYMONTH=2;BYDAY=MO;BYSETPOS=9",
        "FREQ=YEARLY;BYSETPOS=366;BYMONTHDAY=1",
        "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
        "FREQ=DAILY;UNTIL=20261126",
    ] {
        let begun = std::time::Instant::now();
        let start = date("2026-11-27");
        assert_eq!(
            rule(text).first(start),
            Err(RuleError::Never(text.to_owned(), start))
        );
        assert!(
            begun.elapsed().as_secs() < 2,
            "{text}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_rule_that_has_slept_for_centuries_goes_on_at_once() {
    let (start, today) = (date("1900-01-01"), date("2026-11-27"));
    for (text, next) in [
        ("FREQ=DAILY", "2026-11-28"),
        ("FREQ=DAILY;INTERVAL=7", "2026-11-30"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "2026-12-04"),
        ("FREQ=MONTHLY", "2026-12-01"),
        ("FREQ=YEARLY", "2027-01-01"),
    ] {
        let begun = std::time::Instant::now();
        let found = rule(text).next(start, today).map(|(date, _)| date);
        assert_eq!(found, Some(date(next)), "{text}");
        // As from the beginning, step by step.
        let slow = rule(text)
            .dates(start)
            .expect("a rule")
            .find(|date| *date > today);
        assert_eq!(found, slow, "{text}");
        assert!(begun.elapsed().as_secs() < 5);
    }
}
