//! `POST /chat` and the reads: every row of the HTTP contract.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem};

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_adds_a_task_and_returns_its_tool_calls() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})).usage(100, 7));
    system.model.push(Turn::text("Done.").usage(120, 3));

    let answer = system.say("ada", "add buy milk").await;

    let body = answer.assert_ok();
    assert_eq!(body["response"], "Done.");
    let call = &body["tool_calls"][0];
    assert_eq!(call["tool_name"], "add_task");
    assert_eq!(
        call["parameters"],
        json!({"user_id": "ada", "title": "buy milk"})
    );
    assert_eq!(call["result"]["success"], true);
    assert_eq!(
        call["result"]
            .as_object()
            .and_then(|result| result.keys().next())
            .map(String::as_str),
        Some("success")
    );
    assert_eq!(
        body["usage"],
        json!({"input_tokens": 220, "output_tokens": 10, "model_calls": 2})
    );
    assert_eq!(system.titles("ada").await, ["buy milk"]);

    let run = system
        .get("ada", &format!("runs/{}", body["run_id"].as_str().unwrap()))
        .await;
    let run = run.assert_ok();
    for field in [
        "response",
        "tool_calls",
        "conversation_id",
        "message_id",
        "run_id",
        "usage",
    ] {
        assert_eq!(run[field], body[field], "{field}");
    }
    assert_eq!(
        (run["status"].as_str(), run["attempt"].as_i64()),
        (Some("completed"), Some(1))
    );
    assert!(
        run["created_at"].is_string()
            && run["started_at"].is_string()
            && run["finished_at"].is_string()
    );
    assert!(run.get("error").is_none());

    let conversation = body["conversation_id"].as_str().unwrap();
    let messages = system
        .get("ada", &format!("conversations/{conversation}/messages"))
        .await;
    let messages = messages.assert_ok()["messages"].as_array().unwrap().clone();
    let said: Vec<_> = messages
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [("user", "add buy milk"), ("assistant", "Done.")]);
    assert_eq!(messages[1]["id"], body["message_id"]);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_shown_the_conversation_and_no_user() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    system.model.push(Turn::text("You said so."));
    let first = system.say("ada", "add buy milk").await;
    system
        .say_in(
            "ada",
            &first.assert_ok()["conversation_id"],
            "what did I say?",
        )
        .await
        .assert_ok();

    let requests = system.model.requests();
    let roles: Vec<_> = requests[2]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "assistant", "user"]
    );
    let tools = requests[0]["tools"].as_array().unwrap();
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "add_task",
            "list_tasks",
            "complete_task",
            "delete_task",
            "update_task"
        ]
    );
    assert!(!requests[0]["tools"].to_string().contains("user_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_400_and_change_nothing() {
    let system = TestSystem::start().await;
    let bodies = [
        json!({}),
        json!({"message": ""}),
        json!({"message": "x".repeat(8001)}),
        json!({"message": 5}),
        json!({"message": "a\u{0}b"}),
        json!({"message": "hi", "conversation_id": "not-a-uuid"}),
        json!({"message": "hi", "unknown": 1}),
        json!({"message": "hi", "user_id": "eve"}),
        json!({"message": "hi", "metadata": "text"}),
        json!({"message": "hi", "metadata": {"deep": ["\u{0}"]}}),
        json!({"message": "hi", "on_busy": "sometimes"}),
        json!("hi"),
    ];
    for body in bodies {
        Answer::of(system.post_chat("ada", &body))
            .await
            .assert_error(400, "invalid_request");
    }
    for raw in ["{", "", "{\"message\":\"\\ud800\"}", "[[[["] {
        let request = system
            .request(Method::POST, "ada", "chat")
            .header("content-type", "application/json")
            .body(raw);
        Answer::of(request)
            .await
            .assert_error(400, "invalid_request");
    }
    for key in ["", &"k".repeat(256), "a\tb"] {
        let request = system
            .post_chat("ada", &json!({"message": "hi"}))
            .header("idempotency-key", key);
        Answer::of(request)
            .await
            .assert_error(400, "invalid_request");
    }
    assert_eq!(system.count("select count(*) from runs").await, 0);
    assert_eq!(system.count("select count(*) from conversations").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn size_and_type_of_the_body_are_checked() {
    let system = TestSystem::start().await;
    let large = json!({"message": "hi", "metadata": {"x": "y".repeat(70_000)}});
    let refused = Answer::of(system.post_chat("ada", &large)).await;
    refused.assert_error(413, "payload_too_large");
    // What is left of a body makes a connection useless for the next request; a client has to know.
    assert_eq!(refused.header("connection"), "close");
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = system
            .request(Method::POST, "ada", "chat")
            .header("content-type", content_type);
        Answer::of(request.body("{\"message\":\"hi\"}"))
            .await
            .assert_error(415, "unsupported_media_type");
    }
    let request = system
        .request(Method::POST, "ada", "chat")
        .body("{\"message\":\"hi\"}");
    Answer::of(request)
        .await
        .assert_error(415, "unsupported_media_type");
    // 8000 characters are allowed, whatever their bytes; and a charset is no other type.
    system.model.push(Turn::text("Long."));
    let request = system
        .request(Method::POST, "ada", "chat")
        .header("content-type", "application/json; charset=utf-8");
    let body =
        json!({"message": "é".repeat(8000), "metadata": {"timestamp": "now", "source": "test"}})
            .to_string();
    Answer::of(request.body(body)).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_first_is_202_and_the_run_goes_on() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::text("At last.").gate_after(0, &gate));

    let request = system
        .post_chat("ada", &json!({"message": "take your time"}))
        .header("prefer", "wait=1");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let run = answer.body["run_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/ada/runs/{run}"));
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.body["status"], "running");
    assert!(answer.body["conversation_id"].is_string());

    // A long poll hears of the end as it comes.
    let poll = tokio::spawn(
        system
            .request(Method::GET, "ada", &format!("runs/{run}?wait=30"))
            .send(),
    );
    gate.open();
    let polled: Value = poll.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(
        (polled["status"].as_str(), polled["response"].as_str()),
        (Some("completed"), Some("At last."))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_answers_at_once() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let request = system
        .post_chat("ada l@ve", &json!({"message": "later"}))
        .header("prefer", "respond-async");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(answer.body["status"], "queued");
    // The user's id is any text; in the Location it is escaped.
    assert!(
        answer
            .header("location")
            .starts_with("/api/ada%20l@ve/runs/"),
        "{:?}",
        answer.headers
    );
    let run = system
        .get(
            "ada l@ve",
            &format!("runs/{}", answer.body["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(run.assert_ok()["tool_calls"], json!([]));
    assert!(run.body.get("started_at").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_the_same_body_is_one_run() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "once"})).gate_after(0, &gate));
    system.model.push(Turn::text("Once."));
    let post = |body: Value| {
        system
            .post_chat("ada", &body)
            .header("idempotency-key", "\"key 1\"")
    };
    let body = json!({"message": "add once", "metadata": {"a": 1, "b": 2}});

    let first = tokio::spawn(post(body.clone()).send());
    system.model.requests_seen(1).await.unwrap();
    // While it runs, whatever the order of fields.
    let second =
        tokio::spawn(post(json!({"metadata": {"b": 2, "a": 1}, "message": "add once"})).send());
    Answer::of(post(json!({"message": "add twice"})))
        .await
        .assert_error(422, "idempotency_key_reused");
    gate.open();
    let first: Value = first.await.unwrap().unwrap().json().await.unwrap();
    let second: Value = second.await.unwrap().unwrap().json().await.unwrap();
    // And when it is over.
    let third = Answer::of(post(body)).await;
    assert_eq!(first["response"], "Once.");
    assert_eq!(first, second);
    assert_eq!(first, *third.assert_ok());
    assert_eq!(system.titles("ada").await, ["once"]);
    assert_eq!(system.count("select count(*) from messages").await, 2);

    // Another user's key is another key.
    system.model.push(Turn::text("Hello, Bob."));
    let bobs = system
        .post_chat("bob", &json!({"message": "hello"}))
        .header("idempotency-key", "key-1");
    assert_eq!(
        Answer::of(bobs).await.assert_ok()["response"],
        "Hello, Bob."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_runs_answer_with_their_code() {
    let system = TestSystem::with(Options {
        worker: vec!["--run-timeout", "2s", "--max-steps", "3"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::status(401).body(json!({"error": {"message": "secret-internal-detail"}})));
    let refused = system.say("ada", "hello").await;
    let details = refused.assert_error(502, "model_error");
    assert!(!refused.body.to_string().contains("secret-internal-detail"));
    let run = system
        .get(
            "ada",
            &format!("runs/{}", details["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(run.assert_ok()["status"], "failed");
    assert_eq!(run.body["error"]["code"], "model_error");

    system.model.script(|_| Turn::text("never").stall_after(1));
    let slow = system.say("ada", "hello").await;
    assert!(slow.assert_error(504, "run_timeout")["run_id"].is_string());

    system.model.script(|_| Turn::call("list_tasks", json!({})));
    let endless = system.say("ada", "hello").await;
    assert!(endless.assert_error(500, "run_failed")["run_id"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_cancels_nothing() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "still there"})).gate_after(0, &gate));
    system.model.push(Turn::text("Done."));
    let hasty = system
        .post_chat("ada", &json!({"message": "add"}))
        .timeout(Duration::from_millis(300))
        .send()
        .await;
    assert!(hasty.is_err());
    gate.open();
    system
        .until("select count(*) from runs where status = 'completed'", 1)
        .await;
    assert_eq!(system.titles("ada").await, ["still there"]);
}
