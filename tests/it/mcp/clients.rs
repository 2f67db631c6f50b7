//! errand-mcp and the programs that people use: the official Python client, FastMCP, the inspector, the conformance suite.
//! They are installed in `tests/mcp` as its README says; without them these tests say that they were skipped.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::system::{
    self,
    mcp::{Mcp, Server},
    process,
};

/// Interpreters take their time on a busy machine.
const LONG: Duration = Duration::from_secs(120);

const TOOLS: [&str; 5] = [
    "add_task",
    "list_tasks",
    "complete_task",
    "delete_task",
    "update_task",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp")
}

/// A program under `tests/mcp`; none, and a word about it, if it is not installed.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn installed(program: &str, needs: &str) -> Option<Command> {
    let path = folder().join(program);
    if !path.exists() || !folder().join(needs).exists() {
        eprintln!("skipped: {needs} is not installed; see tests/mcp/README.md");
        return None;
    }
    let mut command = Command::new(path);
    // Browsers' and proxies' settings of the machine are no part of a test.
    command
        .current_dir(folder())
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    Some(command)
}

fn python(script: &str) -> Option<Command> {
    let mut python = installed(".venv/bin/python", ".venv/bin/fastmcp")?;
    python.arg(script);
    Some(python)
}

/// Node itself comes from npm, because the inspector and the conformance suite need 22.19.
fn node(package: &str, entry: &str) -> Option<Command> {
    let package = format!("node_modules/@modelcontextprotocol/{package}");
    let mut node = installed("node_modules/.bin/node", &package)?;
    node.arg(folder().join(package).join(entry));
    Some(node)
}

/// Runs a program to its end; returns whether all was well, and what it said.
async fn run(command: &mut Command) -> (bool, String, String) {
    let output = timeout(LONG, command.output()).await;
    let output = output.expect("ends in time").expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Runs a program that prints one JSON value.
async fn json_of(command: &mut Command) -> Value {
    let (is_ok, said, log) = run(command).await;
    assert!(is_ok, "{said}{log}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{log}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client() {
    for (mode, protocol) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let Some(mut python) = python("python_client.py") else {
            return;
        };
        let mcp = Mcp::with(&["--rate-calls-per-minute", "5"]).await;
        python.args([&mcp.url, &mcp.identity.token("ada"), "ada", mode]);
        let made = json_of(&mut python).await;
        assert_eq!(made["protocol"], protocol, "{made}");
        assert_eq!(made["tools"], json!(TOOLS));
        let instructions = made["instructions"].as_str().expect("instructions");
        assert!(instructions.contains("\"ada\""), "{made}");
        assert_eq!(made["added"]["success"], true, "{made}");
        assert_eq!(made["done"]["success"], true, "{made}");
        assert_eq!(made["listed"]["tasks"][0]["title"], "buy milk", "{made}");
        assert_eq!(made["listed"]["tasks"][0]["completed"], true, "{made}");
        assert_eq!(made["foreign"][0], true, "{made}");
        assert_eq!(made["foreign"][1]["error"]["type"], "unauthorized_access");
        assert_eq!(made["wrong"][1]["error"]["type"], "invalid_parameters");
        // The sixth call of the minute is refused, in words that arrive.
        assert!(made["limited"].is_object(), "{made}");
        assert_eq!(mcp.titles("ada").await, ["buy milk"]);
        assert_eq!(mcp.recorded().await.len(), 5);
    }
}

/// The same for both ways in.
#[track_caller]
fn assert_fastmcp(made: &Value) {
    assert_eq!(made["tools"], json!(TOOLS));
    assert_eq!(made["added"]["success"], true, "{made}");
    assert_eq!(made["listed"]["count"], 1, "{made}");
    assert_eq!(made["foreign"][0], true, "{made}");
    assert_eq!(made["foreign"][1]["error"]["type"], "unauthorized_access");
}

#[tokio::test(flavor = "multi_thread")]
async fn fastmcps_client_over_http() {
    let Some(mut python) = python("fastmcp_client.py") else {
        return;
    };
    let mcp = Mcp::start().await;
    python.args(["http", &mcp.url, &mcp.identity.token("ada"), "ada"]);
    assert_fastmcp(&json_of(&mut python).await);
    assert_eq!(mcp.titles("ada").await, ["buy milk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fastmcps_client_over_stdio() {
    let Some(mut python) = python("fastmcp_client.py") else {
        return;
    };
    let url = system::database().await;
    let server = process::command("errand-mcp", &[], []).await;
    python
        .args(["stdio", "ada"])
        .arg(server.as_std().get_program());
    python
        .args(["--stdio", "--user", "ada"])
        .env("DATABASE_URL", &url);
    assert_fastmcp(&json_of(&mut python).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspectors_cli() {
    let mcp = Mcp::start().await;
    let header = format!("Authorization: Bearer {}", mcp.identity.token("ada"));
    let inspect = |arguments: &[&str]| {
        let mut node = node("inspector", "clients/launcher/build/index.js")?;
        node.args([
            "--cli",
            &mcp.url,
            "--transport",
            "http",
            "--header",
            &header,
        ]);
        node.args(arguments);
        Some(node)
    };
    let Some(mut list) = inspect(&["--method", "tools/list"]) else {
        return;
    };
    let listed = json_of(&mut list).await;
    let names = listed["tools"].as_array().expect("tools").iter();
    let names: Vec<_> = names.map(|tool| tool["name"].clone()).collect();
    assert_eq!(json!(names), json!(TOOLS));
    let add = ["--method", "tools/call", "--tool-name", "add_task"];
    let add = [&add[..], &["--tool-arg", "user_id=ada", "title=buy milk"]].concat();
    let added = json_of(&mut inspect(&add).expect("it is there")).await;
    assert_eq!(added["structuredContent"]["success"], true, "{added}");
    assert_eq!(mcp.titles("ada").await, ["buy milk"]);
}

/// Everything that a revision requires of servers. What cannot apply to five fixed tools is in the list of expected failures,
/// with reasons; a failure that is not there, or one there that succeeds, fails the test.
#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite() {
    for (server, revision) in [
        (Server::Program, "2025-11-25"),
        (Server::Program, "2026-07-28"),
        (Server::Api, "2025-11-25"),
        (Server::Api, "2026-07-28"),
    ] {
        let Some(mut node) = node("conformance", "dist/index.js") else {
            return;
        };
        let mut arguments = vec!["--rate-calls-per-minute", "0"];
        if server == Server::Api {
            // It asks for a guard by Host, which within the API is the operator's to want.
            arguments.extend(["--mcp-allowed-hosts", "localhost"]);
        }
        let mcp = Mcp::by(server, &arguments).await;
        let url = mcp.signed_in("ada").await;
        let expected = format!("expected-failures-{revision}.yml");
        node.args(["server", "--url", &url, "--requirements", revision]);
        node.args(["--expected-failures", &expected]);
        let (is_ok, said, log) = run(&mut node).await;
        assert!(is_ok, "{server:?} {revision}: {said}{log}");
        // It would also be well if it had run nothing.
        assert!(said.contains("tools-list"), "{revision}: {said}");
    }
}
