//! Zones that are told by decisions, retries and calls from outside.

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::{Value, json};

use super::{BERLIN, LOS_ANGELES, remembered, say, told};
use crate::system::{Answer, Options, TestSystem};

/// Whoever decides or retries tells where they are now; the message stays where and when it was said.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_and_retries_tell_a_zone_too() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add it").await;
    let task = added.assert_ok()["tool_calls"][0]["result"]["task_id"].clone();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let asks = say(&system, &Value::Null, "delete it").header("x-time-zone", LOS_ANGELES);
    let waits = Answer::of(asks).await;
    let sent = told(&system);
    let path = |run: &Value, what: &str| format!("runs/{}/{what}", run.as_str().unwrap());
    system.model.push(Turn::status(400));
    let decision = system
        .request(
            Method::POST,
            "ada",
            &path(&waits.body["run_id"], "decision"),
        )
        .json(&json!({"approve": true}))
        .header("x-time-zone", BERLIN);
    let failed = Answer::of(decision).await;
    let failed = failed.assert_error(502, "model_error")["run_id"].clone();
    assert_eq!(told(&system), sent);
    assert_eq!(remembered(&system, "ada").await.as_deref(), Some(BERLIN));
    system.model.push(Turn::text("It is gone."));
    let retry = system
        .request(Method::POST, "ada", &path(&failed, "retry"))
        .header("x-time-zone", "Asia/Tokyo");
    Answer::of(retry).await.assert_ok();
    let again = told(&system);
    assert!(
        again.starts_with(&format!("{sent}; tried again: ")),
        "{again}"
    );
    assert!(again.ends_with("Asia/Tokyo"), "{again}");
    let zones: Vec<Option<String>> =
        sqlx::query_scalar("select time_zone from runs order by position")
            .fetch_all(&system.db)
            .await
            .unwrap();
    let zones: Vec<Option<&str>> = zones.iter().map(Option::as_deref).collect();
    assert_eq!(
        zones,
        [None, Some(LOS_ANGELES), Some(BERLIN), Some("Asia/Tokyo")]
    );
}

/// A page adds a task by hand before anybody has written a message: the day is its user's own all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_from_outside_tells_a_zone_too() {
    let system = TestSystem::start().await;
    let call = |zone: &str, arguments: Value| {
        let mut arguments = arguments;
        arguments["user_id"] = json!("ada");
        let tool = if arguments["title"].is_string() {
            "add_task"
        } else {
            "list_tasks"
        };
        system
            .bare(Method::POST, "/mcp")
            .bearer_auth(system.identity.token("ada"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header("x-time-zone", zone.to_owned())
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                          "params": {"name": tool, "arguments": arguments}}))
    };
    // Two zones in which it is never the same day.
    let (early, late) = ("Pacific/Pago_Pago", "Pacific/Kiritimati");
    let today = |zone: &str| {
        let query = format!("select to_char(now() at time zone '{zone}', 'YYYY-MM-DD') as today");
        let query = sqlx::AssertSqlSafe(query);
        let db = system.db.clone();
        async move {
            sqlx::query_scalar::<_, String>(query)
                .fetch_one(&db)
                .await
                .unwrap()
        }
    };
    let due = today(late).await;
    let added = Answer::of(call(late, json!({"title": "pay", "due_date": due}))).await;
    let task = &added.assert_ok()["result"]["structuredContent"]["task"];
    assert!(task["due"].as_str().unwrap().ends_with(", today"), "{task}");
    assert_eq!(remembered(&system, "ada").await.as_deref(), Some(late));
    // What was remembered counts where nothing is said; a reading by itself says it for itself.
    for (zone, view, expected) in [
        (None, "today", 1),
        (Some(early), "today", 0),
        (Some(early), "upcoming", 1),
    ] {
        let mut list = system.request(Method::GET, "ada", &format!("tasks?view={view}"));
        if let Some(zone) = zone {
            list = list.header("x-time-zone", zone);
        }
        let list = Answer::of(list).await;
        assert_eq!(list.assert_ok()["total"], expected, "{zone:?} {view}");
    }
    assert_eq!(remembered(&system, "ada").await.as_deref(), Some(late));
    let calls = "select count(*) from mcp_calls";
    let before = system.count(calls).await;
    for zone in ["Mars/Olympus", "", "europe/berlin", "+02:00"] {
        let refused = Answer::of(call(zone, json!({}))).await;
        refused.assert_error(400, "invalid_request");
    }
    assert_eq!(system.count(calls).await, before);
}
