//! errand-mcp as a process: standard input and output with a desktop client, signals, the Procfile's way.

use std::{process::Stdio, time::Duration};

use errand_devkit::process::signal;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

use crate::system::{
    self, Options, PATIENCE, TestSystem,
    mcp::Mcp,
    process::{self, Process},
    socket::Socket,
};

/// The program at the other end of two pipes.
pub(crate) struct Desktop {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Desktop {
    async fn start(database_url: &str, arguments: &[&str]) -> Self {
        Self::with(database_url, arguments, &[]).await
    }

    /// With these variables in its environment.
    pub(crate) async fn with(
        database_url: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut all = vec!["--stdio", "--user", "ada"];
        all.extend(arguments);
        let known = [("DATABASE_URL", database_url), ("RUST_LOG", "debug")];
        let environment = known.into_iter().chain(environment.iter().copied());
        let mut command = process::command("errand-mcp", &all, environment).await;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self {
            input: child.stdin.take(),
            output,
            child,
        }
    }

    async fn send(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open");
        input.write_all(line.as_bytes()).await.expect("sent");
        input.write_all(b"\n").await.expect("sent");
        input.flush().await.expect("sent");
    }

    /// The next line, which must be JSON-RPC.
    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await;
        let line = line.expect("in time").expect("text").expect("a line");
        let message: Value = serde_json::from_str(&line).expect("nothing but the protocol");
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        message
    }

