//! Fuzzing: the HTTP API by its own document (schemathesis), the socket and the tools at `/mcp` by a grammar. Nothing may answer with a 5xx, nothing
//! may stay without an answer, and no user meets another's rows.

use std::{path::Path, time::Duration};

use errand_devkit::model::{Turn, request};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::system::{Answer, Options, TestSystem, rows, socket::Socket};

mod grammar;

use grammar::Grammar;

/// Frames of the socket in a test run; `ERRAND_FUZZ` multiplies these and the requests.
const FRAMES: u64 = 3_000;
/// Frames on one socket: the server counts them.
const FRAMES_A_SOCKET: u64 = 150;
/// Messages to `/mcp` in a test run.
const MESSAGES: u64 = 600;
/// Requests for each operation of the document.
const EXAMPLES: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(1_200);

fn times() -> u64 {
    let times = std::env::var("ERRAND_FUZZ").ok();
    times.and_then(|times| times.parse().ok()).unwrap_or(1)
}

async fn system() -> TestSystem {
    let system = TestSystem::with(Options {
        api: vec!["--rate-runs-per-minute", "0", "--max-active-runs", "0"],
        worker: vec!["--require-approval", "add_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .script(|asked| match request::steps(asked).len() {
            0 if request::last_user(asked).len().is_multiple_of(3) => {
                Turn::call("add_task", json!({"title": "x"}))
            }
            0 => Turn::call("list_tasks", json!({})),
            _ => Turn::text("Done."),
        });
    system
}

/// Ids of a conversation and of runs of this user.
async fn ids(system: &TestSystem, user: &str) -> Vec<String> {
    let said = system.say(user, "hello").await;
    let mut ids = Vec::new();
    for id in ["conversation_id", "run_id"] {
        ids.push(said.body[id].as_str().expect("an id").to_owned());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_answers_whatever_is_said() {
    let system = system().await;
    let mut known = ids(&system, "ada").await;
    let others = ids(&system, "bob").await;
    known.extend(others.clone());
    let seed: u64 = rand::random();
    let mut grammar = Grammar {
        random: StdRng::seed_from_u64(seed),
        known,
        made: 0,
    };
    let frames = FRAMES * times();
    while grammar.made < frames {
        talk(&system, &mut grammar, &others[0], seed).await;
    }
    // Nobody else was touched: bob has what he had.
    let bobs = "select count(*) from runs where user_id = 'bob' and status <> 'cancelled'";
    assert_eq!(system.count(bobs).await, 1, "seed {seed}");
    let strange = "select count(*) from runs r join conversations c on c.id = r.conversation_id where c.user_id <> r.user_id";
    assert_eq!(system.count(strange).await, 0, "seed {seed}");
    system.say("cleo", "hello").await.assert_ok();
}

/// One socket of ada's, until a malformed frame closes it or it has said enough.
async fn talk(system: &TestSystem, grammar: &mut Grammar, bobs: &str, seed: u64) {
    let mut socket = Socket::connect(system, "ada").await;
    for _ in 0..FRAMES_A_SOCKET {
        let frame = grammar.frame();
        socket.send(&frame.text).await;
        let Some(id) = frame.id else {
            let code = socket.closed().await;
            assert_eq!(code, 4400, "seed {seed}: {}", frame.text);
            break;
        };
        let answer = socket
            .until(|answer| answer["id"] == *id && is_answer(answer))
            .await;
        let code = answer["error"].as_str().unwrap_or_default();
        assert!(
            !matches!(code, "internal_error" | "unavailable"),
            "seed {seed}: {} -> {answer}",
            frame.text
        );
    }
    for frame in &socket.frames {
        assert!(
            is_answer(frame) || frame["threadId"] != *bobs,
            "seed {seed}: told of another's conversation: {frame}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_answer_whatever_is_sent() {
    let system = TestSystem::with(Options {
        api: vec!["--rate-calls-per-minute", "0"],
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mcp = system.mcp();
    let mut known = Vec::new();
    for user in ["ada", "bob"] {
        for n in 0..3 {
            let task = json!({"user_id": user, "title": format!("task {n}")});
            let added = mcp.call(user, "add_task", task).await;
            known.push(added["task_id"].as_str().expect("an id").to_owned());
        }
    }
    let bobs = rows::of(&system.db, "bob").await;
    let listed = mcp.ask("ada", "tools/list", json!({})).await;
    let tools = listed.assert_ok()["result"]["tools"].clone();
    let tools = tools.as_array().expect("tools");
    let seed: u64 = rand::random();
    let mut grammar = Grammar {
        random: StdRng::seed_from_u64(seed),
        known,
        made: 0,
    };
    let token = system.identity.token("ada");
    while grammar.made < MESSAGES * times() {
        let message = grammar.message(tools);
        let answer = Answer::of(mcp.post(&message).bearer_auth(&token)).await;
        let code = &answer.body["error"]["code"];
        assert!(
            !answer.status.is_server_error()
                && !matches!(code.as_i64(), Some(-32_603 | -32_011 | -32_012)),
            "seed {seed}: {message} -> {} {}",
            answer.status,
            answer.body
        );
        let result = &answer.body["result"]["structuredContent"];
        assert!(
            result.is_null() || result["success"].is_boolean(),
            "seed {seed}: {message} -> {result}"
        );
    }
    assert_eq!(rows::of(&system.db, "bob").await, bobs, "seed {seed}");
}

fn is_answer(frame: &Value) -> bool {
    frame["type"] == "success" || frame["type"] == "error"
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why, a run how much it did"
)]
async fn every_answer_is_as_the_document_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let program = folder.join(".venv/bin/schemathesis");
    if !program.exists() {
        eprintln!(
            "skipped: schemathesis is not installed; run `python3 -m venv tests/fuzz/.venv` and \
             `tests/fuzz/.venv/bin/pip install -r tests/fuzz/requirements.txt`"
        );
        return;
    }
    let system = system().await;
    ids(&system, "ada").await;
    let seed: u32 = rand::random();
    let token = system.identity.token("ada");
    let mut schemathesis = Command::new(program);
    schemathesis
        .current_dir(std::env::temp_dir())
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", system.url)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--workers", "1", "--continue-on-failure", "--no-shrink"])
        .args(["--seed", &seed.to_string()])
        .args(["--max-examples", &(EXAMPLES * times()).to_string()])
        .env("NO_COLOR", "1")
        .kill_on_drop(true);
    let output = timeout(PATIENCE, schemathesis.output()).await;
    let output = output.expect("ends in time").expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let generated = said.lines().find(|line| line.contains(" generated,"));
    eprintln!("schemathesis: {}", generated.unwrap_or_default().trim());
    Answer::of(system.bare(Method::GET, "/readyz"))
        .await
        .assert_ok();
}
