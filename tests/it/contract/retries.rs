//! Retries: a run that failed or was cancelled is gone on from behind what it has done, and nothing happens twice.

use errand_devkit::model::{Turn, request};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::system::{
    Answer, TestSystem,
    events::{assert_well_formed, read_sse, stored},
    socket::Socket,
};

mod bounds;

/// The model refuses for good.
fn refusal() -> Turn {
    Turn::status(400)
}

fn retry_of(system: &TestSystem, user: &str, run: &Value) -> RequestBuilder {
    let path = format!("runs/{}/retry", run.as_str().expect("a run"));
    system.request(Method::POST, user, &path)
}

async fn retry(system: &TestSystem, run: &Value) -> Answer {
    Answer::of(retry_of(system, "ada", run)).await
}

async fn view(system: &TestSystem, run: &Value) -> Value {
    let path = format!("runs/{}", run.as_str().expect("a run"));
    system.get("ada", &path).await.assert_ok().clone()
}

/// A run of ada's that failed after it had added this task; its id.
async fn failed(system: &TestSystem, title: &str) -> Value {
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    system.model.push(refusal());
    let answer = system.say("ada", &format!("add {title}")).await;
    answer.assert_error(502, "model_error")["run_id"].clone()
}

const SUCCESSORS: &str = "select count(*) from runs where parent_run_id is not null";

