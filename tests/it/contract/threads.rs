//! AG-UI's input as its clients send it: the whole history each time, and threads and runs by names of their own.

use errand_devkit::model::{Turn, request};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::system::{
    Answer, Options, PATIENCE, TestSystem, ag_ui,
    events::{assert_well_formed, read_sse},
};

const MIB: usize = 1024 * 1024;

fn input(thread: &str, run: &str, messages: Value) -> Value {
    json!({"threadId": thread, "runId": run, "protocolVersion": "1.0", "state": {}, "tools": [], "context": [],
        "forwardedProps": {}, "messages": messages})
}

fn says(text: &str) -> Value {
    json!([{"id": "1", "role": "user", "content": text}])
}

fn post(system: &TestSystem, user: &str, body: &Value) -> reqwest::RequestBuilder {
    let request = system.post_chat(user, body);
    request.header("accept", "text/event-stream")
}

/// The beginning of a request with a body of so many bytes.
async fn upload(system: &TestSystem, user: &str, length: usize) -> TcpStream {
    let address = system.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST /api/{user}/chat HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nauthorization: Bearer {}\r\n\r\n",
        system.identity.token(user)
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket
}

/// The status of the answer.
async fn status(socket: &mut TcpStream) -> String {
    let mut line = [0; "HTTP/1.1 200".len()];
    let read = timeout(PATIENCE, socket.read_exact(&mut line));
    read.await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&line[9..]).into_owned()
}

/// A history of at least so many bytes, with `last` at its end.
fn history(bytes: usize, last: &str) -> Value {
    let mut messages = Vec::new();
    for n in 0..bytes / 1_024 {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        messages.push(json!({"id": n.to_string(), "role": role, "content": "x".repeat(1_000)}));
    }
    messages.push(json!({"content": last, "role": "user", "id": "last"}));
    messages.push(json!({"id": "tool", "role": "tool", "toolCallId": "t", "content": "{}"}));
    Value::Array(messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_skipped_and_its_last_message_heard() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    for bytes in [70_000, 300_000, 7 * MIB] {
        let thread = uuid::Uuid::now_v7().to_string();
        let run = uuid::Uuid::now_v7().to_string();
        let said = format!("with {bytes} bytes before it");
        let body = input(&thread, &run, history(bytes, &said));
        assert!(body.to_string().len() > bytes);
        let events = read_sse(post(&system, "ada", &body), usize::MAX).await;
        assert_well_formed(&events);
        let asked = system.model.requests().pop().expect("a request");
        assert_eq!(request::last_user(&asked), said);
    }
    assert_eq!(system.count("select count(*) from messages").await, 6);
    // A byte more than may be, of a body that does not say how long it is; and of one that does, which is not read at all.
    let chunks = (0..=8).map(|n| Ok::<_, std::io::Error>(vec![b' '; if n < 8 { MIB } else { 1 }]));
    let unannounced = system
        .request(Method::POST, "ada", "chat")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(futures::stream::iter(chunks)));
    let refused = Answer::of(unannounced).await;
    refused.assert_error(413, "payload_too_large");
    let mut announced = upload(&system, "ada", 8 * MIB + 1).await;
    announced.write_all(b"{").await.expect("sent");
    assert_eq!(status(&mut announced).await, "413");
    // Where no events are wanted, it can be no input of AG-UI's.
    let body = input("t", "r", history(300_000, "no"));
    Answer::of(system.post_chat("ada", &body))
        .await
        .assert_error(413, "payload_too_large");
    assert_eq!(system.count("select count(*) from runs").await, 3);
}

