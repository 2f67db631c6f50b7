//! What an operator asks on the command line.

use std::process::Stdio;

use errand_devkit::{
    model::{Gate, Turn},
    process::signal,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::system::{Answer, PATIENCE, TestSystem, process};

async fn command(system: &TestSystem, arguments: &[&str]) -> Command {
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("USER", "night-shift"),
    ];
    process::command("errand-api", arguments, environment).await
}

/// What a command printed; it has to come to a good end.
pub(super) async fn printed(system: &TestSystem, arguments: &[&str]) -> String {
    let output = command(system, arguments).await.output();
    let output = output.await.expect("it starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {log}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub(super) async fn told(system: &TestSystem, arguments: &[&str]) -> Value {
    let text = printed(system, arguments).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_seen_and_a_run_at_work_is_cancelled() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::text("one two three").gate_after(1, &gate));
    let body = json!({"message": "count"});
    let request = system
        .post_chat("ada", &body)
        .header("prefer", "respond-async");
    let accepted = Answer::of(request).await;
    let run = accepted.body["run_id"].as_str().expect("a run").to_owned();
    gate.reached(1).await.expect("it is at work");

    let queue = told(&system, &["queue", "--json"]).await;
    assert_eq!(
        (&queue["running"], &queue["workers"]),
        (&json!(1), &json!(1)),
        "{queue}"
    );
    let at_work = &queue["at_work"][0];
    assert_eq!(
        (&at_work["run_id"], &at_work["user_id"], &at_work["attempt"]),
        (&json!(run), &json!("ada"), &json!(1))
    );
    assert!(
        at_work["worker"]
            .as_str()
            .is_some_and(|worker| worker.starts_with("errand-worker-"))
    );
    let table = printed(&system, &["queue"]).await;
    assert!(
        table.contains(&run) && table.contains("running 1"),
        "{table}"
    );

    let said = printed(&system, &["cancel", &run]).await;
    assert!(said.contains("its worker is told"), "{said}");
    let ended = system.get("ada", &format!("runs/{run}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "cancelled");
    let story = told(&system, &["run", &run, "--json"]).await;
    assert_eq!(story["status"], "cancelled");
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_watched_is_told_again_and_again_until_the_stop() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system.model.push(Turn::text("Done.").gate_after(0, &gate));
    let body = json!({"message": "hello"});
    let request = system
        .post_chat("ada", &body)
        .header("prefer", "respond-async");
    let accepted = Answer::of(request).await;
    gate.reached(1).await.expect("it is at work");

    let mut watch = command(&system, &["queue", "--watch", "--json"]).await;
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut looks = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut look = async || {
        let look = timeout(PATIENCE, looks.next_line()).await.expect("a look");
        let look = look.expect("readable").expect("not the end");
        serde_json::from_str::<Value>(&look).expect("JSON, one line a look")
    };
    for _ in 0..2 {
        assert_eq!(look().await["running"], 1);
    }
    gate.open();
    let run = accepted.body["run_id"].as_str().expect("a run");
    let ended = system.get("ada", &format!("runs/{run}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "completed");
    while look().await["running"] != 0 {}
    signal(watch.id().expect("it runs"), "INT").await.unwrap();
    let status = timeout(PATIENCE, watch.wait()).await.expect("it stops");
    assert!(status.expect("a status").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_run_is_told_without_anybodys_words() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "a secret plan"})));
    system.model.push(Turn::text("It is a secret."));
    let answer = system.say("ada", "add a secret plan").await;
    let run = answer.assert_ok()["run_id"]
        .as_str()
        .expect("a run")
        .to_owned();

    let story = told(&system, &["run", &run, "--json"]).await;
    let happened: Vec<&str> = story["happened"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|happened| happened["what"].as_str())
        .collect();
    assert_eq!(
        happened,
        [
            "accepted",
            "admitted",
            "started",
            "step",
            "tool_call",
            "step",
            "ended"
        ]
    );
    assert_eq!(
        (&story["status"], &story["attempt"]),
        (&json!("completed"), &json!(1))
    );
    let lines = printed(&system, &["run", &run]).await;
    assert!(lines.contains("add_task, done"), "{lines}");
    assert!(
        !lines.contains("secret") && !story.to_string().contains("secret"),
        "{lines}"
    );

    // What there is not is told as an error.
    for command in ["run", "cancel"] {
        let unknown = uuid::Uuid::now_v7().to_string();
        let environment = [("DATABASE_URL", system.database_url.as_str())];
        let (status, said) = process::run("errand-api", &[command, &unknown], environment).await;
        assert!(
            !status.success() && said.contains("there is no such run"),
            "{said}"
        );
    }
}
