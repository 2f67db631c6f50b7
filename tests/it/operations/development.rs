//! `cargo dev`: its data stays, and it says how to give its tools to others.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;

use crate::system::{Answer, process::Process};

/// `cargo dev`: a turn with the stand-ins, Ctrl-C, and the data after a second start.
#[tokio::test(flavor = "multi_thread")]
async fn cargo_dev_keeps_its_data() {
    let state = std::env::temp_dir().join(format!("errand-dev-{}", uuid::Uuid::now_v7().simple()));
    let state = state.to_str().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut database_urls = Vec::new();
    for start in 1..=2 {
        let arguments = ["--state", state, "--port", "0"];
        let mut dev = Process::start("errand-dev", &arguments, [("PATH", path.as_str())]).await;
        let said = dev.until_says("/api/auth/token").await;
        let token_url = said.split_whitespace().last().unwrap().to_owned();
        let said = dev.until_says("serving").await;
        let api = said.split("address=").nth(1).unwrap().trim().to_owned();
        dev.until_says("taking runs").await;
        database_urls.push(assert_tools_for_others(dev.heard(), &api).await);
        let http = reqwest::Client::new();
        let token = Answer::of(http.get(&token_url)).await;
        let token = token.assert_ok()["token"].as_str().unwrap().to_owned();
        let chat = http
            .post(format!("http://{api}/api/demo/chat"))
            .bearer_auth(&token);
        let answer = Answer::of(chat.json(&json!({"message": "add buy milk and call Ann"}))).await;
        assert_eq!(
            answer.assert_ok()["tool_calls"].as_array().unwrap().len(),
            2
        );
        let tasks = http
            .get(format!("http://{api}/api/demo/tasks"))
            .bearer_auth(&token);
        assert_eq!(
            Answer::of(tasks).await.assert_ok()["tasks"]
                .as_array()
                .unwrap()
                .len(),
            2 * start
        );
        dev.signal("INT").await;
        assert!(dev.ends(Duration::from_secs(20)).await.success());
        // Its Postgres went with it.
        let left = tokio::process::Command::new("pgrep")
            .args(["-f", state])
            .output()
            .await;
        assert!(
            left.is_ok_and(|left| left.stdout.is_empty()),
            "a process is left"
        );
    }
    // What was copied stays right, unless somebody else has taken the port meanwhile.
    let port = database_urls[0].rsplit(['/', ':']).nth(1).expect("a port");
    let is_taken = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).is_err();
    assert!(
        database_urls[0] == database_urls[1] || is_taken,
        "{database_urls:?}"
    );
    std::fs::remove_dir_all(state).unwrap();
}

/// The banner's entries for MCP clients are ready to be copied, and do what they say. Returns the database's URL, which the banner tells.
async fn assert_tools_for_others(said: &[String], api: &str) -> String {
    // What is logged comes on another stream, in between.
    let banner = said
        .iter()
        .filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
    let entries = banner.map(String::as_str).collect::<Vec<_>>().join("\n");
    let entries = entries.split("\n  {\n").skip(1).map(|entry| {
        let (entry, _) = entry.split_once("\n  }\n").expect("an end");
        let entry: Value = serde_json::from_str(&format!("{{{entry}}}")).expect("JSON");
        entry["mcpServers"]["errand"].clone()
    });
    let entries: Vec<Value> = entries.collect();
    let [over_http, on_a_desktop] = &entries[..] else {
        panic!("two entries: {entries:?}");
    };
    // The name that people read leads to the same port.
    let url = over_http["url"].as_str().expect("a URL");
    let port = api.rsplit(':').next().expect("a port");
    assert_eq!(url, format!("http://localhost:{port}/mcp"));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = reqwest::Client::new()
        .post(format!("http://{api}/mcp"))
        .header("accept", "application/json, text/event-stream")
        .header(
            "authorization",
            over_http["headers"]["Authorization"]
                .as_str()
                .expect("a token"),
        );
    let listed = Answer::of(request.json(&list)).await;
    let tools = listed.assert_ok()["result"]["tools"].as_array();
    assert_eq!(tools.map(Vec::len), Some(5), "{}", listed.body);
    let program = on_a_desktop["command"].as_str().expect("a program");
    assert!(program.ends_with("/errand-mcp"), "{program}");
    assert_eq!(on_a_desktop["args"], json!(["--stdio", "--user", "demo"]));
    let database_url = on_a_desktop["env"]["DATABASE_URL"].as_str().expect("a URL");
    assert!(
        said.iter()
            .any(|line| line.trim() == format!("DATABASE_URL={database_url}")),
        "{said:#?}"
    );
    let mut desk = sqlx::PgConnection::connect(database_url)
        .await
        .expect("the database");
    let tasks: i64 = sqlx::query_scalar("select count(*) from tasks where user_id = 'demo'")
        .fetch_one(&mut desk)
        .await
        .expect("tasks");
    assert!(tasks % 2 == 0, "{tasks}");
    database_url.to_owned()
}
