use errand_core::calendar::zone;
use serde_json::Value;

use super::*;
use crate::calls::{Call, Edit};

/// A Thursday, six in the evening.
fn now() -> Now {
    let moment = "2026-11-27T02:00:00Z".parse().expect("a moment");
    Now::at(moment, zone("America/Los_Angeles").expect("a zone"))
}

fn with_user(mut arguments: Value) -> Value {
    arguments["user_id"] = json!("ada");
    arguments
}

fn begin_with(arguments: Value) -> Result<Fields, ToolError> {
    match Call::parse("add_task", with_user(arguments), "ada")? {
        Call::Edit(Edit::Add(call)) => begin(&call, &now()),
        other => panic!("{other:?}"),
    }
}

fn stored(arguments: Value) -> Stored {
    Stored {
        id: uuid::Uuid::nil(),
        fields: begin_with(arguments).expect("a task"),
        completed: false,
        completed_at: None,
        is_deleted: false,
        created_at: chrono::DateTime::default(),
        updated_at: chrono::DateTime::default(),
    }
}

fn changed(task: &Stored, arguments: Value) -> Result<Stored, ToolError> {
    let mut arguments = with_user(arguments);
    arguments["task_id"] = json!("x");
    match Call::parse("update_task", arguments, "ada")? {
        Call::Edit(Edit::Update(call)) => change(&call, task, &now()),
        other => panic!("{other:?}"),
    }
}

fn due(task: &Stored) -> String {
    let words = task.fields.due_in_words(&now(), false);
    let rule = task
        .fields
        .repeat
        .as_ref()
        .map(|repeat| format!(" {}", repeat.rule));
    format!("{words}{}", rule.unwrap_or_default())
}

#[track_caller]
fn assert_refused(result: Result<impl std::fmt::Debug, ToolError>, words: &[&str]) {
    let error = result.expect_err("refused").to_json();
    let message = error["error"]["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{error}");
    }
}

#[test]
fn a_dated_task_keeps_its_date_until_it_is_told_otherwise() {
    let rent = stored(
        json!({"title": "pay rent", "due_date": "2026-11-26", "due_time": "20:00", "tags": ["Home", "home"]}),
    );
    assert_eq!(due(&rent), "Thu, 26 Nov 2026 at 20:00, today");
    assert_eq!(rent.fields.tags, ["Home"]);
    let renamed = changed(&rent, json!({"title": "pay the rent"})).expect("a change");
    assert_eq!((due(&renamed), renamed.fields.tags.len()), (due(&rent), 1));
    // A null is a field that is left out.
    let same = changed(
        &rent,
        json!({"title": "x", "due_date": null, "clear": null, "tags": null}),
    );
    assert_eq!(due(&same.expect("a change")), due(&rent));
    let moved = changed(
        &rent,
        json!({"due_date": "2026-11-27", "weekday": "friday"}),
    )
    .expect("a change");
    assert_eq!(due(&moved), "Fri, 27 Nov 2026 at 20:00, tomorrow");
    let untimed = changed(&rent, json!({"clear": ["due_time"]})).expect("a change");
    assert_eq!(due(&untimed), "Thu, 26 Nov 2026, today");
    let undated = changed(&rent, json!({"clear": ["due_date", "tags"]})).expect("a change");
    assert_eq!(
        (due(&undated), undated.fields.tags.len()),
        ("no due date".to_owned(), 0)
    );
    // Also by a model that says one thing as a text.
    let undated = changed(&rent, json!({"clear": "due_date"})).expect("a change");
    assert_eq!(due(&undated), "no due date");
}

#[test]
fn a_wrong_weekday_is_refused_with_both_facts() {
    let wrong = json!({"title": "report", "due_date": "2026-11-27", "weekday": "monday"});
    assert_refused(
        begin_with(wrong),
        &["2026-11-27 is a Friday", "not a Monday", "30 Nov 2026"],
    );
    assert!(
        begin_with(json!({"title": "report", "due_date": "2026-11-27", "weekday": "Friday"}))
            .is_ok()
    );
    // Of the date that the task has, too.
    let report = stored(json!({"title": "report", "due_date": "2026-11-27"}));
    assert_refused(changed(&report, json!({"weekday": "monday"})), &["Friday"]);
    assert!(changed(&report, json!({"weekday": "friday"})).is_ok());
    assert_refused(
        begin_with(json!({"title": "report", "weekday": "friday"})),
        &["due_date"],
    );
}

