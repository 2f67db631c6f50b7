//! Tasks with time, through the tools, from outside: the user's own days, whoever looks from wherever; what comes again; what was deleted.

use chrono::{Datelike, Duration, NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::system::{mcp::Mcp, rows};

mod clock;
mod whole_tasks;

/// The user writes from this zone from now on.
async fn move_to(db: &PgPool, zone: &str) {
    let statement = format!(
        "insert into user_settings (user_id, time_zone) values ('ada', '{zone}')
         on conflict (user_id) do update set time_zone = excluded.time_zone"
    );
    rows::execute(db, &statement).await;
}

/// Ada's calls, which have to work.
struct Ada<'a>(&'a Mcp);

impl Ada<'_> {
    async fn ask(&self, tool: &str, mut arguments: Value) -> Value {
        arguments["user_id"] = json!("ada");
        self.0.call("ada", tool, arguments).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let result = self.ask(tool, arguments).await;
        assert_eq!(result["success"], true, "{tool}: {result}");
        result
    }

    async fn add(&self, arguments: Value) -> Value {
        self.call("add_task", arguments).await["task"].clone()
    }

    /// The titles of a view, in its order.
    async fn titles(&self, arguments: Value) -> Vec<String> {
        let list = self.call("list_tasks", arguments).await;
        let tasks = list["tasks"].as_array().expect("tasks").iter();
        tasks
            .map(|task| task["title"].as_str().expect("a title").to_owned())
            .collect()
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn in_days(days: i64) -> String {
    (today() + Duration::days(days)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn views_have_what_they_say_in_the_order_of_the_contract() {
    let mcp = Mcp::with(&["--rate-calls-per-minute", "0"]).await;
    let ada = Ada(&mcp);
    for (title, days, time, priority) in [
        ("undated", None, None, "p4"),
        ("in eight days", Some(8), None, "p4"),
        ("in seven days", Some(7), None, "p4"),
        ("today", Some(0), None, "p4"),
        ("today, important", Some(0), None, "p1"),
        ("tomorrow", Some(1), None, "p1"),
        ("tomorrow at nine", Some(1), Some("09:00"), "p4"),
        ("three days ago", Some(-3), None, "p4"),
        ("yesterday", Some(-1), Some("23:59"), "p4"),
        ("undated, important", None, None, "p2"),
    ] {
        let mut task = json!({"title": title, "priority": priority});
        if let Some(days) = days {
            task["due_date"] = json!(in_days(days));
        }
        if let Some(time) = time {
            task["due_time"] = json!(time);
        }
        ada.add(task).await;
    }
    let all = [
        "three days ago",
        "yesterday",
        "today, important",
        "today",
        "tomorrow at nine",
        "tomorrow",
        "in seven days",
        "in eight days",
        "undated, important",
        "undated",
    ];
    assert_eq!(ada.titles(json!({})).await, all);
    for (view, expected) in [
        ("overdue", &all[..2]),
        ("today", &all[..4]),
        ("upcoming", &all[4..7]),
        ("undated", &all[8..]),
        ("completed", &[]),
        ("deleted", &[]),
    ] {
        assert_eq!(ada.titles(json!({"view": view})).await, expected, "{view}");
    }
    for (filter, expected) in [
        (json!({"due_from": in_days(1)}), &all[4..8]),
        (json!({"due_to": in_days(0)}), &all[..4]),
        (
            json!({"due_from": in_days(0), "due_to": in_days(0)}),
            &all[2..4],
        ),
        (json!({"view": "undated", "due_from": in_days(0)}), &[]),
        (json!({"priority": "P1"}), &[all[2], all[5]][..]),
        (json!({"search": "IMPORTANT"}), &[all[2], all[8]][..]),
    ] {
        assert_eq!(ada.titles(filter.clone()).await, expected, "{filter}");
    }
    // Page by page, each once and in order, and each page knows how many there are.
    let (mut found, mut cursor) = (Vec::new(), json!(null));
    loop {
        let page = ada
            .call("list_tasks", json!({"limit": 3, "cursor": cursor}))
            .await;
        assert_eq!(page["total"], 10, "{page}");
        for task in page["tasks"].as_array().unwrap() {
            found.push(task["title"].as_str().unwrap().to_owned());
        }
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, all);
    let overdue = ada.call("list_tasks", json!({"view": "overdue"})).await;
    let words = overdue["tasks"][0]["due"].as_str().unwrap();
    assert!(words.ends_with("overdue by 3 days"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_stays_until_it_is_changed_or_cleared() {
    let mcp = Mcp::start().await;
    let ada = Ada(&mcp);
    let added = ada
        .add(json!({"title": "call Ann", "due_date": in_days(2), "due_time": "9:30", "priority": "p2",
                    "tags": ["Family", "phone", "FAMILY"], "description": "about Sunday"}))
        .await;
    assert_eq!(added["due_time"], "09:30");
    assert_eq!(added["tags"], json!(["Family", "phone"]));
    let id = added["id"].clone();
    let update = async |mut change: Value| {
        change["task_id"] = id.clone();
        ada.call("update_task", change).await["task"].clone()
    };
    let renamed = update(json!({"title": "ring Ann", "due_date": null, "tags": null})).await;
    for field in [
        "due_date",
        "due_time",
        "priority",
        "tags",
        "description",
        "due",
    ] {
        assert_eq!(renamed[field], added[field], "{field}");
    }
    assert_eq!(renamed["title"], "ring Ann");
    assert_eq!(
        ada.titles(json!({"tags": ["family", "PHONE"]})).await,
        ["ring Ann"]
    );
    assert!(
        ada.titles(json!({"tags": ["family", "work"]}))
            .await
            .is_empty()
    );
    let moved = update(json!({"due_date": in_days(3)})).await;
    assert_eq!(
        (&moved["due_date"], &moved["due_time"]),
        (&json!(in_days(3)), &json!("09:30"))
    );
    let cleared = update(json!({"clear": ["due_date", "description", "tags"]})).await;
    assert_eq!(cleared["due"], "no due date");
    for field in ["due_date", "due_time"] {
        assert_eq!(cleared.get(field), None, "{field}");
    }
    assert_eq!(
        (&cleared["description"], &cleared["tags"]),
        (&json!(null), &json!([]))
    );
    // "Report by Friday" is one date.
    let friday =
        today() + Duration::days(i64::from(11 - today().weekday().num_days_from_monday()) % 7 + 7);
    let report = ada
        .add(json!({"title": "report", "due_date": friday.to_string(), "weekday": "friday"}))
        .await;
    assert!(report.get("repeat").is_none() && report["due"].as_str().unwrap().starts_with("Fri, "));
    let wrong = json!({"title": "report", "due_date": friday.to_string(), "weekday": "monday"});
    let refused = ada.ask("add_task", wrong).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("Friday") && message.contains("Monday"),
        "{refused}"
    );
    assert_eq!(refused["error"]["details"]["weekday_of_due_date"], "friday");
    assert_eq!(refused["error"]["details"]["title"], "report");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_repeats_moves_on_and_what_was_done_is_kept() {
    let mcp = Mcp::start().await;
    let ada = Ada(&mcp);
    let monday = today() + Duration::days(14 - i64::from(today().weekday().num_days_from_monday()));
    let day = |days| (monday + Duration::days(days)).to_string();
    let bins = ada
        .add(json!({"title": "bins", "due_date": day(0), "weekday": "monday", "repeat": "FREQ=WEEKLY;BYDAY=MO", "tags": ["home"]}))
        .await;
    let id = &bins["id"];
    // This week on Tuesday, and the next is Monday.
    let moved = ada
        .call(
            "update_task",
            json!({"task_id": id, "due_date": day(1), "weekday": "tuesday"}),
        )
        .await;
    assert_eq!(moved["task"]["repeat"], "FREQ=WEEKLY;BYDAY=MO");
    let done = ada.call("complete_task", json!({"task_id": id})).await;
    assert_eq!(done["next_due"], day(7), "{done}");
    let open = ada.call("list_tasks", json!({})).await;
    let next = &open["tasks"][0];
    assert_eq!(
        (&next["id"], &next["due_date"], &next["completed"]),
        (id, &json!(day(7)), &json!(false))
    );
    assert!(next["due"].as_str().unwrap().starts_with("Mon, "), "{next}");
    let list = ada.call("list_tasks", json!({"completed": true})).await;
    let finished = &list["tasks"][0];
    assert_eq!(
        (&finished["due_date"], &finished["tags"]),
        (&json!(day(1)), &json!(["home"]))
    );
    assert!(
        finished["id"] != *id
            && finished.get("repeat").is_none()
            && finished["completed_at"].is_string()
    );
    // The other way to complete does the same, and the last one of a rule is done for good.
    let pills = ada
        .add(
            json!({"title": "pills", "due_date": in_days(0), "repeat": "RRULE:FREQ=DAILY;COUNT=2"}),
        )
        .await;
    let once = ada
        .call(
            "update_task",
            json!({"task_id": pills["id"], "completed": true}),
        )
        .await;
    assert_eq!(
        (&once["task"]["due_date"], &once["task"]["completed"]),
        (&json!(in_days(1)), &json!(false))
    );
    let last = ada
        .call("complete_task", json!({"task_id": pills["id"]}))
        .await;
    assert_eq!(last.get("next_due"), None, "{last}");
    assert_eq!(
        ada.titles(json!({"completed": true})).await,
        ["pills", "pills", "bins"]
    );
    // What has no date never comes.
    let never = json!({"title": "x", "repeat": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"});
    let refused = ada.ask("add_task", never).await;
    assert_eq!(refused["error"]["details"]["field"], "repeat", "{refused}");
    assert!(refused["error"]["details"]["valid"].is_array());
    // Month ends and leap days.
    for (date, rule, next) in [
        ("2099-12-31", "FREQ=MONTHLY", "2100-01-31"),
        ("2100-01-31", "FREQ=MONTHLY", "2100-03-31"),
        ("2100-01-31", "FREQ=MONTHLY;BYMONTHDAY=-1", "2100-02-28"),
        ("2096-02-29", "FREQ=YEARLY", "2104-02-29"),
    ] {
        let task = ada
            .add(json!({"title": rule, "due_date": date, "repeat": rule}))
            .await;
        let done = ada
            .call("complete_task", json!({"task_id": task["id"]}))
            .await;
        assert_eq!(done["next_due"], next, "{rule} from {date}");
    }
}
