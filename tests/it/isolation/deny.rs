//! Policies that let nothing through: what still works then does not act for its user.

use errand_devkit::model::{Gate, Turn};
use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::matrix::{self, Matrix};
use crate::system::{Answer, TestSystem, openapi::Belongings, rows, socket::Socket};

async fn deny_all(system: &TestSystem) {
    for (table, _) in rows::TABLES {
        let deny = format!("alter policy own_rows on {table} using (false)");
        rows::execute(&system.db, &deny).await;
    }
}

/// Every operation, by the owner of everything it names.
#[tokio::test(flavor = "multi_thread")]
async fn no_route_works_past_the_policies() {
    let matrix = Matrix::build().await;
    let (system, ids) = (
        &matrix.system,
        Belongings {
            key: None,
            ..matrix.ids.clone()
        },
    );
    deny_all(system).await;
    let before = rows::of(&system.db, "ada").await;
    let token = system.identity.token("ada");
    for operation in matrix.for_users() {
        let request = operation.request(system, "ada", &ids).bearer_auth(&token);
        let answer = Answer::of(request).await;
        match answer.status {
            StatusCode::NOT_FOUND => drop(answer.assert_error(404, "not_found")),
            StatusCode::OK => assert!(
                matrix::is_empty(&answer.body),
                "{}: {}",
                operation.path,
                answer.body
            ),
            _ => panic!("{} {}: {}", operation.method, operation.path, answer.body),
        }
    }
    // A new conversation cannot be opened either, and nothing is told of why.
    let chat = system.post_chat("ada", &json!({"message": "hi"}));
    let chat = Answer::of(chat).await;
    assert_eq!(chat.assert_error(500, "internal_error"), &json!({}));
    for thread in [Uuid::now_v7().to_string(), "main".to_owned()] {
        let input = json!({"threadId": thread, "runId": Uuid::now_v7(),
                           "messages": [{"id": "1", "role": "user", "content": "hi"}]});
        let stream = system
            .request(Method::POST, "ada", "chat")
            .header("accept", "text/event-stream");
        Answer::of(stream.json(&input))
            .await
            .assert_error(500, "internal_error");
    }
    on_a_socket(system, &ids).await;
    assert_eq!(rows::of(&system.db, "ada").await, before);
}

async fn on_a_socket(system: &TestSystem, ids: &Belongings) {
    let mut socket = Socket::connect(system, "ada").await;
    let (thread, run) = (&ids.conversation, &ids.run);
    for method in matrix::methods(&mut socket).await {
        let (params, error) = match method.as_str() {
            "run.start" => (json!({"message": "hi"}), "internal_error"),
            "subscribe" => (json!({"threadId": thread}), "not_found"),
            "run.decide" => (json!({"runId": ids.waiting, "approve": true}), "not_found"),
            "run.retry" => (json!({"runId": ids.stopped}), "not_found"),
            "run.cancel" => (json!({"runId": run}), "not_found"),
            // These ask the database nothing.
            "auth" | "unsubscribe" | "ping" => continue,
            _ => panic!("teach this test the socket's method {method}"),
        };
        let answer = socket.call(&method, params).await;
        assert_eq!(answer["error"], error, "{method}: {answer}");
    }
}

/// A worker's reads and writes for a run act for its owner too.
#[tokio::test(flavor = "multi_thread")]
async fn no_worker_works_past_the_policies() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    let earlier = system.say("ada", "an earlier turn").await;
    let conversation = earlier.assert_ok()["conversation_id"].clone();
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})).gate_after(0, &gate));
    system
        .model
        .script(|_| Turn::call("add_task", json!({"title": "buy bread"})));
    let body = json!({"message": "go", "conversation_id": conversation});
    let chat = system
        .post_chat("ada", &body)
        .header("prefer", "respond-async");
    assert_eq!(Answer::of(chat).await.status, StatusCode::ACCEPTED);
    gate.reached(1).await.unwrap();
    let asked = system.model.request_count();
    let before = rows::of(&system.db, "ada").await;
    deny_all(&system).await;
    gate.open();
    // The step cannot be committed, so its call is not made; the next attempt finds no history, and cannot either.
    system.model.requests_seen(asked + 1).await.unwrap();
    let again = &system.model.requests()[asked]["messages"];
    assert_eq!(again.as_array().unwrap().len(), 2, "{again}");
    let unchanged = |rows: Vec<(&'static str, i64, String)>| {
        let kept = ["steps", "tool_calls", "tasks", "messages"];
        rows.into_iter()
            .filter(|(table, ..)| kept.contains(table))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        unchanged(rows::of(&system.db, "ada").await),
        unchanged(before)
    );
}
