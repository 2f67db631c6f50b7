//! Tasks as a whole: restored, meant without an id, forty at once.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{Ada, in_days};
use crate::system::{TestSystem, mcp::Mcp};

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
