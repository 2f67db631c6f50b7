//! Approvals: a run pauses before a gated tool, holds nothing meanwhile, and goes on when its user has decided.

use errand_devkit::model::{Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    events::{assert_well_formed, stored},
    socket::Socket,
};

mod clients;
mod questions;
mod workers;

fn gated(workers: usize) -> Options {
    Options {
        worker: vec![
            "--require-approval",
            "delete_task",
            "--worker-concurrency",
            "1",
        ],
        workers: Some(workers),
        ..Options::default()
    }
}

/// A system where delete_task needs approval, with one worker of one slot and a task of ada's; the task's id.
async fn system() -> (TestSystem, String) {
    let system = TestSystem::with(gated(1)).await;
    let task = add(&system, "buy milk").await;
    (system, task)
}

/// A task that ada's agent adds.
async fn add(system: &TestSystem, title: &str) -> String {
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add it").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    task.as_str().expect("an id").to_owned()
}

/// Asks for the task to be deleted; the run that waits.
async fn ask(system: &TestSystem, task: &str) -> Value {
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waits = system.say("ada", "delete it").await;
    assert_eq!(waits.status, 202, "{}", waits.body);
    assert_eq!(waits.body["status"], "waiting");
    waits.body
}

async fn decide(system: &TestSystem, user: &str, run: &Value, decision: Value) -> Answer {
    let path = format!("runs/{}/decision", run["run_id"].as_str().expect("a run"));
    Answer::of(system.request(Method::POST, user, &path).json(&decision)).await
}

