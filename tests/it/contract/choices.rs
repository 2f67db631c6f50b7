//! What a client chooses with a message: the model, from a list; and by AG-UI what a plain body has in its metadata.

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    events::{kinds, read_sse},
    socket::Socket,
};

async fn with_models() -> TestSystem {
    TestSystem::with(Options {
        api: vec!["--openai-allowed-models", "large, small"],
        worker: vec!["--openai-allowed-models", "large, small"],
        ..Options::default()
    })
    .await
}

fn input(run: &str, message: &str, props: Value) -> Value {
    json!({"threadId": "thread", "runId": run, "messages": [{"id": "1", "role": "user", "content": message}], "forwardedProps": props})
}

fn stream(system: &TestSystem, body: &Value) -> reqwest::RequestBuilder {
    let request = system.post_chat("ada", body);
    request.header("accept", "text/event-stream")
}

/// The models that were asked, in order.
fn asked(system: &TestSystem) -> Vec<String> {
    let requests = system.model.requests().into_iter();
    let models = requests.map(|request| request["model"].as_str().expect("a model").to_owned());
    models.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_by_the_model_that_it_asks_for() {
    let system = with_models().await;
    let delete = json!({"task_id": "01a21922-7d17-714a-ae57-bff4a79dc643"});
    // By the plain body; it holds for all the turn, and for no other.
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::text("Nothing."));
    let body = json!({"message": "what is there?", "metadata": {"model": "large"}});
    let request = system.post_chat("ada", &body).header("prefer", "wait=60");
    let first = Answer::of(request).await;
    let first = first.assert_ok();
    system.model.push(Turn::text("Still nothing."));
    system
        .say_in("ada", &first["conversation_id"], "and now?")
        .await
        .assert_ok();
    assert_eq!(asked(&system), ["large", "large", "scripted"]);
    // By AG-UI, and by the socket.
    system.model.push(Turn::text("Hello."));
    let events = read_sse(
        stream(&system, &input("1", "hello", json!({"model": "small"}))),
        usize::MAX,
    )
    .await;
    let last = &events.last().expect("events").1;
    assert_eq!(last["usage"][0]["model"], "small", "{last}");
    let mut socket = Socket::connect(&system, "ada").await;
    system.model.push(Turn::call("delete_task", delete));
    system.model.push(Turn::text("There is none."));
    let started = socket
        .call(
            "run.start",
            json!({"message": "delete it", "model": "small"}),
        )
        .await;
    let run = started["runId"].as_str().expect("a run").to_owned();
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == run)
        .await;
    assert_eq!(asked(&system)[3..], ["small", "small", "small"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_on_the_list_is_refused_and_without_a_list_metadata_are_free() {
    let system = with_models().await;
    for model in [
        json!("scripted"),
        json!("huge"),
        json!(7),
        json!({"large": true}),
    ] {
        let body = json!({"message": "hello", "metadata": {"model": model}});
        let answer = Answer::of(system.post_chat("ada", &body)).await;
        let details = answer.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "metadata.model");
        assert_eq!(details["valid"], json!(["large", "small"]));
        let request = stream(&system, &input("1", "hello", json!({"model": model})));
        let details = Answer::of(request).await;
        assert_eq!(
            details.assert_error(400, "invalid_request")["field"],
            "forwardedProps.model"
        );
    }
    let mut socket = Socket::connect(&system, "ada").await;
    socket
        .send(&json!({"id": "s", "method": "run.start", "params": {"message": "hello", "model": "huge"}}).to_string())
        .await;
    let refused = socket.until(|frame| frame["id"] == "s").await;
    assert_eq!(refused["error"], "invalid_request", "{refused}");
    assert_eq!(system.count("select count(*) from messages").await, 0);

    let free = TestSystem::start().await;
    free.model.push(Turn::text("Hello."));
    let body = json!({"message": "hello", "metadata": {"model": {"of": "a car"}}});
    let request = free.post_chat("ada", &body).header("prefer", "wait=60");
    Answer::of(request).await.assert_ok();
    assert_eq!(asked(&free), ["scripted"]);
}

/// A decision goes on with the model that the message has asked for, in another process, and so does an attempt after another.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_from_a_run_is_answered_by_its_model() {
    let system = with_models().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add buy milk").await;
    let id = added.assert_ok()["tool_calls"][0]["result"]["task_id"].clone();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": id})));
    system.model.push(Turn::text("Gone."));
    let props = json!({"model": "large", "askBeforeDeleting": true});
    let events = read_sse(stream(&system, &input("1", "delete it", props)), usize::MAX).await;
    let end = &events.last().expect("events").1;
    assert_eq!(end["outcome"]["type"], "interrupt", "{:?}", kinds(&events));
    let resume = json!([{"interruptId": end["outcome"]["interrupts"][0]["id"], "status": "resolved", "payload": {"approved": true}}]);
    let body = json!({"threadId": "thread", "runId": "2", "messages": [], "resume": resume});
    let events = read_sse(stream(&system, &body), usize::MAX).await;
    assert_eq!(
        events.last().expect("events").1["outcome"]["type"],
        "success"
    );
    assert_eq!(asked(&system)[2..], ["large", "large"]);
    assert!(system.titles("ada").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_ag_ui_a_title_can_be_asked_for_and_whatever_else_props_hold_is_the_applications() {
    let system = TestSystem::start().await;
    system.model.entitle("A good morning");
    system.model.push(Turn::text("Hello."));
    let props =
        json!({"autoTitle": true, "askBeforeDeleting": "yes", "model": 7, "theme": {"dark": true}});
    read_sse(
        stream(&system, &input("1", "good morning", props)),
        usize::MAX,
    )
    .await;
    let entitled = "select count(*) from conversations where title = 'A good morning'";
    system.until(entitled, 1).await;
    let kept = "select count(*) from messages where metadata = '{\"auto_title\": true}'";
    assert_eq!(system.count(kept).await, 1);
    let list = Answer::of(system.request(Method::GET, "ada", "conversations")).await;
    assert_eq!(
        list.assert_ok()["conversations"][0]["title"],
        "A good morning"
    );
}
