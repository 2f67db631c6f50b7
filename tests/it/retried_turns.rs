//! What the model is shown of a turn that was interrupted and goes on: all that was done, and that it is to finish the rest.

use errand_devkit::model::{Gate, Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Options, World};

/// Starts a run that has no end until it is cancelled; returns it.
async fn start(world: &World, message: &str) -> String {
    let accepted = world
        .post_chat("ada", &json!({"message": message}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    accepted.body["run_id"].as_str().expect("a run").to_owned()
}

async fn cancel(world: &World, run: &str) {
    let cancel = world.request(Method::POST, "ada", &format!("runs/{run}/cancel"));
    Answer::of(cancel).await;
    let view = world.get("ada", &format!("runs/{run}?wait=10")).await;
    assert_eq!(view.assert_ok()["status"], "cancelled");
}

async fn retry(world: &World, run: &str) -> Answer {
    Answer::of(world.request(Method::POST, "ada", &format!("runs/{run}/retry"))).await
}

/// The last request: what the user said in it, and the results since.
fn shown(world: &World) -> (String, Vec<Value>) {
    let asked = world.model.requests().pop().expect("a request");
    let results = request::steps(&asked);
    let results = results.into_iter().filter_map(|step| step.result);
    (request::last_user(&asked), results.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_sees_what_was_done_and_finishes_the_rest() {
    let world = World::start().await;
    let gate = Gate::closed();
    world
        .model
        .push(Turn::call("add_task", json!({"title": "one"})));
    world.model.push(Turn::text("never").gate_after(0, &gate));
    let run = start(&world, "add one and two").await;
    world.model.requests_seen(2).await.unwrap();
    cancel(&world, &run).await;
    world
        .model
        .push(Turn::call("add_task", json!({"title": "two"})));
    world.model.push(Turn::text("Both are there."));
    let answer = retry(&world, &run).await;
    assert_eq!(answer.assert_ok()["response"], "Both are there.");
    assert_eq!(world.titles("ada").await, ["one", "two"]);
    let (message, results) = shown(&world);
    assert!(message.starts_with("add one and two\n\n["), "{message}");
    assert!(message.contains("interrupted"), "{message}");
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| result["success"] == true));
    // What follows is told of one turn, which has its reply.
    world.model.push(Turn::text("Yes."));
    let conversation = &answer.body["conversation_id"];
    world.say_in("ada", conversation, "sure?").await.assert_ok();
    let asked = world.model.requests().pop().expect("a request");
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
    let world = World::with(Options {
        worker: vec!["--require-approval", "add_task"],
        ..Options::default()
    })
    .await;
    world
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    let run = start(&world, "add it").await;
    let view = world.get("ada", &format!("runs/{run}?wait=10")).await;
    assert_eq!(view.assert_ok()["status"], "waiting");
    cancel(&world, &run).await;
    world.model.push(Turn::text("Nothing was added."));
    assert_eq!(
        retry(&world, &run).await.assert_ok()["response"],
        "Nothing was added."
    );
    let (_, results) = shown(&world);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["error"]["type"], "not_executed");
}

/// Steps that the interrupted run has used up are not missing in the one that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_ran_out_of_steps_gets_new_ones() {
    let world = World::with(Options {
        worker: vec!["--max-steps", "2"],
        ..Options::default()
    })
    .await;
    world.model.push(Turn::call("list_tasks", json!({})));
    world.model.push(Turn::call("list_tasks", json!({})));
    let failed = world.say("ada", "look").await;
    let run = failed.assert_error(500, "run_failed")["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.model.push(Turn::call("list_tasks", json!({})));
    world.model.push(Turn::text("Nothing."));
    assert_eq!(
        retry(&world, &run).await.assert_ok()["response"],
        "Nothing."
    );
}
