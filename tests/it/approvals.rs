//! Approvals: a run pauses before a gated tool, holds nothing meanwhile, and goes on when its user has decided.

use errand_tests::model::{Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{
    Answer, Options, World, ag_ui,
    events::{assert_well_formed, kinds, read_sse, stored},
    socket::Socket,
};

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

/// A world where delete_task needs approval, with one worker of one slot and a task of ada's; the task's id.
async fn world() -> (World, String) {
    let world = World::with(gated(1)).await;
    world
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    world.model.push(Turn::text("Added."));
    let added = world.say("ada", "add buy milk").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let task = task.as_str().expect("an id").to_owned();
    (world, task)
}

/// Asks for the task to be deleted; the run that waits.
async fn ask(world: &World, task: &str) -> Value {
    world
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waits = world.say("ada", "delete it").await;
    assert_eq!(waits.status, 202, "{}", waits.body);
    assert_eq!(waits.body["status"], "waiting");
    waits.body
}

async fn decide(world: &World, user: &str, run: &Value, decision: Value) -> Answer {
    let path = format!("runs/{}/decision", run["run_id"].as_str().expect("a run"));
    Answer::of(world.request(Method::POST, user, &path).json(&decision)).await
}

async fn view(world: &World, run: &Value) -> Value {
    let path = format!("runs/{}", run.as_str().expect("a run"));
    world.get("ada", &path).await.assert_ok().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_call_waits_without_a_slot_and_is_made_once_approved() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    let waiting = view(&world, &run["run_id"]).await;
    assert_eq!(waiting["status"], "waiting");
    assert_eq!(waiting["tool_calls"], json!([]));
    let interrupt = &waiting["interrupts"][0];
    assert_eq!(
        interrupt["metadata"],
        json!({"toolName": "delete_task", "parameters": {"task_id": task}})
    );
    // The events end as AG-UI has it, with every call closed.
    let events = stored(&world, run["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "interrupt");
    assert_eq!(&last["outcome"]["interrupts"][0], interrupt);
    // The only slot is free, in another conversation and in this one.
    world.model.script(|_| Turn::text("Hello."));
    world.say("bob", "hi").await.assert_ok();
    world
        .say_in("ada", &run["conversation_id"], "and?")
        .await
        .assert_ok();
    assert_eq!(world.titles("ada").await, ["buy milk"]);

    let done = decide(&world, "ada", &run, json!({"approve": true})).await;
    let body = done.assert_ok();
    assert_eq!(body["response"], "Hello.");
    assert_eq!(body["tool_calls"][0]["tool_name"], "delete_task");
    assert_eq!(body["tool_calls"][0]["result"]["success"], true);
    assert_eq!(world.titles("ada").await, Vec::<String>::new());
    let before = view(&world, &run["run_id"]).await;
    assert_eq!(
        (&before["status"], &before["continued_by"]),
        (&json!("completed"), &body["run_id"])
    );
    let events = stored(&world, body["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    let result = events
        .iter()
        .find(|(_, event)| event["type"] == "TOOL_CALL_RESULT");
    assert_eq!(result.expect("a result").1["toolCallId"], interrupt["id"]);
    let logged = "select count(*) from approvals where approved and decided_at is not null";
    assert_eq!(world.count(logged).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_call_is_not_made_and_the_model_hears_of_it() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    world.model.push(Turn::text("I left it."));
    let done = decide(&world, "ada", &run, json!({"approve": false})).await;
    assert_eq!(done.assert_ok()["response"], "I left it.");
    let call = &done.body["tool_calls"][0];
    assert_eq!(call["result"]["success"], false, "{call}");
    assert_eq!(world.titles("ada").await, ["buy milk"]);
    let asked = world.model.requests().pop().expect("a request");
    let told = request::steps(&asked);
    assert_eq!(told.len(), 1, "the turn goes on from its recorded step");
    let messages = asked["messages"].to_string();
    assert!(
        messages.contains("The user rejected this call"),
        "{messages}"
    );
    // The message is said once, and the model was not asked for the call again.
    assert_eq!(messages.matches("delete it").count(), 1);
    assert_eq!(world.model.request_count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_comes_later_from_elsewhere_after_every_process_was_restarted() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    let url = world.database_url.clone();
    world.stop().await;

    let world = World::on(&url, gated(1)).await;
    world.model.push(Turn::text("Deleted."));
    let mut watching = Socket::connect(&world, "ada").await;
    watching
        .call("subscribe", json!({"threadId": run["conversation_id"]}))
        .await;
    // A tab that opens now sees the question again.
    let question = watching
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let interrupt = question["event"]["outcome"]["interrupts"][0]["id"].clone();
    let mut deciding = Socket::connect(&world, "ada").await;
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
    assert_eq!(world.titles("ada").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_taken_once_by_its_owner_and_for_every_call() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    world.model.script(|_| Turn::text("Done."));
    let child = uuid::Uuid::now_v7();
    decide(&world, "bob", &run, json!({"approve": true}))
        .await
        .assert_error(404, "not_found");
    for incomplete in [
        json!({"decisions": {"nothing": true}}),
        json!({}),
        json!({"approve": true, "decisions": {}}),
    ] {
        decide(&world, "ada", &run, incomplete)
            .await
            .assert_error(400, "invalid_request");
    }
    let yes = json!({"approve": true, "run_id": child});
    let (first, again) = tokio::join!(
        decide(&world, "ada", &run, yes.clone()),
        decide(&world, "ada", &run, yes)
    );
    for answer in [first, again] {
        assert_eq!(answer.assert_ok()["run_id"], child.to_string());
    }
    let same = decide(&world, "ada", &run, json!({"approve": true})).await;
    assert_eq!(same.assert_ok()["run_id"], child.to_string());
    decide(&world, "ada", &run, json!({"approve": false}))
        .await
        .assert_error(409, "invalid_request");
    let deleted = "select count(*) from tool_calls where tool_name = 'delete_task'";
    assert_eq!(world.count(deleted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_answer_wait_together_and_each_is_decided() {
    let (world, task) = world().await;
    world.model.push(
        Turn::call("add_task", json!({"title": "call Ann"}))
            .and_call("delete_task", json!({"task_id": task}))
            .and_call("delete_task", json!({"task_id": uuid::Uuid::nil()})),
    );
    let waits = world.say("ada", "tidy up").await;
    assert_eq!(waits.body["status"], "waiting", "{}", waits.body);
    // Nothing of the answer is done before all of it may be.
    assert_eq!(world.titles("ada").await, ["buy milk"]);
    let run = view(&world, &waits.body["run_id"]).await;
    let ids: Vec<_> = run["interrupts"]
        .as_array()
        .expect("interrupts")
        .iter()
        .map(|interrupt| interrupt["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 2);
    // The next answer needs approval again: a chain.
    world
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let half = decide(
        &world,
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
    assert_eq!(world.titles("ada").await, ["buy milk", "call Ann"]);
    world.model.push(Turn::text("Tidied."));
    let done = decide(&world, "ada", &half.body, json!({"approve": true})).await;
    assert_eq!(done.assert_ok()["response"], "Tidied.");
    assert_eq!(world.titles("ada").await, ["call Ann"]);
    let added = "select count(*) from tool_calls where tool_name = 'add_task' and run_id in (select id from runs where root_run_id is not null)";
    assert_eq!(world.count(added).await, 1);
    // A later turn sees the whole chain as one.
    world.model.push(Turn::text("You are welcome."));
    world
        .say_in("ada", &waits.body["conversation_id"], "thanks")
        .await
        .assert_ok();
    let asked = world.model.requests().pop().expect("a request");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_can_be_cancelled_and_who_repeats_a_message_hears_the_end() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    let path = format!("runs/{}/cancel", run["run_id"].as_str().expect("a run"));
    let cancelled = Answer::of(world.request(Method::POST, "ada", &path)).await;
    assert_eq!(cancelled.assert_ok()["status"], "cancelled");
    let events = stored(&world, run["run_id"].as_str().expect("a run")).await;
    assert_eq!(kinds(&events).last(), Some(&"RUN_FINISHED"));
    decide(&world, "ada", &run, json!({"approve": true}))
        .await
        .assert_error(409, "invalid_request");

    world
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let post = || {
        world
            .post_chat("ada", &json!({"message": "delete it"}))
            .header("idempotency-key", "k")
    };
    let waits = Answer::of(post()).await;
    assert_eq!(waits.body["status"], "waiting");
    world.model.push(Turn::text("Deleted."));
    decide(&world, "ada", &waits.body, json!({"approve": true}))
        .await
        .assert_ok();
    assert_eq!(Answer::of(post()).await.assert_ok()["response"], "Deleted.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ag_ui_client_resumes_with_a_run_of_its_own() {
    let (world, task) = world().await;
    let run = ask(&world, &task).await;
    let run = view(&world, &run["run_id"]).await;
    world.model.push(Turn::text("Deleted."));
    let child = uuid::Uuid::now_v7();
    let resume = |payload: Value| {
        let body = json!({
            "threadId": run["conversation_id"], "runId": child, "state": {}, "messages": [], "tools": [], "context": [],
            "resume": [{"interruptId": run["interrupts"][0]["id"], "status": "resolved", "payload": payload}],
        });
        world
            .post_chat("ada", &body)
            .header("accept", "text/event-stream")
    };
    let events = read_sse(resume(json!({"approved": true})), usize::MAX).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "success");
    assert_eq!(last["runId"], child.to_string());
    assert_eq!(world.titles("ada").await, Vec::<String>::new());
    // The stream again, not the effect.
    assert_eq!(read_sse(resume(json!(true)), usize::MAX).await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ag_ui_client_answers_and_goes_on() {
    let (world, task) = world().await;
    world
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    world.model.push(Turn::text("Deleted."));
    let thread = uuid::Uuid::now_v7().to_string();
    let Some(made) = ag_ui::turn(&world, &thread, "delete it").await else {
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
    assert_eq!(world.titles("ada").await, Vec::<String>::new());
}
