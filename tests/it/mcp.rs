//! `/mcp` over HTTP, of errand-mcp and of the API: what outside clients may do, for whom, and how often.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::{
    Answer, PATIENCE, TestSystem,
    mcp::{Mcp, Server, of_both_servers},
};

mod api;
mod clients;
mod database;
mod host_guard;
pub(crate) mod stdio;

of_both_servers!(
    calls_have_their_effect_and_are_recorded_with_it,
    a_message_with_a_key_twice_is_refused,
    two_users_never_meet,
    what_a_client_writes_in_meta_is_no_identity,
    a_user_makes_so_many_calls_a_minute_and_no_more,
    an_open_call_ends_before_the_process_does
);

const TOOLS: [&str; 5] = [
    "add_task",
    "list_tasks",
    "complete_task",
    "delete_task",
    "update_task",
];

#[track_caller]
fn assert_refused(result: &Value, kind: &str) {
    assert_eq!(result["success"], false, "{result}");
    assert_eq!(result["error"]["type"], kind, "{result}");
}

async fn add(mcp: &Mcp, user: &str, title: &str) -> String {
    let added = mcp.call(user, "add_task", json!({"user_id": user, "title": title}));
    let added = added.await;
    assert_eq!(added["success"], true, "{added}");
    added["task_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_five_tools_the_agents_own() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hi").await.assert_ok();
    let mcp = Mcp::on(&system.database_url, &[]).await;
    let at_the_api = system.mcp().ask("ada", "tools/list", json!({})).await;
    let listed = mcp.ask("ada", "tools/list", json!({})).await;
    assert_eq!(at_the_api.assert_ok(), listed.assert_ok());
    let tools = listed.assert_ok()["result"]["tools"]
        .as_array()
        .expect("tools");
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, TOOLS);
    // The model inside is told of the same ones; only the user is filled in for it.
    let request = system.model.requests().remove(0);
    let inside = request["tools"].as_array().expect("the agent's tools");
    for (tool, inside) in tools.iter().zip(inside) {
        let mut schema = tool["inputSchema"].clone();
        assert_eq!(schema["required"][0], "user_id", "{tool}");
        schema["required"].as_array_mut().unwrap().remove(0);
        schema["properties"]
            .as_object_mut()
            .unwrap()
            .remove("user_id")
            .expect("a user");
        assert_eq!(inside["function"]["parameters"], schema);
        assert_eq!(inside["function"]["name"], tool["name"]);
        assert_eq!(inside["function"]["description"], tool["description"]);
    }
    for other in [
        "resources/list",
        "resources/templates/list",
        "prompts/list",
        "completion/complete",
        "tasks/list",
    ] {
        let answer = mcp.ask("ada", other, json!({})).await;
        assert_eq!(
            answer.body["error"]["code"], -32_601,
            "{other}: {}",
            answer.body
        );
    }
    let initialize = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = mcp.ask("ada", "initialize", initialize).await;
    let result = &answer.assert_ok()["result"];
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    // A model outside has no other way to know the user's id.
    assert!(
        result["instructions"].as_str().unwrap().contains("\"ada\""),
        "{result}"
    );
}

async fn calls_have_their_effect_and_are_recorded_with_it(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let id = add(&mcp, "ada", "buy milk").await;
    for (tool, arguments) in [
        ("complete_task", json!({"user_id": "ada", "task_id": id})),
        (
            "update_task",
            json!({"user_id": "ada", "task_id": id, "title": "buy oat milk"}),
        ),
        ("list_tasks", json!({"user_id": "ada", "completed": true})),
    ] {
        let result = mcp.call("ada", tool, arguments).await;
        assert_eq!(result["success"], true, "{tool}: {result}");
    }
    assert_eq!(mcp.titles("ada").await, ["buy oat milk"]);
    let deleted = mcp.call(
        "ada",
        "delete_task",
        json!({"user_id": "ada", "task_id": id}),
    );
    assert_eq!(deleted.await["success"], true);
    assert!(mcp.titles("ada").await.is_empty());
    // Also what comes to nothing.
    let unknown = mcp
        .call("ada", "drop_table", json!({"user_id": "ada"}))
        .await;
    assert_refused(&unknown, "invalid_parameters");
    let nul = mcp
        .call("ada", "add\0task", json!({"user_id": "ada", "title": "\0"}))
        .await;
    assert_refused(&nul, "invalid_parameters");
    let missing = mcp
        .call("ada", "add_task", json!({"title": "whose?"}))
        .await;
    assert_refused(&missing, "invalid_parameters");
    let recorded = mcp.recorded().await;
    let of = |name: &str, is_error| ("ada".to_owned(), name.to_owned(), is_error);
    let expected = [
        of("add_task", false),
        of("complete_task", false),
        of("update_task", false),
        of("list_tasks", false),
        of("delete_task", false),
        of("drop_table", true),
        of("add\u{fffd}task", true),
        of("add_task", true),
    ];
    assert_eq!(recorded, expected);
    let first: (Value, Value, String, i32) = sqlx::query_as(
        "select parameters, result, client, duration_ms from mcp_calls order by id limit 1",
    )
    .fetch_one(&mcp.db)
    .await
    .expect("a record");
    assert_eq!(first.0, json!({"user_id": "ada", "title": "buy milk"}));
    assert_eq!(first.1["task_id"], id);
    assert_eq!(first.2, "t 1", "the client's name");
    assert!(first.3 >= 0);
}

