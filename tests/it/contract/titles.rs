//! Titles that the model gives, where a client asks for one with the first message.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem, socket::Socket};

async fn title(system: &TestSystem, user: &str) -> String {
    let list = system.get(user, "conversations").await;
    let first = &list.assert_ok()["conversations"][0]["title"];
    first.as_str().expect("a title").to_owned()
}

async fn say(system: &TestSystem, message: &str, conversation: &Value) -> Answer {
    let body = json!({"message": message, "conversation_id": conversation, "metadata": {"auto_title": true}});
    Answer::of(system.post_chat("ada", &body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_gets_a_title_behind_its_first_reply() {
    let system = TestSystem::start().await;
    system.model.entitle("\"Milk for the weekend.\"\n");
    system
        .model
        .push(Turn::text("It is on your list.").usage(100, 10));
    let first = say(&system, "add milk please, for the weekend", &Value::Null).await;
    let first = first.assert_ok();
    assert_eq!(first["response"], "It is on your list.");
    let entitled = "select count(*) from conversations where title = 'Milk for the weekend'";
    system.until(entitled, 1).await;
    assert_eq!(title(&system, "ada").await, "Milk for the weekend");
    // It is paid for as everything is, and it is no part of the run.
    assert_eq!(first["usage"]["input_tokens"], 100);
    let today = "select (sum(tokens) > 110)::int::bigint from usage_days";
    assert_eq!(system.count(today).await, 1);
    let day = system.get("ada", "usage").await.assert_ok()["usage"][0].clone();
    let model = &day["models"][0];
    assert_eq!(model["model_calls"], 2, "{day}");
    let together = model["input_tokens"]
        .as_i64()
        .zip(model["output_tokens"].as_i64());
    assert_eq!(
        together.map(|(read, written)| read + written),
        day["tokens"].as_i64(),
        "{day}"
    );
    let asked = system.model.requests();
    let asked = asked.last().expect("a request").to_string();
    assert!(
        asked.contains("for the weekend") && !asked.contains("\"tools\""),
        "{asked}"
    );
    // Once, however often it is asked for; and never against the user's own word.
    system.model.entitle("Another");
    system.model.push(Turn::text("Yes."));
    say(&system, "and bread", &first["conversation_id"])
        .await
        .assert_ok();
    system.model.idle().await.expect("silence");
    assert_eq!(title(&system, "ada").await, "Milk for the weekend");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_given_a_title_who_does_not_ask_and_no_trouble_with_it_is_anybodys() {
    let system = TestSystem::start().await;
    system.model.entitle("Unasked");
    system.model.push(Turn::text("Hello."));
    system.say("bob", "hello there").await.assert_ok();
    assert_eq!(system.model.request_count(), 1);
    assert_eq!(title(&system, "bob").await, "hello there");

    system.model.entitle(&"much too long ".repeat(20));
    let mut socket = Socket::connect(&system, "ada").await;
    system.model.push(Turn::text("Hello."));
    let start = json!({"message": "good morning", "autoTitle": true});
    let started = socket.call("run.start", start).await;
    let run = started["runId"].as_str().expect("a run").to_owned();
    let frame = |frame: &Value| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == run;
    socket.until(frame).await;
    system
        .model
        .requests_seen(3)
        .await
        .expect("asked for a title");
    system.model.idle().await.expect("silence");
    assert_eq!(title(&system, "ada").await, "good morning");
}

/// A worker with one place takes the next run when the title of the one before has been dealt with.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_has_its_title_is_not_asked_about_again() {
    let system = TestSystem::with(Options {
        worker: vec!["--worker-concurrency", "1"],
        ..Options::default()
    })
    .await;
    system.model.entitle("Milk");
    for reply in ["One.", "Two.", "Three."] {
        system.model.push(Turn::text(reply));
    }
    let first = say(&system, "add milk", &Value::Null).await;
    let conversation = &first.assert_ok()["conversation_id"];
    let entitled = "select count(*) from conversations where title = 'Milk'";
    system.until(entitled, 1).await;
    say(&system, "and bread", conversation).await.assert_ok();
    system.say("ada", "hello").await.assert_ok();
    // Three replies and one title.
    assert_eq!(system.model.request_count(), 4);
}
