//! Reads, limits, and what is not there.

use std::collections::BTreeSet;

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, TestSystem};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_conversation_is_404_and_so_is_another_users() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let hers = system.say("ada", "hello").await;
    let (conversation, run) = (&hers.assert_ok()["conversation_id"], &hers.body["run_id"]);
    system
        .say_in("bob", conversation, "hello")
        .await
        .assert_error(404, "not_found");
    system
        .say_in(
            "bob",
            &json!("01890000-0000-7000-8000-000000000000"),
            "hello",
        )
        .await
        .assert_error(404, "not_found");
    let conversation = conversation.as_str().unwrap();
    for path in [
        format!("conversations/{conversation}/messages"),
        "conversations/nonsense/messages".to_owned(),
        format!("runs/{}", run.as_str().unwrap()),
        "runs/nonsense".to_owned(),
    ] {
        system
            .get("bob", &path)
            .await
            .assert_error(404, "not_found");
    }
    assert_eq!(
        system.get("bob", "conversations").await.assert_ok()["conversations"],
        json!([])
    );
    assert_eq!(system.count("select count(*) from runs").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_errors_of_the_contract() {
    let system = TestSystem::start().await;
    Answer::of(system.bare(Method::GET, "/nowhere"))
        .await
        .assert_error(404, "not_found");
    let id = "01890000-0000-7000-8000-000000000000";
    for (method, path) in [
        (Method::DELETE, "/api/ada/chat".to_owned()),
        (Method::PUT, format!("/api/ada/runs/{id}")),
        (Method::GET, format!("/api/ada/runs/{id}/cancel")),
        (Method::GET, format!("/api/ada/runs/{id}/decision")),
        (Method::POST, format!("/api/ada/runs/{id}/events")),
        (Method::POST, "/api/ada/conversations".to_owned()),
        (
            Method::DELETE,
            format!("/api/ada/conversations/{id}/messages"),
        ),
        (Method::POST, "/api/ada/tasks".to_owned()),
        (Method::POST, "/healthz".to_owned()),
        (Method::POST, "/readyz".to_owned()),
        (Method::POST, "/openapi.json".to_owned()),
        (Method::POST, "/docs/".to_owned()),
        (Method::POST, "/".to_owned()),
        (Method::POST, "/ui/app.js".to_owned()),
    ] {
        let request = system.bare(method.clone(), &path);
        let answer = Answer::of(request.bearer_auth(system.identity.token("ada"))).await;
        answer.assert_error(405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    assert_eq!(
        Answer::of(system.bare(Method::GET, "/healthz"))
            .await
            .assert_ok()["status"],
        "ok"
    );
    assert_eq!(
        Answer::of(system.bare(Method::GET, "/readyz"))
            .await
            .assert_ok()["status"],
        "ready"
    );
    let document = Answer::of(system.bare(Method::GET, "/openapi.json")).await;
    let paths = document.assert_ok()["paths"].as_object().unwrap();
    for path in [
        "/api/{user_id}/chat",
        "/api/{user_id}/runs/{id}",
        "/api/{user_id}/tasks",
        "/readyz",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(
        Answer::of(system.bare(Method::GET, "/docs/"))
            .await
            .status
            .is_success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reject_answers_409_while_the_conversation_is_busy() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system.model.push(Turn::text("First.").gate_after(0, &gate));
    let first = Answer::of(
        system
            .post_chat("ada", &json!({"message": "one"}))
            .header("prefer", "respond-async"),
    )
    .await;
    let again = json!({"message": "two", "conversation_id": first.body["conversation_id"], "on_busy": "reject"});
    Answer::of(system.post_chat("ada", &again))
        .await
        .assert_error(409, "conversation_busy");
    gate.open();
    system
        .until("select count(*) from runs where status = 'completed'", 1)
        .await;
    system.model.push(Turn::text("Second."));
    assert_eq!(
        Answer::of(system.post_chat("ada", &again))
            .await
            .assert_ok()["response"],
        "Second."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged() {
    let system = TestSystem::start().await;
    system.model.script(|request| {
        let text = errand_devkit::model::request::last_user(request);
        match errand_devkit::model::request::steps(request).is_empty() {
            true => Turn::call("add_task", json!({"title": text})),
            false => Turn::text("Added."),
        }
    });
    for n in 0..5 {
        system.say("ada", &format!("task {n}")).await.assert_ok();
    }
    for (path, field, name) in [
        ("tasks", "tasks", "title"),
        ("conversations", "conversations", "title"),
    ] {
        let mut seen = Vec::new();
        let mut query = format!("{path}?limit=2");
        loop {
            let page = system.get("ada", &query).await;
            let page = page.assert_ok();
            if path == "tasks" {
                assert_eq!(page["total"], 5, "of all pages");
            }
            let rows = page[field].as_array().unwrap();
            assert!(rows.len() <= 2);
            seen.extend(
                rows.iter()
                    .map(|row| row[name].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["next_cursor"].as_str() else {
                break;
            };
            query = format!("{path}?limit=2&cursor={cursor}");
        }
        seen.sort();
        assert_eq!(
            seen,
            ["task 0", "task 1", "task 2", "task 3", "task 4"],
            "{path}"
        );
    }
    let done = system.get("ada", "tasks?completed=true").await;
    assert_eq!(done.assert_ok()["tasks"], json!([]));
    assert_eq!(done.body["total"], 0);
    let found = system.get("ada", "tasks?search=K%203").await;
    assert_eq!(found.assert_ok()["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["total"], 1);
    for bad in [
        "limit=0",
        "limit=201",
        "limit=",
        "completed=",
        "limit=many",
        "limit=1&limit=2",
        "cursor=nonsense",
        "completed=maybe",
        "search=%00",
        &format!("search={}", "a".repeat(256)),
    ] {
        let refused = system.get("ada", &format!("tasks?{bad}")).await;
        let details = refused.assert_error(400, "invalid_request");
        let (field, _) = bad.split_once('=').unwrap();
        assert_eq!(details["field"], field, "{}", refused.body);
    }
    // Times that are none of the database's, and places that are none of this list's.
    for cursor in [
        "-8000000000000000000_00000000-0000-0000-0000-000000000000",
        "8000000000000000000_00000000-0000-0000-0000-000000000000",
        "9223372036854775807_00000000-0000-0000-0000-000000000000",
        "0_0",
        "17",
    ] {
        let refused = system
            .get("ada", &format!("conversations?cursor={cursor}"))
            .await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "cursor", "{cursor}");
    }
}

/// The order of messages is kept across all users, so a place in it would tell how much all of them talk.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_of_messages_is_behind_a_message_and_not_behind_a_number() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let first = system.say("ada", "one").await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    system.say_in("ada", &conversation, "two").await.assert_ok();
    let path = format!("conversations/{}/messages", conversation.as_str().unwrap());
    let mut seen = Vec::new();
    let mut query = format!("{path}?limit=3");
    loop {
        let page = system.get("ada", &query).await;
        let page = page.assert_ok();
        let messages = page["messages"].as_array().unwrap();
        seen.extend(messages.iter().map(|message| message["content"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(messages.last().unwrap()["id"], cursor);
        query = format!("{path}?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, ["one", "Hello.", "two", "Hello."]);
    let others = system.say("bob", "mine").await;
    let others = others.assert_ok()["message_id"].as_str().unwrap();
    for cursor in ["3", "00000000-0000-0000-0000-000000000000", others] {
        let refused = system.get("ada", &format!("{path}?cursor={cursor}")).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "cursor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_document_is_a_message() {
    let system = TestSystem::start().await;
    let document = Answer::of(system.bare(Method::GET, "/openapi.json")).await;
    let schemas = &document.assert_ok()["components"]["schemas"];
    let example = &schemas["ChatRequest"]["example"];
    assert_eq!(example["message"], "add buy milk");
    system.model.push(Turn::text("It is on your list."));
    let answer = Answer::of(system.post_chat("ada", example)).await;
    let fields = |object: &Value| -> BTreeSet<String> {
        object.as_object().unwrap().keys().cloned().collect()
    };
    let shown = &schemas["ChatResponse"]["example"];
    assert_eq!(fields(shown), fields(answer.assert_ok()));
    // What documentation looks like is ours, and comes before the style that Swagger UI has.
    let style = system.bare(Method::GET, "/docs/index.css").send().await;
    let style = style.unwrap().text().await.unwrap();
    assert!(style.contains("base.css") && style.contains("--paper"));
}