/// Some clients pass on what their model wrote: JSON, as a text.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_may_be_the_text_of_an_object() {
    let mcp = Mcp::start().await;
    let call = async |arguments: Value| {
        let params = json!({"name": "add_task", "arguments": arguments});
        mcp.ask("ada", "tools/call", params).await
    };
    let text = json!({"user_id": "ada", "title": "said as a text"}).to_string();
    let made = call(json!(text)).await;
    let result = &made.assert_ok()["result"];
    assert_eq!(result["isError"], false, "{}", made.body);
    assert_eq!(result["structuredContent"]["success"], true);
    assert_eq!(mcp.titles("ada").await, ["said as a text"]);
    // As an object with nothing in it: the tool says what is missing.
    for nothing in [json!("{}"), json!(" {} "), json!(""), json!(null)] {
        let result = call(nothing.clone()).await;
        let result = &result.assert_ok()["result"]["structuredContent"];
        assert_refused(result, "invalid_parameters");
    }
    // What is no object is refused as such, and a key twice too.
    let twice = r#"{"user_id":"ada","title":"a","title":"b"}"#;
    for (arguments, said) in [
        (json!("["), "JSON object"),
        (json!("[1]"), "JSON object"),
        (json!("\"{}\""), "JSON object"),
        (json!("buy milk"), "JSON object"),
        (json!(7), "JSON object"),
        (json!([{}]), "JSON object"),
        (json!(twice), "\"title\""),
    ] {
        let refused = call(arguments.clone()).await;
        let error = &refused.assert_ok()["error"];
        assert_eq!(error["code"], -32602, "{arguments}: {}", refused.body);
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(said), "{arguments}: {message}");
    }
    assert_eq!(mcp.titles("ada").await.len(), 1);
    // Other methods that are unknown stay unknown.
    let unknown = mcp.ask("ada", "tools/dance", json!({})).await;
    assert_eq!(unknown.body["error"]["code"], -32601, "{}", unknown.body);
}

async fn a_message_with_a_key_twice_is_refused(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let token = mcp.identity.token("ada");
    for (arguments, id) in [
        (r#"{"user_id":"ada","title":"a","title":"b"}"#, "1"),
        (r#"{"user_id":"ada","title":"a"}"#, "1,\"id\":2"),
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"add_task","arguments":{arguments}}}}}"#
        );
        let request = mcp
            .bare(reqwest::Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .bearer_auth(&token)
            .body(body);
        let refused = Answer::of(request).await;
        refused.assert_error(400, "invalid_request");
        let said = refused.body["error"]["message"].to_string();
        assert!(said.contains("twice"), "{said}");
    }
    assert!(mcp.recorded().await.is_empty());
    assert!(mcp.titles("ada").await.is_empty());
}