/// A process holds few large bodies at a time; whoever sends slowly is in the way of none but its own user.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_in_nobody_elses_way() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let body = input("t", "slow", history(MIB, "slow")).to_string();
    let mut slow = Vec::new();
    for _ in 0..9 {
        let mut upload = upload(&system, "ada", body.len()).await;
        upload
            .write_all(&body.as_bytes()[..MIB])
            .await
            .expect("sent");
        slow.push(upload);
    }
    let other = input("t", "r", history(MIB, "hi"));
    let events = read_sse(post(&system, "bob", &other), usize::MAX).await;
    assert_well_formed(&events);
    // Her small messages do not wait either; and all of the large ones are heard in their turn.
    system.say("ada", "hi").await.assert_ok();
    // In whichever order they have got in.
    let rest = &body.as_bytes()[MIB..];
    let finish = slow.iter_mut().map(async |upload| {
        upload.write_all(rest).await.expect("sent");
        assert_eq!(status(upload).await, "200");
    });
    futures::future::join_all(finish).await;
    assert_eq!(system.count("select count(*) from runs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_may_be_what_could_not_be_said() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    // Half a surrogate, as JavaScript writes a text that was cut; contents of every kind.
    let earlier = r#"{"role":"user","content":"\ud83d"},{"role":"assistant","content":null,"toolCalls":[]},
        {"role":"user","content":[{"type":"binary","data":"AAAA"}]},{"role":"activity","content":{"a":[1]}}"#;
    let body = |last: &str| {
        format!(
            r#"{{"threadId":"t","runId":"{}","state":null,"resume":null,"messages":[{earlier},{last}]}}"#,
            uuid::Uuid::now_v7()
        )
    };
    let send = |last: &str| {
        let request = system.request(Method::POST, "ada", "chat");
        let request = request
            .header("accept", "text/event-stream")
            .header("content-type", "application/json");
        request.body(body(last))
    };
    let parts = r#"{"role":"user","content":[{"type":"text","text":"one "},{"type":"binary","data":"AA"},{"type":"text","text":"two"}]}"#;
    let events = read_sse(send(parts), usize::MAX).await;
    assert_well_formed(&events);
    let asked = system.model.requests().pop().expect("a request");
    assert_eq!(request::last_user(&asked), "one two");
    for last in [
        r#"{"role":"user","content":"\ud83d"}"#,
        r#"{"role":"user","content":{"text":"no"}}"#,
        r#"{"role":"user","content":[{"type":"binary","data":"AA"}]}"#,
        r#"{"role":"user"}"#,
        "7",
    ] {
        let refused = Answer::of(send(last)).await;
        refused.assert_error(400, "invalid_request");
    }
    assert_eq!(system.count("select count(*) from runs").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_by_any_name_is_a_conversation_of_its_user() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let longest = "\u{1f600}".repeat(128);
    for name in ["thread-1", "main chat / 2", longest.as_str()] {
        let first = input(name, "run one", says("first"));
        let events = read_sse(post(&system, "ada", &first), usize::MAX).await;
        assert_well_formed(&events);
        // The client is told of its own names.
        for (_, event) in [&events[0], events.last().expect("events")] {
            assert_eq!(
                (&event["threadId"], &event["runId"]),
                (&json!(name), &json!("run one")),
                "{event}"
            );
        }
        let second = input(name, &format!("{name}'s second"), says("second"));
        if name == "thread-1" {
            // The same run again is the same run; its name with another message is another's.
            assert_eq!(
                read_sse(post(&system, "ada", &first), usize::MAX).await,
                events
            );
            let other = input(name, "run one", says("something else"));
            Answer::of(post(&system, "ada", &other))
                .await
                .assert_error(422, "idempotency_key_reused");
            // It was ada's: bob has a thread and a run of his own by these names.
            read_sse(post(&system, "bob", &first), usize::MAX).await;
            read_sse(post(&system, "ada", &second), usize::MAX).await;
            break;
        }
    }
    let conversations = "select count(distinct conversation_id) from runs where user_id = 'ada'";
    assert_eq!(system.count(conversations).await, 1);
    assert_eq!(
        system
            .count("select count(*) from runs where user_id = 'ada'")
            .await,
        2
    );
    // The names of others are as good.
    for name in ["main chat / 2", longest.as_str()] {
        let run = format!("{}-run", &name[..4]);
        let events = read_sse(
            post(&system, "ada", &input(name, &run, says("hi"))),
            usize::MAX,
        )
        .await;
        assert_eq!(events[0].1["threadId"], name);
    }
    assert_eq!(system.count(conversations).await, 3);
    assert_eq!(system.count("select count(*) from conversations").await, 4);
    // Elsewhere the conversation has its id: the stream says where its run is.
    let named = post(&system, "ada", &input("thread-1", "third", says("third")));
    let answer = Answer::of(named).await;
    let run = answer.header("content-location").to_owned();
    let run = run.strip_suffix("/events").expect("the run's events");
    let view = system
        .get("ada", run.strip_prefix("/api/ada/").expect("a path"))
        .await;
    let conversation = &view.assert_ok()["conversation_id"];
    system
        .say_in("ada", conversation, "fourth")
        .await
        .assert_ok();
    system
        .say_in("bob", conversation, "not his")
        .await
        .assert_error(404, "not_found");
    let id = conversation.as_str().expect("an id");
    let messages = system
        .get("ada", &format!("conversations/{id}/messages"))
        .await;
    let said = messages.assert_ok()["messages"].as_array().expect("a list");
    assert_eq!(said.len(), 8);
}

/// Whoever knows another's name and threads cannot get ahead of them: no id follows from a name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_no_id_that_others_could_take_first() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    for user in ["ada", "bob"] {
        let events = read_sse(
            post(&system, user, &input("main", "r", says("hi"))),
            usize::MAX,
        );
        events.await;
    }
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("select id from conversations")
        .fetch_all(&system.db)
        .await
        .expect("ids");
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_messages_at_once_open_a_named_thread_once() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let send = |n: usize| {
        let body = input("main", &format!("run {n}"), says("hi"));
        let request = post(&system, "ada", &body);
        async { read_sse(request, 0).await }
    };
    futures::future::join_all((0..8).map(send)).await;
    system.until("select count(*) from runs", 8).await;
    assert_eq!(system.count("select count(*) from conversations").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_in_a_named_thread_goes_on_there() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "add_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let asked = input("main", "asks", says("add it"));
    let events = read_sse(post(&system, "ada", &asked), usize::MAX).await;
    let (_, last) = events.last().expect("events");
    let interrupt = &last["outcome"]["interrupts"][0]["id"];
    assert!(interrupt.is_string(), "{last}");
    let resume = |thread: &str| {
        let mut body = input(thread, "goes on", says("add it"));
        body["resume"] = json!([{"interruptId": interrupt, "status": "resolved", "payload": {"approved": true}}]);
        body
    };
    Answer::of(post(&system, "ada", &resume("another")))
        .await
        .assert_error(404, "not_found");
    Answer::of(post(&system, "bob", &resume("main")))
        .await
        .assert_error(404, "not_found");
    let events = read_sse(post(&system, "ada", &resume("main")), usize::MAX).await;
    assert_well_formed(&events);
    assert_eq!(
        (&events[0].1["threadId"], &events[0].1["runId"]),
        (&json!("main"), &json!("goes on"))
    );
    assert_eq!(system.count("select count(*) from conversations").await, 1);
}

/// npm's `@ag-ui/client`, unchanged, in a thread that it calls by a name, with all that was said there before.
#[tokio::test(flavor = "multi_thread")]
async fn the_stock_client_goes_on_with_a_long_history() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    for (n, bytes) in [0, 80_000, 1_000_000].into_iter().enumerate() {
        let said = format!("message {n}");
        let Some(turn) = ag_ui::turn_after(&system, "my thread", &said, bytes).await else {
            return;
        };
        let types = turn["types"].as_array().expect("types");
        assert_eq!(types.last(), Some(&json!("RUN_FINISHED")), "{types:?}");
        assert_eq!(turn["threadIds"], json!(["my thread", "my thread"]));
        let asked = system.model.requests().pop().expect("a request");
        assert_eq!(request::last_user(&asked), said);
    }
    assert_eq!(system.count("select count(*) from conversations").await, 1);
    assert_eq!(system.count("select count(*) from runs").await, 3);
}
