//! Tasks with time, through the tools, from outside: the user's own days, whoever looks from wherever; what comes again; what was deleted.

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};
use errand_devkit::model::Turn;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    mcp::stdio::Desktop,
    system::{TestSystem, mcp::Mcp, rows},
};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_task_comes_back_with_everything_also_after_a_restart() {
    let mcp = Mcp::start().await;
    let task = Ada(&mcp)
        .add(json!({"title": "bins", "description": "both", "due_date": in_days(3), "due_time": "08:00", "priority": "p1",
                    "tags": ["home"], "repeat": "FREQ=DAILY;INTERVAL=3"}))
        .await;
    let id = task["id"].clone();
    Ada(&mcp).call("delete_task", json!({"task_id": id})).await;
    let (url, db) = (mcp.database_url.clone(), mcp.db.clone());
    mcp.stop().await;

    let mcp = Mcp::on(&url, &[]).await;
    let ada = Ada(&mcp);
    assert!(ada.titles(json!({})).await.is_empty());
    let trash = ada.call("list_tasks", json!({"view": "deleted"})).await;
    assert_eq!(
        (&trash["tasks"][0]["id"], &trash["total"]),
        (&id, &json!(1))
    );
    // Only to be brought back.
    for (tool, arguments) in [
        ("complete_task", json!({"task_id": id})),
        ("delete_task", json!({"task_id": id})),
        ("update_task", json!({"task_id": id, "title": "x"})),
    ] {
        let refused = ada.ask(tool, arguments).await;
        assert_eq!(refused["error"]["type"], "resource_not_found", "{refused}");
        assert!(
            refused["error"]["message"]
                .as_str()
                .unwrap()
                .contains("restore")
        );
    }
    let back = ada
        .call("update_task", json!({"task_id": id, "restore": true}))
        .await;
    for (field, value) in task.as_object().unwrap() {
        if field != "updated_at" {
            assert_eq!(&back["task"][field], value, "{field}");
        }
    }
    let done = ada.call("complete_task", json!({"task_id": id})).await;
    assert_eq!(done["next_due"], in_days(6));
    let counted: (i32, i32) = sqlx::query_as("select tasks, trash_tasks from task_totals")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(counted, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_is_answered_with_the_tasks_that_may_be_meant() {
    let mcp = Mcp::start().await;
    let ada = Ada(&mcp);
    for n in 0..7 {
        ada.add(json!({"title": format!("Buy milk {n}")})).await;
    }
    let bread = ada.add(json!({"title": "Buy bread"})).await;
    let ask = async |task_id: &str| {
        ada.ask("complete_task", json!({"task_id": task_id})).await["error"].clone()
    };
    let many = ask("buy MILK").await;
    assert_eq!(many["type"], "invalid_parameters");
    assert!(
        many["message"].as_str().unwrap().contains("7 tasks"),
        "{many}"
    );
    let candidates = many["details"]["candidates"].as_array().unwrap();
    assert_eq!(
        (candidates.len(), &many["details"]["total"]),
        (5, &json!(7))
    );
    assert!(candidates[0]["task_id"].is_string() && candidates[0]["title"] == "Buy milk 0");
    // One is named, and not acted upon; also by the beginning of its id, or by its id in another form.
    let id = bread["id"].as_str().unwrap();
    for text in ["bread", &id[..23], &id.to_uppercase()] {
        let one = ask(text).await;
        assert_eq!(
            one["details"]["candidates"][0]["task_id"], *id,
            "{text}: {one}"
        );
    }
    for text in ["", "***=", "%", "cheese", &"x".repeat(10_000)] {
        let none = ask(text).await;
        assert_eq!(
            none["details"]["candidates"],
            json!([]),
            "{text:.9}: {none}"
        );
    }
    assert!(ada.titles(json!({"completed": true})).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_tasks_in_one_message_are_forty_tasks() {
    let system = TestSystem::start().await;
    let mut turn = Turn::call("add_task", json!({"title": "task 0"}));
    for n in 1..40 {
        let task = json!({"title": format!("task {n}"), "due_date": in_days(n), "tags": ["move"]});
        turn = turn.and_call("add_task", task);
    }
    // One of them slips.
    let turn = turn.and_call(
        "add_task",
        json!({"title": "task 40", "due_date": "2026-02-30"}),
    );
    system.model.push(turn);
    system
        .model
        .push(Turn::call("list_tasks", json!({"limit": 10})));
    system.model.push(Turn::text("Added."));
    let answer = system.say("ada", "a brain dump").await;
    let calls = answer.assert_ok()["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 42);
    assert!(
        calls[..40]
            .iter()
            .all(|call| call["result"]["success"] == true)
    );
    let failed = &calls[40]["result"]["error"];
    assert_eq!(failed["details"]["title"], "task 40", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("2026-02-30"));
    let list = &calls[41]["result"];
    assert_eq!((&list["count"], &list["total"]), (&json!(10), &json!(40)));
    assert_eq!(system.titles("ada").await.len(), 40);
}
