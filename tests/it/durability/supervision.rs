//! What a process cannot do without: when one of its background tasks panics, it ends at once and says why, and whoever watches
//! over it starts it again.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::system::{Answer, Options, PATIENCE, TestSystem, process::Process};

/// How long a process may go on without one of its tasks.
const SECOND: Duration = Duration::from_secs(1);

/// What each program says when it is at work, and the tasks that it has to have, at least.
const PROGRAMS: [(&str, &str, &[&str]); 2] = [
    (
        "errand-api",
        "the database is ready",
        &["listener", "waiting", "broker"],
    ),
    (
        "errand-worker",
        "taking runs",
        &[
            "heartbeat",
            "claims",
            "publisher",
            "cancels",
            "listener",
            "purge",
            "drain",
            "tool server",
        ],
    ),
];

async fn system() -> TestSystem {
    let options = Options {
        workers: Some(0),
        ..Options::default()
    };
    TestSystem::with(options).await
}

async fn start(program: &str, system: &TestSystem, points: &str) -> Process {
    let base_url = system.model.base_url();
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("OPENAI_BASE_URL", &base_url),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "info,errand_server::supervise=debug"),
        ("FAILPOINTS", points),
    ];
    Process::with_fail_points(program, environment).await
}

/// Everything that it has said, after its end.
async fn log(mut process: Process) -> Vec<Value> {
    process.rest().await;
    let lines = process.heard().iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_with_any_of_its_tasks() {
    let system = system().await;
    for (program, at_work, expected) in PROGRAMS {
        let mut whole = start(program, &system, "").await;
        whole.until_says(at_work).await;
        whole.signal("TERM").await;
        assert!(whole.ends(PATIENCE).await.success());
        let log_of_whole = log(whole).await;
        let tasks: Vec<&str> = log_of_whole
            .iter()
            .filter(|line| line["message"] == "supervised")
            .filter_map(|line| line["task"].as_str())
            .collect();
        for task in expected {
            assert!(tasks.contains(task), "{task}: {tasks:?}");
        }
        // All that there are: who adds one adds a case.
        for task in tasks {
            let mut process = start(program, &system, &format!("task.{task}=5*off->panic")).await;
            process.until_says("a panic").await;
            let panicked = Instant::now();
            let status = process.ends(SECOND).await;
            assert!(panicked.elapsed() < SECOND, "{task}");
            assert_eq!(status.code(), Some(1), "{task}");
            let log = log(process).await;
            let errors: Vec<&Value> = log.iter().filter(|line| line["level"] == "ERROR").collect();
            let said = |text: &str| errors.iter().find(|line| line["message"] == text);
            assert!(said("a panic").is_some(), "{task}: {log:#?}");
            let reason = said("the process cannot go on and ends").map(|line| &line["task"]);
            assert_eq!(reason, Some(&json!(task)), "{log:#?}");
            let last = said("stopped").and_then(|line| line["error"].as_str());
            assert!(last.is_some_and(|last| last.contains(task)), "{log:#?}");
        }
    }
}

/// What a worker had in its hands goes on elsewhere, and costs no attempt.
#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_process_that_ends_are_given_back() {
    let mut system = system().await;
    let gate = Gate::closed();
    system.model.push(Turn::text("lost").gate_after(0, &gate));
    system.model.push(Turn::text("Here is the answer."));
    let mut doomed = start("errand-worker", &system, "task.purge=20*off->panic").await;
    doomed.until_says("taking runs").await;
    let accepted = system.post_chat("ada", &json!({"message": "go"}));
    let accepted = Answer::of(accepted.header("prefer", "respond-async")).await;
    gate.reached(1).await.expect("the model is asked");
    assert_eq!(doomed.ends(PATIENCE).await.code(), Some(1));
    let query = "select attempt - handbacks from runs where status = 'queued'";
    let lost: i32 = sqlx::query_scalar(query)
        .fetch_one(&system.db)
        .await
        .expect("the run is in the queue");
    assert_eq!(lost, 0);
    system.start_worker().await;
    let run = format!(
        "runs/{}?wait=20",
        accepted.body["run_id"].as_str().expect("a run")
    );
    let run = Answer::of(system.request(Method::GET, "ada", &run)).await;
    assert_eq!(run.assert_ok()["response"], "Here is the answer.");
}
