//! Sweeps: a run that is at work and has no job gets one, and a job that has no run goes.

use errand_core::jobs::job_id;
use errand_devkit::model::Turn;
use serde_json::json;
use uuid::Uuid;

use crate::world::{Answer, Options, World, rows};

/// A world without a worker, in which a run waits for one.
async fn world() -> (World, String) {
    let world = World::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    world.model.script(|_| Turn::text("Found."));
    let body = json!({"message": "go"});
    let request = world.post_chat("ada", &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202);
    let run_id = accepted.body["run_id"].as_str().unwrap().to_owned();
    (world, run_id)
}

async fn assert_answered(world: &World, run_id: &str) {
    let run = world.get("ada", &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "Found.", "{}", run.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_without_a_job_is_found() {
    let (mut world, run_id) = world().await;
    rows::execute(&world.db, "delete from apalis.jobs").await;
    world.start_worker().await;
    assert_answered(&world, &run_id).await;
    // Its end is an end like any other.
    assert_eq!(world.count("select count(*) from apalis.jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_is_done_before_it_is_found() {
    let (mut world, run_id) = world().await;
    let done = "update apalis.jobs set status = 'Done', done_at = now()";
    rows::execute(&world.db, done).await;
    world.start_worker().await;
    assert_answered(&world, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_work_whose_job_and_worker_are_gone_is_found() {
    let (mut world, run_id) = world().await;
    let died = "update runs set status = 'running', attempt = 1, started_at = now(); delete from apalis.jobs";
    rows::execute(&world.db, died).await;
    world.start_worker().await;
    assert_answered(&world, &run_id).await;
    assert_eq!(
        world.count("select attempt::bigint from runs").await,
        2,
        "the attempt that died is fenced off"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_place_or_a_decision_gets_none() {
    let (mut world, _) = world().await;
    let held = "update runs set admitted_at = null; delete from apalis.jobs";
    rows::execute(&world.db, held).await;
    let other = world.post_chat("bob", &json!({"message": "wait"}));
    Answer::of(other.header("prefer", "respond-async")).await;
    let waits = "update runs set status = 'running' where user_id = 'bob'; update runs set status = 'waiting' where user_id = 'bob'; delete from apalis.jobs";
    rows::execute(&world.db, waits).await;
    // A third, which is found, tells that the sweep has been here.
    let third = world.post_chat("cy", &json!({"message": "go"}));
    Answer::of(third.header("prefer", "respond-async")).await;
    rows::execute(&world.db, "delete from apalis.jobs").await;
    world.start_worker().await;
    let ended = "select count(*) from runs where user_id = 'cy' and status = 'completed'";
    world.until(ended, 1).await;
    world.until("select count(*) from apalis.jobs", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_run_goes_and_stops_nobody() {
    let (mut world, run_id) = world().await;
    let strays = format!(
        "insert into apalis.jobs (job, id, job_type, run_at) values
             (convert_to('{{\"run_id\": \"{run}\"}}', 'UTF8'), '{job}', 'errand.run', now() - interval '1 hour'),
             ('\\x00', '{malformed}', 'errand.run', now() - interval '1 hour'),
             ('\\x00', 'no ULID', 'errand.run', now() - interval '1 hour')",
        run = Uuid::nil(),
        job = job_id(Uuid::nil()),
        malformed = job_id(Uuid::now_v7()),
    );
    rows::execute(&world.db, &strays).await;
    // Nor does one whose run waits for a decision.
    let waits = world.post_chat("bob", &json!({"message": "wait"}));
    Answer::of(waits.header("prefer", "respond-async")).await;
    let waits = "update runs set status = 'running' where user_id = 'bob'; update runs set status = 'waiting' where user_id = 'bob'";
    rows::execute(&world.db, waits).await;
    world.start_worker().await;
    assert_answered(&world, &run_id).await;
    // Those that nobody can read are left for somebody to look at.
    let over = "select count(*) filter (where status = 'Killed' and done_at is not null) * 100 + count(*) from apalis.jobs";
    world.until(over, 303).await;
}
