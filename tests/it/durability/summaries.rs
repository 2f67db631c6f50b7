//! Workers that die, stop or stand still in the middle of a summary.

use errand_devkit::model::{Gate, Turn, request};
use serde_json::Value;

use crate::system::{Answer, Options, TestSystem, past, process::Process, rows};

const NOTES: &str = "Ann is the user's sister.";

async fn system() -> TestSystem {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    });
    system.await
}

async fn worker(system: &TestSystem) -> Process {
    let mut worker = system.worker_process(&[("OPENAI_API_KEY", "test")]).await;
    worker.until_says("taking runs").await;
    worker
}

async fn say(system: &TestSystem, conversation: &Value) -> Answer {
    system.model.push(Turn::text("Yes."));
    system.say_in("ada", conversation, "go on").await
}

const COMPLETED: &str = "select count(*) from summaries where status = 'completed'";

/// Another worker takes the summary over, and the conversation, which was answered long ago, hears nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_the_middle_of_a_summary_leaves_it_to_another() {
    let system = system().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    let mut doomed = worker(&system).await;
    say(&system, &conversation).await.assert_ok();
    gate.reached(1).await.unwrap();
    let _other = worker(&system).await;
    doomed.kill().await;
    gate.reached(2).await.unwrap();
    gate.open();
    system.until(COMPLETED, 1).await;
    assert_eq!(
        system.count("select attempt::bigint from summaries").await,
        2
    );
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 0);
    say(&system, &conversation).await.assert_ok();
    let last = system.model.requests().pop().unwrap();
    assert!(request::content(&request::messages(&last)[1]).ends_with(NOTES));
}

/// One that stops in good order waits for no summary and gives it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_its_summary_back() {
    let mut system = system().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    let first = system.start_worker().await;
    say(&system, &conversation).await.assert_ok();
    gate.reached(1).await.unwrap();
    first.cancel();
    system.model.aborted_seen(1).await.unwrap();
    system
        .until(
            "select count(*) from apalis.jobs where status = 'Pending' and lock_by is null",
            1,
        )
        .await;
    gate.open();
    system.start_worker().await;
    system.until(COMPLETED, 1).await;
}

/// The fence: whoever comes back writes nothing over what another has written.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_overtaken_writes_nothing() {
    let mut system = system().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate).usage(1_000, 100));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    system.start_worker().await;
    say(&system, &conversation).await.assert_ok();
    gate.reached(1).await.unwrap();
    rows::execute(&system.db, "update summaries set attempt = 2").await;
    gate.open();
    // What it took counts all the same.
    system
        .until(
            "select (sum(tokens) >= 1100)::int::bigint from usage_days",
            1,
        )
        .await;
    assert_eq!(
        system
            .count("select count(*) from summaries where status = 'running' and content is null")
            .await,
        1
    );
    assert_eq!(
        system
            .count("select count(*) from apalis.jobs where status = 'Running'")
            .await,
        1
    );
}

/// A pause of the queue is one of summaries, too.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_summarised_while_the_queue_is_paused() {
    let mut system = system().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    let worker = system.start_worker().await;
    say(&system, &conversation).await.assert_ok();
    gate.reached(1).await.unwrap();
    rows::execute(
        &system.db,
        "insert into queue_pause (asked_by) values ('test')",
    )
    .await;
    worker.cancel();
    system
        .until(
            "select count(*) from apalis.jobs where status = 'Pending'",
            1,
        )
        .await;
    let pool = errand_store::pool(&system.database_url, "test", 1, true).unwrap();
    rows::execute(&system.db, "insert into apalis.workers (id, worker_type, storage_name) values ('w', 'errand.run', 'errand')").await;
    let claim = async || errand_store::summaries::claim(&pool, "w").await.unwrap();
    assert!(claim().await.is_none());
    rows::execute(&system.db, "delete from queue_pause").await;
    assert_eq!(claim().await.map(|claimed| claimed.attempt), Some(2));
}

/// A model that is not available is asked again later, three times in all.
#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_begun_three_times_at_most() {
    let mut system = system().await;
    system.model.summarise(Turn::status(503));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    system.start_worker().await;
    say(&system, &conversation).await.assert_ok();
    let later = "select count(*) from summaries s join apalis.jobs j on j.run_at > now() + interval '3 s' and j.status = 'Pending'
                 where s.status = 'queued' and s.attempt = 1";
    system.until(later, 1).await;
    rows::execute(
        &system.db,
        "update summaries set attempt = 2; update apalis.jobs set run_at = now() - interval '1 s'",
    )
    .await;
    system.until("select count(*) from summaries where status = 'failed' and error_code = 'model_unavailable' and attempt = 3", 1).await;
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 0);
}

/// A conversation that goes on leaves the job of its summary behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_summary_is_over_holds_up_no_other() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for user in ["ada", "bob"] {
        past::talk(&system.db, user, 35, "Remember number").await;
    }
    rows::execute(&system.db, "insert into apalis.workers (id, worker_type, storage_name) values ('w', 'errand.run', 'errand')").await;
    let asked = "with asked as (
            insert into summaries (id, conversation_id, user_id, covers_to)
            select gen_random_uuid(), conversation_id, user_id, max(position) - 10 from runs group by 2, 3 returning id, user_id)
        insert into apalis.jobs (id, job_type, job, run_at, metadata)
        select job_of_run(id), 'errand.summary', convert_to('{\"summary_id\":\"' || id || '\"}', 'utf8'),
               now() - case user_id when 'ada' then interval '2 s' else interval '1 s' end, '' from asked";
    rows::execute(&system.db, asked).await;
    let over =
        "update summaries set status = 'cancelled', finished_at = now() where user_id = 'ada'";
    rows::execute(&system.db, over).await;
    let pool = errand_store::pool(&system.database_url, "test", 1, true).unwrap();
    let claimed = errand_store::summaries::claim(&pool, "w").await.unwrap();
    assert_eq!(
        claimed.map(|claimed| claimed.span.user_id),
        Some("bob".to_owned())
    );
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 1);
}

/// Turns go first: while each place of a worker has one, it begins no summary.
#[tokio::test(flavor = "multi_thread")]
async fn no_summary_is_begun_while_a_turn_would_have_to_wait() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        worker: vec!["--worker-concurrency", "1"],
        ..Options::default()
    })
    .await;
    system.model.summarise(Turn::text(NOTES));
    past::talk(&system.db, "ada", 35, "Remember number").await;
    let asked = "with asked as (
            insert into summaries (id, conversation_id, user_id, covers_to)
            select gen_random_uuid(), conversation_id, user_id, max(position) - 10 from runs group by 2, 3 returning id)
        insert into apalis.jobs (id, job_type, job, run_at, metadata)
        select job_of_run(id), 'errand.summary', convert_to('{\"summary_id\":\"' || id || '\"}', 'utf8'), now() - interval '1 s', '' from asked";
    rows::execute(&system.db, asked).await;
    let gate = Gate::closed();
    system.model.push(Turn::text("Yes.").gate_after(0, &gate));
    let body = serde_json::json!({"message": "hello"});
    let request = system.post_chat("bob", &body);
    Answer::of(request.header("prefer", "respond-async")).await;
    system.start_worker().await;
    gate.reached(1).await.unwrap();
    // It looks a second after its start.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let begun = "select count(*) from summaries where attempt > 0";
    assert_eq!(system.count(begun).await, 0);
    gate.open();
    system.until(COMPLETED, 1).await;
}
