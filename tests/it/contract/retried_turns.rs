//! What the model is shown of a turn that was interrupted and goes on: all that was done, and that it is to finish the rest.

use errand_devkit::model::{Gate, Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem};

/// Starts a run that has no end until it is cancelled; returns it.
async fn start(system: &TestSystem, message: &str) -> String {
    let accepted = system
        .post_chat("ada", &json!({"message": message}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    accepted.body["run_id"].as_str().expect("a run").to_owned()
}

async fn cancel(system: &TestSystem, run: &str) {
    let cancel = system.request(Method::POST, "ada", &format!("runs/{run}/cancel"));
    Answer::of(cancel).await;
    let view = system.get("ada", &format!("runs/{run}?wait=10")).await;
    assert_eq!(view.assert_ok()["status"], "cancelled");
}

async fn retry(system: &TestSystem, run: &str) -> Answer {
    Answer::of(system.request(Method::POST, "ada", &format!("runs/{run}/retry"))).await
}

/// The last request: what the user said in it, and the results since.
fn shown(system: &TestSystem) -> (String, Vec<Value>) {
    let asked = system.model.requests().pop().expect("a request");
    let results = request::steps(&asked);
    let results = results.into_iter().filter_map(|step| step.result);
    (request::last_user(&asked), results.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_sees_what_was_done_and_finishes_the_rest() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "one"})));
    system.model.push(Turn::text("never").gate_after(0, &gate));
    let run = start(&system, "add one and two").await;
    system.model.requests_seen(2).await.unwrap();
    cancel(&system, &run).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "two"})));
    system.model.push(Turn::text("Both are there."));
    let answer = retry(&system, &run).await;
    assert_eq!(answer.assert_ok()["response"], "Both are there.");
    assert_eq!(system.titles("ada").await, ["one", "two"]);
    let (message, results) = shown(&system);
    assert!(message.starts_with("add one and two\n\n["), "{message}");
    assert!(message.contains("interrupted"), "{message}");
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| result["success"] == true));
    // What follows is told of one turn, which has its reply.
    system.model.push(Turn::text("Yes."));
    let conversation = &answer.body["conversation_id"];
    system
        .say_in("ada", conversation, "sure?")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().expect("a request");
    let said: Vec<String> = request::messages(&asked)
        .iter()
        .filter(|message| message["role"] == "user")
        .map(request::content)
        .collect();
    assert_eq!(said, ["add one and two", "sure?"]);
}

/// A call that was never made is shown as that, so that the model may make it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_made_is_shown_as_not_made() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "add_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    let run = start(&system, "add it").await;
    let view = system.get("ada", &format!("runs/{run}?wait=10")).await;
    assert_eq!(view.assert_ok()["status"], "waiting");
    cancel(&system, &run).await;
    system.model.push(Turn::text("Nothing was added."));
    assert_eq!(
        retry(&system, &run).await.assert_ok()["response"],
        "Nothing was added."
    );
    let (_, results) = shown(&system);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["error"]["type"], "not_executed");
}

/// Steps that the interrupted run has used up are not missing in the one that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_ran_out_of_steps_gets_new_ones() {
    let system = TestSystem::with(Options {
        worker: vec!["--max-steps", "2"],
        ..Options::default()
    })
    .await;
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::call("list_tasks", json!({})));
    let failed = system.say("ada", "look").await;
    let run = failed.assert_error(500, "run_failed")["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::text("Nothing."));
    assert_eq!(
        retry(&system, &run).await.assert_ok()["response"],
        "Nothing."
    );
}
