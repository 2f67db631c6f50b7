//! The server of llama.cpp itself, with a small model, where `tests/llama/.venv` has them: what no stand-in can vouch for.

use std::{path::Path, process::Stdio, time::Duration};

use errand_devkit::process::{self, Process};
use serde_json::json;

use crate::system::{Answer, Options, TestSystem};

/// Tokens that the server has place for: more than the prompt, less than the prompt and a long message.
const CONTEXT: &str = "2048";
/// Tokens that it writes: it is slow, and what it says does not matter.
const ANSWER: &str = "12";
const PATIENCE: Duration = Duration::from_secs(60);

/// The server's address and its process; none if it is not installed.
async fn server() -> Option<(String, Process)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("llama");
    let python = folder.join(".venv/bin/python");
    if !python.exists() {
        return None;
    }
    let mut command = process::command(&python);
    command.arg(folder.join("serve.py")).args([CONTEXT, ANSWER]);
    command.stdin(Stdio::piped());
    let server = Process::start_heard("llama.cpp", &mut command, |_| ());
    let mut server = server.expect("it starts");
    let line = server
        .until_says("listening on", PATIENCE)
        .await
        .expect("an address");
    let address = line.rsplit(' ').next().expect("an address").to_owned();
    Some((address, server))
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
async fn the_server_of_llama_cpp_answers_and_refuses_as_is_known() {
    let Some((address, mut server)) = server().await else {
        eprintln!("skipped: llama.cpp is not in tests/llama/.venv; see CONTRIBUTING.md");
        return;
    };
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        worker: vec!["--openai-provider", "llama.cpp", "--run-timeout", "180s"],
        ..Options::default()
    })
    .await;
    system.model_url = Some(format!("{address}/v1"));
    system.start_worker().await;

    // Nothing is written for this one, so it is quick: the server refuses it, and the turn ends with what that means.
    let long = "one two three four ".repeat(420);
    let refused = system.say("ada", &long).await;
    refused.assert_error(502, "model_error");
    let told = refused.body["error"]["message"].as_str().unwrap();
    assert!(told.contains("too long"), "{told}");

    let accepted = system
        .post_chat("ada", &json!({"message": "Say hello."}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    let run = accepted.body["run_id"].as_str().expect("a run").to_owned();
    // Some seconds; more where others are at work on the machine.
    for _ in 0..3 {
        let run = system.get("ada", &format!("runs/{run}?wait=50")).await;
        if run.assert_ok()["status"] != "running" && run.body["status"] != "queued" {
            break;
        }
    }
    let run = system.get("ada", &format!("runs/{run}")).await;
    assert_eq!(run.assert_ok()["status"], "completed", "{}", run.body);
    assert!(!run.body["response"].as_str().unwrap().is_empty());
    let usage = &run.body["usage"];
    assert!(usage["input_tokens"].as_i64() > Some(100), "{usage}");
    assert!(
        usage.get("estimated").is_none(),
        "it counts its tokens: {usage}"
    );
    server.kill().await.expect("it ends");
}