async fn two_users_never_meet(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let hers = add(&mcp, "ada", "hers").await;
    add(&mcp, "bob", "his").await;
    let listed = mcp
        .call("bob", "list_tasks", json!({"user_id": "bob"}))
        .await;
    assert_eq!(listed["count"], 1, "{listed}");
    assert_eq!(listed["tasks"][0]["title"], "his");
    for (tool, arguments) in [
        ("complete_task", json!({"task_id": hers})),
        ("delete_task", json!({"task_id": hers})),
        ("update_task", json!({"task_id": hers, "title": "stolen"})),
    ] {
        // As himself he finds nothing; as her he is found out.
        let mut arguments = arguments;
        arguments["user_id"] = json!("bob");
        let result = mcp.call("bob", tool, arguments.clone()).await;
        assert_refused(&result, "resource_not_found");
        arguments["user_id"] = json!("ada");
        let result = mcp.call("bob", tool, arguments).await;
        assert_refused(&result, "unauthorized_access");
    }
    for (tool, arguments) in [
        ("list_tasks", json!({"user_id": "ada"})),
        ("add_task", json!({"user_id": "ada", "title": "planted"})),
    ] {
        let result = mcp.call("bob", tool, arguments).await;
        assert_refused(&result, "unauthorized_access");
    }
    assert_eq!(mcp.titles("ada").await, ["hers"]);
    let refused = mcp.recorded().await;
    let refused = refused
        .iter()
        .filter(|(user, _, is_error)| user == "bob" && *is_error);
    assert_eq!(refused.count(), 8, "each of them is recorded, and as his");
}

async fn what_a_client_writes_in_meta_is_no_identity(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    add(&mcp, "ada", "hers").await;
    // As the agent's own client writes it.
    let run = uuid::Uuid::now_v7();
    let caller = json!({"user_id": "ada", "key": {"run_id": run, "step": 1, "ordinal": 0}, "attempt": 1, "refused": null});
    for user_id in ["ada", "bob"] {
        let params = json!({"name": "list_tasks", "arguments": {"user_id": user_id}, "_meta": {"errand/call": caller}});
        let answer = mcp.ask("bob", "tools/call", params).await;
        let result = &answer.assert_ok()["result"]["structuredContent"];
        if user_id == "ada" {
            assert_refused(result, "unauthorized_access");
        } else {
            assert_eq!(result["count"], 0, "{result}");
        }
    }
}

async fn a_user_makes_so_many_calls_a_minute_and_no_more(server: Server) {
    let mcp = Mcp::by(server, &["--rate-calls-per-minute", "3"]).await;
    let arguments = json!({"user_id": "ada", "title": "again"});
    let params = json!({"name": "add_task", "arguments": arguments});
    let calls = (0..8).map(|_| mcp.ask("ada", "tools/call", params.clone()));
    let answers = futures::future::join_all(calls).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(
        (made.len(), refused.len()),
        (3, 5),
        "at once, from any process"
    );
    for answer in refused {
        assert_eq!(answer.status, 429, "{}", answer.body);
        let pause: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&pause), "{pause}");
        assert_eq!(
            answer.body["error"]["data"]["code"], "rate_limited",
            "{}",
            answer.body
        );
        assert_eq!(answer.body["error"]["data"]["retry_after"], pause);
        assert_eq!(answer.body["id"], 1);
    }
    assert_eq!(mcp.titles("ada").await.len(), 3);
    // The others, and what is no call, are not concerned.
    add(&mcp, "bob", "his").await;
    mcp.ask("ada", "tools/list", json!({})).await.assert_ok();
    // A minute later there is room again.
    sqlx::query("update mcp_attempts set made_at = made_at - interval '1 minute'")
        .execute(&mcp.db)
        .await
        .unwrap();
    add(&mcp, "ada", "later").await;
}

async fn an_open_call_ends_before_the_process_does(server: Server) {
    let mcp = Mcp::by(server, &[]).await;
    let mut lock = mcp.db.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('ada', 3))")
        .execute(&mut *lock)
        .await
        .unwrap();
    let params =
        json!({"name": "add_task", "arguments": {"user_id": "ada", "title": "at the last moment"}});
    let call = async {
        let answer = mcp.ask("ada", "tools/call", params).await;
        assert_eq!(
            answer.assert_ok()["result"]["structuredContent"]["success"],
            true
        );
    };
    let stop = async {
        let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted
             and database = (select oid from pg_database where datname = current_database())";
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(waits)
            .fetch_one(&mcp.db)
            .await
            .unwrap()
            == 0
        {
            assert!(
                tokio::time::Instant::now() < deadline,
                "the call never waits"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        mcp.ask_to_stop();
        lock.rollback().await.unwrap();
    };
    tokio::join!(call, stop);
    mcp.stop().await;
}