#[tokio::test(flavor = "multi_thread")]
async fn what_took_effect_before_a_stop_is_not_done_again() {
    let system = TestSystem::start().await;
    let add = |n: u8| json!({"title": format!("task {n}")});
    let mut turn = Turn::call("add_task", add(1));
    for n in 2..=4 {
        turn = turn.and_call("add_task", add(n));
    }
    system.model.push(turn);
    system.model.push(Turn::text("I have added").stall_after(2));
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket
        .call("run.start", json!({"message": "add four tasks"}))
        .await;
    let run = started["runId"].clone();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    socket.call("run.cancel", json!({"runId": run})).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;

    system.model.push(Turn::text("All four are there."));
    let again = socket.call("run.retry", json!({"runId": run})).await;
    assert_eq!(
        (&again["type"], &again["threadId"]),
        (&json!("success"), &started["threadId"]),
        "{again}"
    );
    let child = again["runId"].clone();
    assert_ne!(child, run);
    // The socket follows the run that goes on, and is told what it goes on from.
    let first = socket
        .until(|frame| frame["runId"] == child && frame["type"] == "event")
        .await;
    assert_eq!(
        (&first["event"]["type"], &first["event"]["parentRunId"]),
        (&json!("RUN_STARTED"), &run)
    );
    socket
        .until(|frame| frame["runId"] == child && frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(
        system.titles("ada").await,
        ["task 1", "task 2", "task 3", "task 4"]
    );
    // The model saw the message once, and what it had done.
    let asked = system.model.requests().pop().expect("a request");
    let messages = asked["messages"].to_string();
    assert_eq!(messages.matches("add four tasks").count(), 1, "{messages}");
    assert_eq!(request::steps(&asked).len(), 4, "{messages}");
    for n in 1..=4 {
        assert!(
            messages.contains(&format!("Added \\\\\\\"task {n}")),
            "{messages}"
        );
    }
    let done = view(&system, &child).await;
    assert_eq!(
        (&done["status"], &done["response"]),
        (&json!("completed"), &json!("All four are there."))
    );
    let stopped = view(&system, &run).await;
    assert_eq!(
        (&stopped["status"], &stopped["continued_by"]),
        (&json!("cancelled"), &child)
    );
    assert_well_formed(&stored(&system, child.as_str().expect("a run")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_fails_is_gone_on_from_too_and_the_turn_stays_one() {
    let system = TestSystem::start().await;
    let first = failed(&system, "buy milk").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "call Ann"})));
    system.model.push(refusal());
    let second = retry(&system, &first).await;
    let second = second.assert_error(502, "model_error")["run_id"].clone();
    system.model.push(Turn::text("Both are there."));
    let body = json!({});
    let third = Answer::of(retry_of(&system, "ada", &second).json(&body)).await;
    assert_eq!(third.assert_ok()["response"], "Both are there.");
    assert_eq!(system.titles("ada").await, ["buy milk", "call Ann"]);
    let asked = system.model.requests().pop().expect("a request");
    assert_eq!(request::steps(&asked).len(), 2);
    let (first_view, second_view) = (view(&system, &first).await, view(&system, &second).await);
    assert_eq!(
        (&first_view["continued_by"], &second_view["continued_by"]),
        (&second, &third.body["run_id"])
    );
    // Only the last run of a turn, and only if it did not come to its end.
    for run in [&first, &second, &third.body["run_id"]] {
        retry(&system, run)
            .await
            .assert_error(409, "invalid_request");
    }
    retry(&system, &json!(Uuid::now_v7()))
        .await
        .assert_error(404, "not_found");
    retry(&system, &json!("run-1"))
        .await
        .assert_error(404, "not_found");
    Answer::of(retry_of(&system, "bob", &first))
        .await
        .assert_error(404, "not_found");
    // To a later turn the three are one.
    system.model.push(Turn::text("You are welcome."));
    let conversation = &third.body["conversation_id"];
    system
        .say_in("ada", conversation, "thanks")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().expect("a request");
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .expect("messages")
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
            "assistant",
            "tool",
            "assistant",
            "user"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_retried_once_and_its_key_finds_the_run_again() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    system.model.script(|_| Turn::text("It is there."));
    let with_key = |key: &'static str, run: &Value| {
        Answer::of(retry_of(&system, "ada", run).header("idempotency-key", key))
    };
    let (one, other) = tokio::join!(with_key("again", &run), with_key("again", &run));
    let child = one.assert_ok()["run_id"].clone();
    assert_eq!(other.assert_ok()["run_id"], child);
    assert_eq!(
        with_key("again", &run).await.assert_ok()["run_id"],
        child,
        "later too"
    );
    with_key("another", &run)
        .await
        .assert_error(409, "invalid_request");
    // A key names one request, of whatever kind.
    let other_run = failed(&system, "call Ann").await;
    with_key("again", &other_run)
        .await
        .assert_error(422, "idempotency_key_reused");
    let chat = system
        .post_chat("ada", &json!({"message": "hi"}))
        .header("idempotency-key", "again");
    Answer::of(chat)
        .await
        .assert_error(422, "idempotency_key_reused");
    // Without a key one of two wins.
    let (one, other) = tokio::join!(retry(&system, &other_run), retry(&system, &other_run));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    // On the socket the client makes the id of the run that goes on.
    let third = failed(&system, "read").await;
    let mut socket = Socket::connect(&system, "ada").await;
    let child = Uuid::now_v7();
    let call = json!({"runId": third, "newRunId": child});
    for _ in 0..2 {
        let answer = socket.call("run.retry", call.clone()).await;
        assert_eq!(answer["runId"], child.to_string(), "{answer}");
    }
    let answer = socket.call("run.retry", json!({"runId": third})).await;
    assert_eq!(answer["error"], "invalid_request", "{answer}");
    // What the model is about to say is for the next one.
    let ended = system.get("ada", &format!("runs/{child}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "completed");
    let taken = json!({"runId": failed(&system, "write").await, "newRunId": third});
    let answer = socket.call("run.retry", taken).await;
    assert_eq!(answer["error"], "idempotency_key_reused", "{answer}");
    assert_eq!(system.count(SUCCESSORS).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_empty_and_the_answer_a_stream_if_asked_for() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    let request = || retry_of(&system, "ada", &run);
    Answer::of(request().json(&json!({"message": "again"})))
        .await
        .assert_error(400, "invalid_request");
    Answer::of(request().body("again"))
        .await
        .assert_error(415, "unsupported_media_type");
    system.model.push(Turn::text("It is there."));
    let events = read_sse(
        request()
            .header("content-type", "application/json")
            .header("accept", "text/event-stream"),
        usize::MAX,
    )
    .await;
    assert_well_formed(&events);
    assert_eq!(events[0].1["parentRunId"], run);
    assert_eq!(
        events.last().expect("events").1["outcome"]["type"],
        "success"
    );
    let run = failed(&system, "call Ann").await;
    let request = retry_of(&system, "ada", &run).header("prefer", "respond-async");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(
        answer
            .header("location")
            .ends_with(answer.body["run_id"].as_str().expect("a run"))
    );
}
