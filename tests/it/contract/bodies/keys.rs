//! Keys that stand twice.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{message, post_raw, stream_raw};
use crate::system::{Options, TestSystem, socket::Socket};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_twice_is_refused_at_any_depth() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let bodies = [
        (r#"{"message":"a","message":"b"}"#, "message"),
        (r#"{"message":"a","\u006dessage":"b"}"#, "message"),
        (
            r#"{"message":"a","metadata":{"x":[{"y":{"same":1,"z":2,"same":1}}]}}"#,
            "same",
        ),
        (r#"{"message":"a","metadata":{"":1,"":2}}"#, ""),
    ];
    for (body, key) in bodies {
        let refused = post_raw(&system, "chat", body).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], key, "{}", refused.body);
        assert!(message(&refused).contains("twice"), "{}", refused.body);
        stream_raw(&system, body)
            .await
            .assert_error(400, "invalid_request");
    }
    // Also in what is skipped of AG-UI's input.
    let (thread, run) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    let input = |state: &str| {
        format!(
            r#"{{"threadId":"{thread}","runId":"{run}","state":{state},"messages":[{{"role":"user","content":"hi"}}]}}"#
        )
    };
    let refused = stream_raw(&system, input(r#"{"a":{"b":1,"b":2}}"#)).await;
    assert_eq!(
        refused.assert_error(400, "invalid_request")["field"],
        json!("b")
    );
    // The same key in two objects is no such thing, nor is a text that looks like one.
    let fine = r#"{"message":"{\"a\":1,\"a\":2}","metadata":{"a":{"a":["a","a",{"a":":"}]},"b":{"a":"\\"}}}"#;
    post_raw(&system, "chat", fine).await.assert_ok();
    assert_eq!(stream_raw(&system, input("{}")).await.status, 200);
    assert_eq!(system.count("select count(*) from runs").await, 2);
    // However deep it goes, there is an answer.
    for depth in [100, 1_000, 100_000] {
        let deep = format!(
            r#"{{"message":"hi","metadata":{{"a":{}1{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let answer = post_raw(&system, "chat", deep).await;
        match depth {
            100 => drop(answer.assert_ok()),
            _ => drop(answer.assert_error(400, "invalid_request")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_that_is_answered_twice_is_not_approved() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "keep me"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add keep me").await;
    let task = added.assert_ok()["tool_calls"][0]["result"]["task_id"].clone();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waits = system.say("ada", "delete it").await;
    let run = waits.body["run_id"].as_str().expect("a run").to_owned();
    let view = system.get("ada", &format!("runs/{run}")).await;
    let id = view.assert_ok()["interrupts"][0]["id"].clone();
    let path = format!("runs/{run}/decision");
    for body in [
        format!(r#"{{"decisions":{{{id}:false,{id}:true}}}}"#),
        r#"{"approve":false,"approve":true}"#.to_owned(),
    ] {
        let refused = post_raw(&system, &path, body).await;
        refused.assert_error(400, "invalid_request");
    }
    let mut socket = Socket::connect(&system, "ada").await;
    socket
        .send(&format!(
            r#"{{"id":"twice","method":"run.decide","params":{{"runId":"{run}","decisions":{{{id}:false,{id}:true}}}}}}"#
        ))
        .await;
    let refused = socket.until(|frame| frame["id"] == "twice").await;
    assert_eq!(refused["error"], "invalid_request", "{refused}");
    // AG-UI answers with a list.
    let entry = |approved| json!({"interruptId": id, "status": "resolved", "payload": {"approved": approved}});
    let resume = json!({"threadId": waits.body["conversation_id"], "runId": uuid::Uuid::now_v7(), "messages": [],
        "resume": [entry(false), entry(true)]});
    let refused = stream_raw(&system, resume.to_string()).await;
    assert_eq!(
        refused.assert_error(400, "invalid_request")["field"],
        "resume"
    );
    let view = system.get("ada", &format!("runs/{run}")).await;
    assert_eq!(view.assert_ok()["status"], "waiting");
    assert_eq!(system.titles("ada").await, ["keep me"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_with_a_key_twice_is_answered_or_closes() {
    let system = TestSystem::start().await;
    let mut socket = Socket::connect(&system, "ada").await;
    // It says which call it is: that one is refused, by the key's name.
    for (id, rest) in [
        (
            "1",
            r#""method":"run.start","params":{"message":"a","message":"b"}"#,
        ),
        ("2", r#""method":"ping","params":{"a":{"b":1,"b":1}}"#),
        ("3", r#""method":"ping","b":1,"b":1"#),
    ] {
        socket.send(&format!(r#"{{"id":"{id}",{rest}}}"#)).await;
        let answer = socket.until(|frame| frame["id"] == id).await;
        assert_eq!(answer["error"], "invalid_request", "{answer}");
        let key = if id == "1" { "message" } else { "b" };
        let said = answer["message"].as_str().expect("a message");
        assert!(
            said.contains(&format!("\"{key}\"")) && said.contains("twice"),
            "{answer}"
        );
    }
    assert_eq!(socket.call("ping", json!({})).await["type"], "success");
    assert_eq!(system.count("select count(*) from runs").await, 0);
    // It does not.
    for frame in [
        r#"{"id":"a","id":"b","method":"ping"}"#,
        r#"{"id":"a","method":"run.cancel","method":"ping"}"#,
    ] {
        let mut socket = Socket::connect(&system, "ada").await;
        socket.send(frame).await;
        assert_eq!(socket.closed().await, 4400, "{frame}");
    }
}