    pub(crate) async fn greet(&mut self) -> Value {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "desk", "version": "3"}}});
        self.send(&hello.to_string()).await;
        let answer = self.next().await;
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            .await;
        answer
    }

    pub(crate) async fn call(&mut self, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.send(&call.to_string()).await;
        self.next().await
    }

    async fn said(mut self) -> String {
        let mut said = String::new();
        let mut log = self.child.stderr.take().expect("a pipe");
        let read = timeout(PATIENCE, log.read_to_string(&mut said)).await;
        read.expect("in time").expect("text");
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_client_gets_the_list_of_its_user() {
    let url = system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    let mut desk = Desktop::start(&url, &[]).await;
    let hello = desk.greet().await;
    let instructions = hello["result"]["instructions"].as_str().unwrap();
    assert!(instructions.contains("\"ada\""), "{hello}");
    let add =
        json!({"name": "add_task", "arguments": {"user_id": "ada", "title": "from the desk"}});
    let added = desk.call(add).await;
    assert_eq!(
        added["result"]["structuredContent"]["success"], true,
        "{added}"
    );
    // The user is the command line's, whatever is written.
    let caller = json!({"user_id": "bob", "key": {"run_id": uuid::Uuid::now_v7(), "step": 1, "ordinal": 0}, "attempt": 1, "refused": null});
    let bobs = json!({"name": "list_tasks", "arguments": {"user_id": "bob"}, "_meta": {"errand/call": caller}});
    let refused = desk.call(bobs).await;
    assert_eq!(
        refused["result"]["structuredContent"]["error"]["type"], "unauthorized_access",
        "{refused}"
    );
    // A line that is no message is not the end.
    desk.send("not json").await;
    desk.send(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#)
        .await;
    while desk.next().await["id"] != 7 {}
    let recorded: Vec<(String, String, Option<String>, bool)> =
        sqlx::query_as("select user_id, tool_name, client, is_error from mcp_calls order by id")
            .fetch_all(&db)
            .await
            .unwrap();
    let of = |tool: &str, is_error| {
        (
            "ada".to_owned(),
            tool.to_owned(),
            Some("desk 3".to_owned()),
            is_error,
        )
    };
    assert_eq!(recorded, [of("add_task", false), of("list_tasks", true)]);
    // It hangs up: so does the program, and has kept standard output for MCP.
    drop(desk.input.take());
    let status = timeout(PATIENCE, desk.child.wait())
        .await
        .expect("ends in time")
        .unwrap();
    assert!(status.success(), "{status}");
    let rest = timeout(PATIENCE, desk.output.next_line())
        .await
        .expect("in time");
    assert_eq!(rest.unwrap(), None);
    let said = desk.said().await;
    assert!(said.contains("tool call from outside"), "{said}");
    assert!(
        !said.contains("from the desk"),
        "titles are nobody's business: {said}"
    );
}

/// The command line has said whose list it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_client_need_not_say_whose_list_it_is() {
    let url = system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    let mut desk = Desktop::start(&url, &[]).await;
    desk.greet().await;
    desk.send(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#)
        .await;
    let listed = desk.next().await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 5);
    for tool in tools {
        let schema = &tool["inputSchema"];
        assert!(schema["properties"]["user_id"].is_object(), "{tool}");
        let required = schema["required"].as_array().unwrap();
        assert!(!required.contains(&json!("user_id")), "{tool}");
    }
    let add = |arguments: Value| json!({"name": "add_task", "arguments": arguments});
    for arguments in [
        json!({"title": "whoever"}),
        json!({"title": "whoever", "user_id": "ada"}),
        json!({"title": "whoever", "user_id": null}),
        json!(r#"{"title": "whoever"}"#),
    ] {
        let added = desk.call(add(arguments.clone())).await;
        let result = &added["result"]["structuredContent"];
        assert_eq!(result["success"], true, "{arguments}: {added}");
    }
    let list = desk.call(json!({"name": "list_tasks"})).await;
    assert_eq!(list["result"]["structuredContent"]["total"], 4, "{list}");
    for user_id in [json!("bob"), json!("")] {
        let refused = desk
            .call(add(json!({"title": "not hers", "user_id": user_id})))
            .await;
        let error = &refused["result"]["structuredContent"]["error"];
        assert_eq!(error["type"], "unauthorized_access", "{refused}");
    }
    // What is recorded says who it was.
    let recorded: Vec<Value> =
        sqlx::query_scalar("select parameters from mcp_calls where not is_error")
            .fetch_all(&db)
            .await
            .unwrap();
    assert_eq!(recorded.len(), 5);
    assert!(recorded.iter().all(|call| call["user_id"] == "ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_clients_calls_are_limited_too() {
    let url = system::database().await;
    let mut desk = Desktop::start(&url, &["--rate-calls-per-minute", "1"]).await;
    desk.greet().await;
    let list = json!({"name": "list_tasks", "arguments": {"user_id": "ada"}});
    let first = desk.call(list.clone()).await;
    assert_eq!(first["result"]["isError"], false, "{first}");
    let second = desk.call(list).await;
    assert_eq!(second["error"]["data"]["code"], "rate_limited", "{second}");
}

/// A client that hangs up behind its last call leaves nothing untold.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_hears_of_the_last_call_of_a_desktop_client() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mut page = Socket::connect(&system, "ada").await;
    let mut desk = Desktop::start(&system.database_url, &[]).await;
    desk.greet().await;
    let add =
        |title: &str| json!({"name": "add_task", "arguments": {"user_id": "ada", "title": title}});
    // The first is told at once; the second comes in the pause behind it.
    for title in ["one", "two"] {
        let added = desk.call(add(title)).await;
        assert_eq!(added["result"]["isError"], false, "{added}");
    }
    drop(desk.input.take());
    let listed = async {
        loop {
            let heard = page.until(|frame| frame["type"] == "tasks.changed").await;
            page.frames.retain(|frame| *frame != heard);
            let tasks = system.get("ada", "tasks").await;
            if tasks.assert_ok()["tasks"].as_array().map(Vec::len) == Some(2) {
                return;
            }
        }
    };
    timeout(PATIENCE, listed).await.expect("it hears of both");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_desktop_clients_process_too() {
    let url = system::database().await;
    for greets in [true, false] {
        let mut desk = Desktop::start(&url, &[]).await;
        if greets {
            desk.greet().await;
        } else {
            desk.send(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#)
                .await;
            desk.next().await;
        }
        let pid = desk.child.id().expect("is alive");
        signal(pid, "TERM").await.expect("is alive");
        let status = timeout(PATIENCE, desk.child.wait())
            .await
            .expect("ends in time")
            .unwrap();
        assert!(status.success(), "{status}");
    }
}

/// A desktop client starts it in a folder that it has opened, and what lies there may be anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_clients_folder_configures_nothing() {
    let url = system::database().await;
    let folder = std::env::temp_dir().join(format!("errand-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join(".env"),
        format!("DATABASE_URL={url}\nLOG_FORMAT=xml\nRATE_CALLS_PER_MINUTE=1\n"),
    )
    .unwrap();
    let start = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let environment = environment.iter().copied();
        let mut command = process::command("errand-mcp", arguments, environment).await;
        let output = command.current_dir(&folder).output();
        let output = timeout(PATIENCE, output)
            .await
            .expect("ends in time")
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status, said)
    };
    let on_a_desktop = ["--stdio", "--user", "ada"];
    // Standard input is at its end, so it ends.
    let (status, said) = start(&on_a_desktop, &[("DATABASE_URL", &url)]).await;
    assert_ne!(status.code(), Some(2), "{said}");
    // Not even the database.
    let (status, said) = start(&on_a_desktop, &[]).await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("DATABASE_URL"), "{said}");
    // A server's folder is its operator's.
    let issuer = ("BETTER_AUTH_URL", "https://auth.example.com");
    let (status, said) = start(&[], &[issuer]).await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("LOG_FORMAT"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_process_stops_at_sigterm() {
    let mcp = Mcp::start().await;
    let environment = [
        ("DATABASE_URL", mcp.database_url.as_str()),
        ("BETTER_AUTH_URL", mcp.identity.issuer()),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
    ];
    let mut process = Process::start("errand-mcp", &[], environment).await;
    let line = process.until_says("serving").await;
    let address = line.split("address=").nth(1).expect("an address").trim();
    process.until_says("the database is ready").await;
    // A client keeps its connection, and is no reason to stay.
    let http = reqwest::Client::new();
    let answer = http
        .post(format!("http://{address}/mcp"))
        .header("accept", "application/json, text/event-stream")
        .bearer_auth(mcp.identity.token("ada"))
        .json(
            &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "add_task", "arguments": {"user_id": "ada", "title": "by the process"}}}),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(mcp.titles("ada").await, ["by the process"]);
    process.signal("TERM").await;
    let status = process.ends(Duration::from_secs(5)).await;
    assert!(status.success(), "{status}");
}
