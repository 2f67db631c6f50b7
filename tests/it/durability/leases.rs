//! Leases: whose jobs a worker takes over, and when it does not.

use errand_core::jobs::{QUEUE, job_id};
use errand_devkit::model::Turn;
use serde_json::json;

use crate::system::{
    Answer, Options, TestSystem,
    process::{self, Process},
};

/// A system without a worker, but for those that the database thinks there are.
async fn system() -> TestSystem {
    // Before anything is dated.
    process::programs().await;
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system.model.script(|_| Turn::text("Taken over."));
    system
}

/// A run of this user in the hands of that worker, which was heard so long ago.
async fn held(system: &TestSystem, user: &str, worker: &str, ago: &str) -> String {
    let body = json!({"message": "go"});
    let request = system.post_chat(user, &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    let run_id = accepted.body["run_id"].as_str().unwrap().to_owned();
    heard(system, worker, ago).await;
    sqlx::query(
        "update apalis.jobs set status = 'Running', lock_by = $1, lock_at = now() where id = $2",
    )
    .bind(worker)
    .bind(job_id(run_id.parse().unwrap()))
    .execute(&system.db)
    .await
    .unwrap();
    run_id
}

/// A worker's last beat.
async fn heard(system: &TestSystem, worker: &str, ago: &str) {
    sqlx::query(
        "insert into apalis.workers (id, worker_type, storage_name, last_seen)
         values ($1, $2, 'errand', now() - $3::text::interval)
         on conflict (id) do update set last_seen = excluded.last_seen",
    )
    .bind(worker)
    .bind(QUEUE)
    .bind(ago)
    .execute(&system.db)
    .await
    .unwrap();
}

/// A worker that has beaten once.
async fn worker(system: &TestSystem, lease: &str) -> Process {
    let base_url = system.model.base_url();
    let environment = vec![
        ("DATABASE_URL", system.database_url.as_str()),
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_API_KEY", "test"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let mut worker =
        Process::start("errand-worker", &["--lease-timeout", lease], environment).await;
    worker.until_says("taking runs").await;
    worker
}

async fn assert_taken_over(system: &TestSystem, user: &str, run_id: &str) {
    let run = system.get(user, &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "Taken over.", "{}", run.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_before_a_worker_started_it_takes_over_at_once() {
    let system = system().await;
    let run_id = held(&system, "ada", "dead", "61 s").await;
    // Somebody was heard meanwhile, so the silence is the dead one's own.
    heard(&system, "living", "0 s").await;
    let _worker = worker(&system, "60s").await;
    // Long before a lease of its own would be over.
    assert_taken_over(&system, "ada", &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_silence_of_all_every_lease_begins_anew() {
    let system = system().await;
    held(&system, "ada", "dead", "61 s").await;
    heard(&system, "idle", "61 s").await;
    let mut worker = worker(&system, "60s").await;
    worker.until_says("begin anew").await;
    let spared = "select count(*) from apalis.jobs j join apalis.workers w on w.id = j.lock_by
                  where w.id = 'dead' and w.last_seen > now() - interval '30 s'";
    assert_eq!(system.count(spared).await, 1);
    // Who holds no job is not kept from being forgotten.
    let idle = "select count(*) from apalis.workers where id = 'idle' and last_seen < now() - interval '60 s'";
    assert_eq!(system.count(idle).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_silent_after_an_outage_is_taken_for_dead() {
    let system = system().await;
    let run_id = held(&system, "ada", "dead", "3 s").await;
    let mut worker = worker(&system, "2s").await;
    worker.until_says("begin anew").await;
    worker.until_says("took over").await;
    assert_taken_over(&system, "ada", &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_from_the_future_keeps_no_job() {
    let system = system().await;
    // The database's clock was set back by an hour.
    held(&system, "ada", "dead", "-1 hour").await;
    heard(&system, "living", "0 s").await;
    let _worker = worker(&system, "60s").await;
    // From now on its lease runs like any other.
    let begun = "select count(*) from apalis.workers where id = 'dead' and last_seen <= now()";
    system.until(begun, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_session_is_gone_is_dead_after_half_a_lease() {
    let system = system().await;
    let waits = held(&system, "ada", "frozen", "0 s").await;
    let goes = held(&system, "bob", "gone", "0 s").await;
    let mut session = system.db.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock_shared(hashtextextended('frozen', 2))")
        .execute(&mut *session)
        .await
        .unwrap();
    let _worker = worker(&system, "10s").await;
    // Both beat once more beside it; the one that is gone does so last.
    heard(&system, "frozen", "0 s").await;
    heard(&system, "gone", "0 s").await;
    assert_taken_over(&system, "bob", &goes).await;
    assert_eq!(
        system
            .count(
                "select count(*) from apalis.jobs where lock_by = 'frozen' and status = 'Running'"
            )
            .await,
        1
    );
    assert_taken_over(&system, "ada", &waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_server_a_session_that_is_gone_says_nothing() {
    let system = system().await;
    // A crash ends all sessions: none is as old as the last beat.
    held(&system, "ada", "alive", "13 hours").await;
    heard(&system, "living", "0 s").await;
    let _worker = worker(&system, "24h").await;
    let held = "select count(*) from apalis.jobs where lock_by = 'alive' and status = 'Running'";
    assert_eq!(system.count(held).await, 1);
}