#[test]
fn a_refusal_says_what_would_be_valid() {
    for (arguments, words) in [
        (
            json!({"due_date": "tomorrow"}),
            vec!["YYYY-MM-DD", "2026-11-26", "Thursday"],
        ),
        (json!({"due_date": "2026-02-30"}), vec!["calendar"]),
        (json!({"due_date": "1899-12-31"}), vec!["YYYY-MM-DD"]),
        (
            json!({"due_date": "2026-11-27T17:00:00Z"}),
            vec!["YYYY-MM-DD"],
        ),
        (
            json!({"due_time": "17:00"}),
            vec!["needs a due_date", "26 Nov 2026"],
        ),
        (
            json!({"due_date": "2026-11-27", "due_time": "5pm"}),
            vec!["HH:MM"],
        ),
        (
            json!({"due_date": "2026-11-27", "due_time": "24:00"}),
            vec!["23:59"],
        ),
        (json!({"priority": "high"}), vec!["p1", "p4"]),
        (json!({"tags": ["x".repeat(41)]}), vec!["40"]),
        (
            json!({"tags": (0..11).map(|n| n.to_string()).collect::<Vec<_>>()}),
            vec!["10"],
        ),
        (json!({"tags": [5]}), vec!["list of strings"]),
        (json!({"repeat": "every monday"}), vec!["repeat"]),
        (json!({"repeat": "FREQ=HOURLY"}), vec!["DAILY"]),
        (
            json!({"repeat": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}),
            vec!["never yields a date"],
        ),
        (json!({"repeat_from": "completion"}), vec!["repeat"]),
    ] {
        let mut with_title = arguments.clone();
        with_title["title"] = json!("x");
        assert_refused(begin_with(with_title), &words);
        let task = stored(json!({"title": "x"}));
        assert_refused(changed(&task, arguments), &words);
    }
    let task = stored(json!({"title": "x"}));
    assert_refused(changed(&task, json!({})), &["Nothing to change"]);
    assert_refused(
        changed(&task, json!({"restore": false})),
        &["Nothing to change"],
    );
    assert_refused(changed(&task, json!({"clear": ["title"]})), &["clear"]);
    let both = json!({"clear": ["due_date"], "due_date": "2026-11-27"});
    assert_refused(changed(&task, both), &["both"]);
    assert_refused(changed(&task, json!({"due_date": ""})), &["YYYY-MM-DD"]);
    // Where there is nothing to remove, an empty text is one that is left out.
    assert!(begin_with(json!({"title": "x", "due_date": "", "repeat": " ", "tags": ""})).is_ok());
}

#[test]
fn times_are_read_as_models_write_them() {
    for (text, time) in [
        ("09:05", "09:05"),
        ("9:05", "09:05"),
        ("17:00:00", "17:00"),
        ("00:00", "00:00"),
    ] {
        let task = stored(json!({"title": "x", "due_date": "2026-11-28", "due_time": text}));
        assert!(due(&task).contains(&format!("at {time}")), "{}", due(&task));
    }
}

#[test]
fn a_task_that_repeats_has_a_date_and_keeps_its_rule() {
    let bins = stored(json!({"title": "bins", "repeat": "RRULE:FREQ=WEEKLY;BYDAY=MO"}));
    assert_eq!(
        due(&bins),
        "Mon, 30 Nov 2026, in 4 days FREQ=WEEKLY;BYDAY=MO"
    );
    let moved = changed(
        &bins,
        json!({"due_date": "2026-12-01", "weekday": "tuesday"}),
    )
    .expect("a change");
    assert_eq!(
        due(&moved),
        "Tue, 1 Dec 2026, in 5 days FREQ=WEEKLY;BYDAY=MO"
    );
    match complete(moved, &now()) {
        Done::Once {
            finished,
            task,
            next,
        } => {
            assert_eq!(next.to_string(), "2026-12-07");
            assert_eq!(
                due(&task),
                "Mon, 7 Dec 2026, in 11 days FREQ=WEEKLY;BYDAY=MO"
            );
            assert_eq!(
                (
                    finished.due.map(|due| due.date.to_string()).as_deref(),
                    finished.repeat
                ),
                (Some("2026-12-01"), None)
            );
        }
        other => panic!("{other:?}"),
    }
    // Without its date it cannot come again, and without its rule it has the date.
    let undated = changed(&bins, json!({"clear": ["due_date"]})).expect("a change");
    assert_eq!(due(&undated), "no due date");
    let once = changed(&bins, json!({"clear": ["repeat"]})).expect("a change");
    assert_eq!(due(&once), "Mon, 30 Nov 2026, in 4 days");
    let other = changed(
        &bins,
        json!({"repeat": "FREQ=MONTHLY", "repeat_from": "completion"}),
    )
    .expect("a change");
    assert_eq!(due(&other), "Mon, 30 Nov 2026, in 4 days FREQ=MONTHLY");
    // From completion it is a month after today.
    match complete(other, &now()) {
        Done::Once { next, .. } => assert_eq!(next.to_string(), "2026-12-26"),
        done @ Done::All(_) => panic!("{done:?}"),
    }
}

#[test]
fn the_last_of_a_rule_is_done_for_good() {
    let pill =
        stored(json!({"title": "pill", "due_date": "2026-11-26", "repeat": "FREQ=DAILY;COUNT=2"}));
    let Done::Once { task, .. } = complete(pill, &now()) else {
        panic!("it comes again")
    };
    assert_eq!(due(&task), "Fri, 27 Nov 2026, tomorrow FREQ=DAILY;COUNT=1");
    let Done::All(done) = complete(task, &now()) else {
        panic!("it was the last")
    };
    assert!(done.completed);
    // Once more comes to the same.
    assert_eq!(complete(done.clone(), &now()), Done::All(done));
}