async fn view(system: &TestSystem, run: &Value) -> Value {
    let path = format!("runs/{}", run.as_str().expect("a run"));
    system.get("ada", &path).await.assert_ok().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_call_waits_without_a_slot_and_is_made_once_approved() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let waiting = view(&system, &run["run_id"]).await;
    assert_eq!(waiting["status"], "waiting");
    assert_eq!(waiting["tool_calls"], json!([]));
    let interrupt = &waiting["interrupts"][0];
    assert_eq!(
        interrupt["metadata"],
        json!({"toolName": "delete_task", "parameters": {"task_id": task},
               "task": {"id": task, "title": "buy milk"}, "changes": []})
    );
    // The events end as AG-UI has it, with every call closed.
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "interrupt");
    assert_eq!(&last["outcome"]["interrupts"][0], interrupt);
    // The only slot is free, in another conversation and in this one.
    system.model.script(|_| Turn::text("Hello."));
    system.say("bob", "hi").await.assert_ok();
    system
        .say_in("ada", &run["conversation_id"], "and?")
        .await
        .assert_ok();
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    // There the model sees that the call has yet to be approved.
    let asked = system.model.requests().pop().expect("a request");
    let told = asked["messages"].to_string();
    assert!(told.contains("waits for the user's approval"), "{told}");

    let done = decide(&system, "ada", &run, json!({"approve": true})).await;
    let body = done.assert_ok();
    assert_eq!(body["response"], "Hello.");
    assert_eq!(body["tool_calls"][0]["tool_name"], "delete_task");
    assert_eq!(body["tool_calls"][0]["result"]["success"], true);
    // The answer that asked for the call was the other run's.
    assert_eq!(body["usage"]["model_calls"], 1);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    let before = view(&system, &run["run_id"]).await;
    assert_eq!(
        (&before["status"], &before["continued_by"]),
        (&json!("completed"), &body["run_id"])
    );
    let events = stored(&system, body["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    assert_eq!(events[0].1["parentRunId"], run["run_id"]);
    let result = events
        .iter()
        .find(|(_, event)| event["type"] == "TOOL_CALL_RESULT");
    assert_eq!(result.expect("a result").1["toolCallId"], interrupt["id"]);
    let logged = "select count(*) from approvals where approved and decided_at is not null";
    assert_eq!(system.count(logged).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_call_is_not_made_and_the_model_hears_of_it() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    system.model.push(Turn::text("I left it."));
    let done = decide(&system, "ada", &run, json!({"approve": false})).await;
    assert_eq!(done.assert_ok()["response"], "I left it.");
    let call = &done.body["tool_calls"][0];
    assert_eq!(call["result"]["success"], false, "{call}");
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    let asked = system.model.requests().pop().expect("a request");
    let told = request::steps(&asked);
    assert_eq!(told.len(), 1, "the turn goes on from its recorded step");
    let messages = asked["messages"].to_string();
    assert!(
        messages.contains("The user rejected this call"),
        "{messages}"
    );
    // The message is said once, and the model was not asked for the call again.
    assert_eq!(messages.matches("delete it").count(), 1);
    assert_eq!(system.model.request_count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_comes_later_from_elsewhere_after_every_process_was_restarted() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let url = system.database_url.clone();
    system.stop().await;

    let system = TestSystem::on(&url, gated(1)).await;
    system.model.push(Turn::text("Deleted."));
    let mut watching = Socket::connect(&system, "ada").await;
    watching
        .call("subscribe", json!({"threadId": run["conversation_id"]}))
        .await;
    // A tab that opens now sees the question again.
    let question = watching
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let interrupt = question["event"]["outcome"]["interrupts"][0]["id"].clone();
    let mut deciding = Socket::connect(&system, "ada").await;
    let decisions = json!({interrupt.as_str().expect("an id"): true});
    let decided = deciding
        .call(
            "run.decide",
            json!({"runId": run["run_id"], "decisions": decisions}),
        )
        .await;
    assert_eq!(decided["type"], "success", "{decided}");
    let child = decided["runId"].clone();
    for socket in [&mut watching, &mut deciding] {
        socket
            .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == child)
            .await;
    }
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_taken_once_by_its_owner_and_for_every_call() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    system.model.script(|_| Turn::text("Done."));
    let child = uuid::Uuid::now_v7();
    decide(&system, "bob", &run, json!({"approve": true}))
        .await
        .assert_error(404, "not_found");
    for incomplete in [
        json!({"decisions": {"nothing": true}}),
        json!({}),
        json!({"approve": true, "decisions": {}}),
    ] {
        decide(&system, "ada", &run, incomplete)
            .await
            .assert_error(400, "invalid_request");
    }
    let yes = json!({"approve": true, "run_id": child});
    let (first, again) = tokio::join!(
        decide(&system, "ada", &run, yes.clone()),
        decide(&system, "ada", &run, yes)
    );
    for answer in [first, again] {
        assert_eq!(answer.assert_ok()["run_id"], child.to_string());
    }
    let same = decide(&system, "ada", &run, json!({"approve": true})).await;
    assert_eq!(same.assert_ok()["run_id"], child.to_string());
    decide(&system, "ada", &run, json!({"approve": false}))
        .await
        .assert_error(409, "invalid_request");
    let deleted = "select count(*) from tool_calls where tool_name = 'delete_task'";
    assert_eq!(system.count(deleted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_answer_wait_together_and_each_is_decided() {
    let (system, task) = system().await;
    let other = add(&system, "an old list").await;
    system.model.push(
        Turn::call("add_task", json!({"title": "call Ann"}))
            .and_call("delete_task", json!({"task_id": task}))
            .and_call("delete_task", json!({"task_id": other})),
    );
    let waits = system.say("ada", "tidy up").await;
    assert_eq!(waits.body["status"], "waiting", "{}", waits.body);
    // Nothing of the answer is done before all of it may be.
    assert_eq!(system.titles("ada").await, ["buy milk", "an old list"]);
    let run = view(&system, &waits.body["run_id"]).await;
    let ids: Vec<_> = run["interrupts"]
        .as_array()
        .expect("interrupts")
        .iter()
        .map(|interrupt| interrupt["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 2);
    // The next answer needs approval again: a chain.
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let half = decide(
        &system,
        "ada",
        &waits.body,
        json!({"decisions": {ids[0]: false, ids[1]: true}}),
    )
    .await;
    assert_eq!(
        (half.status.as_u16(), half.body["status"].as_str()),
        (202, Some("waiting")),
        "{}",
        half.body
    );
    assert_eq!(system.titles("ada").await, ["buy milk", "call Ann"]);
    system.model.push(Turn::text("Tidied."));
    let done = decide(&system, "ada", &half.body, json!({"approve": true})).await;
    assert_eq!(done.assert_ok()["response"], "Tidied.");
    assert_eq!(system.titles("ada").await, ["call Ann"]);
    let added = "select count(*) from tool_calls where tool_name = 'add_task' and run_id in (select id from runs where root_run_id is not null)";
    assert_eq!(system.count(added).await, 1);
    // A later turn sees the whole chain as one.
    system.model.push(Turn::text("You are welcome."));
    system
        .say_in("ada", &waits.body["conversation_id"], "thanks")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().expect("a request");
    let messages = asked["messages"].as_array().expect("messages");
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(
        roles,
        [
            "system",
            "user",
            "assistant",
            "tool",
            "tool",
            "tool",
            "assistant",
            "tool",
            "assistant",
            "user"
        ]
    );
}
