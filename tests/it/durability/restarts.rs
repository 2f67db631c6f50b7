//! A deployment: an API that stops answers who waits for it, and everybody goes on with another.

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    events::{Sse, assert_well_formed, read_sse, stored, text},
    socket::Socket,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_stops_sends_everybody_on_to_another() {
    let staying = TestSystem::start().await;
    let no_worker = Options {
        workers: Some(0),
        ..Options::default()
    };
    let stopping = TestSystem::on(&staying.database_url, no_worker).await;
    let gate = Gate::closed();
    let held = gate.clone();
    let reply = "one two three four";
    staying
        .model
        .script(move |_| Turn::text(reply).gate_after(2, &held));

    // One waits, one streams, one has a socket: all at the API that stops.
    let waiting = stopping.post_chat("ada", &json!({"message": "wait"}));
    let waiting = tokio::spawn(Answer::of(waiting));
    let streaming = stopping
        .post_chat("bob", &json!({"message": "stream"}))
        .header("accept", "text/event-stream");
    let mut streaming = Sse::open(streaming).await;
    let mut socket = Socket::connect(&stopping, "cleo").await;
    let run = socket.call("run.start", json!({"message": "socket"})).await;
    gate.reached(3).await.unwrap();
    let is_text = |frame: &Value| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT";
    socket.until(is_text).await;
    let mut seen = streaming.until("TEXT_MESSAGE_CONTENT").await;
    stopping.stop().await;

    // Each is told in its own way that it goes on elsewhere.
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    let location = answer.header("location").to_owned();
    seen.extend(streaming.rest(usize::MAX).await);
    let ended = seen
        .iter()
        .any(|(_, event)| event["type"] == "RUN_FINISHED");
    assert!(!ended, "{seen:#?}");
    assert_eq!(socket.closed().await, 1012);

    gate.open();
    let path = location.strip_prefix("/api/ada/").expect("ada's run");
    let found = staying.get("ada", &format!("{path}?wait=20")).await;
    assert_eq!(found.assert_ok()["response"], reply);

    let id = seen[0].1["runId"].as_str().unwrap().to_owned();
    let rest = staying
        .request(Method::GET, "bob", &format!("runs/{id}/events"))
        .header("last-event-id", seen.last().unwrap().0);
    seen.extend(read_sse(rest, usize::MAX).await);
    assert_well_formed(&seen);
    assert_eq!(seen, stored(&staying, &id).await);

    let mut events = socket.events();
    let mut socket = Socket::connect(&staying, "cleo").await;
    let after = json!({"runId": run["runId"], "seq": events.last().map_or(0, |(seq, _)| *seq)});
    let subscribe = json!({"threadId": run["threadId"], "after": after});
    socket.call("subscribe", subscribe).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    events.extend(socket.events());
    assert_well_formed(&events);
    assert_eq!(text(&events), reply);
    assert_eq!(
        events,
        stored(&staying, run["runId"].as_str().unwrap()).await
    );
}
