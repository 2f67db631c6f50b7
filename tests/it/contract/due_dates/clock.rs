//! The user's own day, and clocks that change.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::move_to;
use crate::mcp::stdio::Desktop;

const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A client whose server has this clock; none if clocks cannot be set here.
async fn desk_at(url: &str, moment: &str) -> Option<Desktop> {
    if !std::path::Path::new(LIBFAKETIME).exists() {
        #[expect(
            clippy::print_stderr,
            reason = "a test that proves nothing must say so"
        )]
        {
            eprintln!("skipped: no {LIBFAKETIME} on this machine");
        }
        return None;
    }
    let moment: DateTime<Utc> = moment.parse().expect("a moment");
    let clock = moment.format("@%Y-%m-%d %H:%M:%S").to_string();
    let environment = [
        ("LD_PRELOAD", LIBFAKETIME),
        ("FAKETIME", &clock),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("TZ", "UTC"),
    ];
    let mut desk = Desktop::with(url, &[], &environment).await;
    desk.greet().await;
    Some(desk)
}

async fn result(desk: &mut Desktop, tool: &str, arguments: Value) -> Value {
    let answer = desk
        .call(json!({"name": tool, "arguments": arguments}))
        .await;
    answer["result"]["structuredContent"].clone()
}

/// At six in the evening in Los Angeles it is tomorrow in Berlin.
#[tokio::test(flavor = "multi_thread")]
async fn today_is_the_users_own_day_also_seen_from_elsewhere() {
    let url = crate::system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    move_to(&db, "America/Los_Angeles").await;
    let Some(mut desk) = desk_at(&url, "2026-11-27T02:00:00Z").await else {
        return;
    };
    let rent = json!({"title": "pay rent", "due_date": "2026-11-26", "weekday": "thursday"});
    let added = result(&mut desk, "add_task", rent).await;
    assert_eq!(added["task"]["due"], "Thu, 26 Nov 2026, today", "{added}");
    let view = |name: &str| json!({"view": name});
    let list = result(&mut desk, "list_tasks", view("today")).await;
    assert_eq!(list["tasks"][0]["due_date"], "2026-11-26", "{list}");
    assert_eq!(
        result(&mut desk, "list_tasks", view("overdue")).await["count"],
        0
    );
    // The same moment, from Berlin: the same day, and it is over.
    move_to(&db, "Europe/Berlin").await;
    let list = result(&mut desk, "list_tasks", view("overdue")).await;
    let task = &list["tasks"][0];
    assert_eq!(task["due_date"], "2026-11-26", "{list}");
    assert_eq!(task["due"], "Thu, 26 Nov 2026, overdue by 1 day");
    assert_eq!(list["total"], 1);
    // And back: nothing has moved.
    move_to(&db, "America/Los_Angeles").await;
    let list = result(&mut desk, "list_tasks", view("today")).await;
    assert_eq!(list["tasks"][0]["due"], "Thu, 26 Nov 2026, today");
}

/// 02:30 of a night that has none, and of one that has two.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_clock_moves_nothing() {
    let url = crate::system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    move_to(&db, "Europe/Berlin").await;
    // 01:30, the clock goes from 01:59 to 03:00.
    let Some(mut desk) = desk_at(&url, "2027-03-28T00:30:00Z").await else {
        return;
    };
    let nightly = json!({"title": "back up", "due_date": "2027-03-28", "due_time": "02:30", "repeat": "FREQ=DAILY"});
    let task = result(&mut desk, "add_task", nightly).await["task"].clone();
    assert_eq!(task["due"], "Sun, 28 Mar 2027 at 02:30, today");
    let mut later = desk_at(&url, "2027-03-28T01:10:00Z").await.unwrap();
    let list = result(&mut later, "list_tasks", json!({"view": "overdue"})).await;
    assert_eq!(list["count"], 1, "it is 03:10: {list}");
    let done = result(&mut later, "complete_task", json!({"task_id": task["id"]})).await;
    assert_eq!(done["next_due"], "2027-03-29", "{done}");
    let list = result(&mut later, "list_tasks", json!({})).await;
    assert_eq!(
        list["tasks"][0]["due"],
        "Mon, 29 Mar 2027 at 02:30, tomorrow"
    );
    // The night that has it twice. The clock goes from 02:59 to 02:00: what it shows is what counts, and nothing is moved or doubled.
    let autumn = json!({"task_id": task["id"], "due_date": "2027-10-31"});
    result(&mut later, "update_task", autumn).await;
    for (moment, shown, overdue) in [
        ("2027-10-31T00:20:00Z", "02:20", 0),
        ("2027-10-31T00:40:00Z", "02:40", 1),
        ("2027-10-31T01:20:00Z", "02:20 again", 0),
        ("2027-10-31T01:40:00Z", "02:40 again", 1),
    ] {
        let mut desk = desk_at(&url, moment).await.unwrap();
        let list = result(&mut desk, "list_tasks", json!({"view": "overdue"})).await;
        assert_eq!(list["count"], overdue, "{shown}: {list}");
        let list = result(&mut desk, "list_tasks", json!({})).await;
        assert_eq!(
            list["tasks"][0]["due_date"], "2027-10-31",
            "{shown}: {list}"
        );
        assert_eq!(list["total"], 1, "{shown}: {list}");
    }
    let mut last = desk_at(&url, "2027-10-31T01:40:00Z").await.unwrap();
    let done = result(&mut last, "complete_task", json!({"task_id": task["id"]})).await;
    assert_eq!(done["next_due"], "2027-11-01", "{done}");
}
