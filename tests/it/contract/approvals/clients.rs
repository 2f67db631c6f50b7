//! What clients hear of a run that waits: cancels, waits, and AG-UI's own form of an answer.

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, decide, system, view};
use crate::system::{
    Answer, ag_ui,
    events::{assert_well_formed, kinds, read_sse, stored},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_can_be_cancelled_and_who_repeats_a_message_hears_the_end() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let path = format!("runs/{}/cancel", run["run_id"].as_str().expect("a run"));
    let cancelled = Answer::of(system.request(Method::POST, "ada", &path)).await;
    assert_eq!(cancelled.assert_ok()["status"], "cancelled");
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    assert_eq!(kinds(&events).last(), Some(&"RUN_FINISHED"));
    decide(&system, "ada", &run, json!({"approve": true}))
        .await
        .assert_error(409, "invalid_request");

    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let post = || {
        system
            .post_chat("ada", &json!({"message": "delete it"}))
            .header("idempotency-key", "k")
    };
    let waits = Answer::of(post()).await;
    assert_eq!(waits.body["status"], "waiting");
    system.model.push(Turn::text("Deleted."));
    decide(&system, "ada", &waits.body, json!({"approve": true}))
        .await
        .assert_ok();
    assert_eq!(Answer::of(post()).await.assert_ok()["response"], "Deleted.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ag_ui_client_resumes_with_a_run_of_its_own() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let run = view(&system, &run["run_id"]).await;
    system.model.push(Turn::text("Deleted."));
    let child = uuid::Uuid::now_v7();
    let resume = |payload: Value| {
        let body = json!({
            "threadId": run["conversation_id"], "runId": child, "state": {}, "messages": [], "tools": [], "context": [],
            "resume": [{"interruptId": run["interrupts"][0]["id"], "status": "resolved", "payload": payload}],
        });
        system
            .post_chat("ada", &body)
            .header("accept", "text/event-stream")
    };
    let events = read_sse(resume(json!({"approved": true})), usize::MAX).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "success");
    assert_eq!(last["runId"], child.to_string());
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    // The stream again, not the effect.
    assert_eq!(read_sse(resume(json!(true)), usize::MAX).await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ag_ui_client_answers_and_goes_on() {
    let (system, task) = system().await;
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    system.model.push(Turn::text("Deleted."));
    let thread = uuid::Uuid::now_v7().to_string();
    let Some(made) = ag_ui::turn(&system, &thread, "delete it").await else {
        return;
    };
    let messages = made["messages"].as_array().expect("messages");
    let last = messages.last().expect("a message");
    assert_eq!(
        (&last["role"], &last["content"]),
        (&json!("assistant"), &json!("Deleted."))
    );
    let ends = made["types"].as_array().expect("types").iter();
    assert_eq!(ends.filter(|kind| *kind == "RUN_FINISHED").count(), 2);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_run_hears_at_once_that_it_waits() {
    let (system, task) = system().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})).gate_after(1, &gate));
    let body = json!({"message": "delete it"});
    let request = system.post_chat("ada", &body);
    let run = Answer::of(request.header("prefer", "respond-async")).await;
    let path = format!(
        "runs/{}?wait=60",
        run.body["run_id"].as_str().expect("a run")
    );
    let waits = system.get("ada", &path);
    let opens = async {
        gate.reached(1).await.expect("the model is asked");
        gate.open();
        std::time::Instant::now()
    };
    let (waits, opened) = tokio::join!(waits, opens);
    assert_eq!(waits.assert_ok()["status"], "waiting");
    assert!(opened.elapsed() < std::time::Duration::from_secs(10));
}
