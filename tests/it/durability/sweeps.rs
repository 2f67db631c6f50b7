//! Sweeps: a run that is at work and has no job gets one, and a job that has no run goes.

use errand_core::jobs::job_id;
use errand_devkit::model::Turn;
use serde_json::json;
use uuid::Uuid;

use crate::system::{Answer, Options, TestSystem, rows};

/// A system without a worker, in which a run waits for one.
async fn system() -> (TestSystem, String) {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system.model.script(|_| Turn::text("Found."));
    let body = json!({"message": "go"});
    let request = system.post_chat("ada", &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202);
    let run_id = accepted.body["run_id"].as_str().unwrap().to_owned();
    (system, run_id)
}

async fn assert_answered(system: &TestSystem, run_id: &str) {
    let run = system.get("ada", &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "Found.", "{}", run.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_without_a_job_is_found() {
    let (mut system, run_id) = system().await;
    rows::execute(&system.db, "delete from apalis.jobs").await;
    system.start_worker().await;
    assert_answered(&system, &run_id).await;
    // Its end is an end like any other.
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_is_done_before_it_is_found() {
    let (mut system, run_id) = system().await;
    let done = "update apalis.jobs set status = 'Done', done_at = now()";
    rows::execute(&system.db, done).await;
    system.start_worker().await;
    assert_answered(&system, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_work_whose_job_and_worker_are_gone_is_found() {
    let (mut system, run_id) = system().await;
    let died = "update runs set status = 'running', attempt = 1, started_at = now(); delete from apalis.jobs";
    rows::execute(&system.db, died).await;
    system.start_worker().await;
    assert_answered(&system, &run_id).await;
    assert_eq!(
        system.count("select attempt::bigint from runs").await,
        2,
        "the attempt that died is fenced off"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_place_or_a_decision_gets_none() {
    let (mut system, _) = system().await;
    let held = "update runs set admitted_at = null; delete from apalis.jobs";
    rows::execute(&system.db, held).await;
    let other = system.post_chat("bob", &json!({"message": "wait"}));
    Answer::of(other.header("prefer", "respond-async")).await;
    let waits = "update runs set status = 'running' where user_id = 'bob'; update runs set status = 'waiting' where user_id = 'bob'; delete from apalis.jobs";
    rows::execute(&system.db, waits).await;
    // A third, which is found, tells that the sweep has been here.
    let third = system.post_chat("cy", &json!({"message": "go"}));
    Answer::of(third.header("prefer", "respond-async")).await;
    rows::execute(&system.db, "delete from apalis.jobs").await;
    system.start_worker().await;
    let ended = "select count(*) from runs where user_id = 'cy' and status = 'completed'";
    system.until(ended, 1).await;
    system.until("select count(*) from apalis.jobs", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_run_goes_and_stops_nobody() {
    let (mut system, run_id) = system().await;
    let strays = format!(
        "insert into apalis.jobs (job, id, job_type, run_at) values
             (convert_to('{{\"run_id\": \"{run}\"}}', 'UTF8'), '{job}', 'errand.run', now() - interval '1 hour'),
             ('\\x00', '{malformed}', 'errand.run', now() - interval '1 hour'),
             ('\\x00', 'no ULID', 'errand.run', now() - interval '1 hour')",
        run = Uuid::nil(),
        job = job_id(Uuid::nil()),
        malformed = job_id(Uuid::now_v7()),
    );
    rows::execute(&system.db, &strays).await;
    // Nor does one whose run waits for a decision.
    let waits = system.post_chat("bob", &json!({"message": "wait"}));
    Answer::of(waits.header("prefer", "respond-async")).await;
    let waits = "update runs set status = 'running' where user_id = 'bob'; update runs set status = 'waiting' where user_id = 'bob'";
    rows::execute(&system.db, waits).await;
    system.start_worker().await;
    assert_answered(&system, &run_id).await;
    // Those that nobody can read are left for somebody to look at.
    let over = "select count(*) filter (where status = 'Killed' and done_at is not null) * 100 + count(*) from apalis.jobs";
    system.until(over, 303).await;
}
