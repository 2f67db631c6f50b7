//! Conversations: renamed, deleted with all that is in them, searched, and read from their end.

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::system::{Answer, Options, TestSystem, rows};

mod deletion;
mod purged;
mod search;

async fn rename(system: &TestSystem, user: &str, id: &Value, body: Value) -> Answer {
    let path = format!("conversations/{}", id.as_str().expect("an id"));
    Answer::of(system.request(Method::PATCH, user, &path).json(&body)).await
}

async fn delete(system: &TestSystem, user: &str, id: &Value) -> Answer {
    let path = format!("conversations/{}", id.as_str().expect("an id"));
    Answer::of(system.request(Method::DELETE, user, &path)).await
}

async fn listed(system: &TestSystem, query: &str) -> Vec<String> {
    let page = system.get("ada", &format!("conversations{query}")).await;
    let rows = page.assert_ok()["conversations"]
        .as_array()
        .unwrap()
        .clone();
    rows.iter()
        .map(|row| row["title"].as_str().unwrap().to_owned())
        .collect()
}

/// Messages of a user, `each` in a conversation, by twos in a run.
fn messages(user: &str, conversations: u32, each: u32, text: &str) -> String {
    format!(
        "with c as (
             insert into conversations (id, user_id, title, updated_at)
             select gen_random_uuid(), '{user}', 'talk ' || g, now() - g * interval '1 minute' from generate_series(1, {conversations}) g
             returning id, user_id
         ),
         r as (
             insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, started_at, finished_at, created_at)
             select gen_random_uuid(), id, user_id, 'completed', 1, t, t, t, t
             from c cross join generate_series(1, {each} / 2) g cross join (select now() - interval '1 hour' as t) t
             returning id, conversation_id, user_id
         )
         insert into messages (id, conversation_id, user_id, run_id, role, content)
         select gen_random_uuid(), conversation_id, user_id, id, role, {text} from r cross join unnest(array['user', 'assistant']) role"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_renamed_and_keeps_its_place() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let first = system.say("ada", "first").await.assert_ok()["conversation_id"].clone();
    system.say("ada", "second").await.assert_ok();
    let before = system.get("ada", "conversations").await.assert_ok()["conversations"][1].clone();
    let renamed = rename(&system, "ada", &first, json!({"title": "Shopping, 🛒"})).await;
    let mut expected = before;
    expected["title"] = json!("Shopping, 🛒");
    assert_eq!(renamed.assert_ok(), &expected);
    assert_eq!(listed(&system, "").await, ["second", "Shopping, 🛒"]);
    let longest = "ä".repeat(255);
    rename(&system, "ada", &first, json!({"title": longest}))
        .await
        .assert_ok();
    for (body, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": " \u{200b}"}), "title"),
        (json!({"title": "a\u{0}b"}), "title"),
        (json!({"title": "ä".repeat(256)}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"title": null}), "title"),
        (json!({}), "title"),
        (json!({"title": "x", "user_id": "bob"}), "user_id"),
    ] {
        let refused = rename(&system, "ada", &first, body.clone()).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], field, "{body}: {}", refused.body);
    }
    for id in [json!(Uuid::now_v7()), json!("nonsense"), first.clone()] {
        let user = if id == first { "bob" } else { "ada" };
        rename(&system, user, &id, json!({"title": "his"}))
            .await
            .assert_error(404, "not_found");
    }
    assert_eq!(listed(&system, "").await, ["second", longest.as_str()]);
    // Browsers of listed origins may do both.
    let system = TestSystem::with(Options {
        api: vec!["--allowed-origins", "https://app.example.com"],
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for method in ["PATCH", "DELETE"] {
        let asked = system
            .bare(Method::OPTIONS, "/api/ada/conversations/x")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method)
            .header(
                "access-control-request-headers",
                "authorization, x-time-zone",
            );
        let answer = Answer::of(asked).await;
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains(method)
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("x-time-zone")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_read_from_its_end() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    rows::execute(
        &system.db,
        &messages("ada", 1, 6_000, "'message ' || row_number() over ()"),
    )
    .await;
    let id: String = sqlx::query_scalar("select id::text from conversations")
        .fetch_one(&system.db)
        .await
        .unwrap();
    let read = async |order: &str, limit: usize| {
        let mut seen: Vec<Value> = Vec::new();
        let path = format!("conversations/{id}/messages?order={order}&limit={limit}");
        let mut query = path.clone();
        loop {
            let page = system.get("ada", &query).await;
            let page = page.assert_ok();
            seen.extend(page["messages"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str().filter(|_| seen.len() < 10_000) else {
                return seen;
            };
            assert_eq!(seen.last().unwrap()["id"], cursor);
            query = format!("{path}&cursor={cursor}");
        }
    };
    let forwards = read("asc", 200).await;
    let mut backwards = read("desc", 170).await;
    assert_eq!(forwards.len(), 6_000);
    assert_ne!(forwards[0], backwards[0]);
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let default = system
        .get("ada", &format!("conversations/{id}/messages?limit=1"))
        .await;
    assert_eq!(default.assert_ok()["messages"][0], forwards[0]);
    for bad in ["order=newest", "order=", "order=desc&order=asc"] {
        let refused = system
            .get("ada", &format!("conversations/{id}/messages?{bad}"))
            .await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "order", "{}", refused.body);
    }
}
