//! Leases: whose jobs a worker takes over, and when it does not.

use errand_core::jobs::{QUEUE, job_id};
use errand_devkit::model::Turn;
use serde_json::json;

use crate::world::{
    Answer, Options, World,
    process::{self, Process},
};

/// A world without a worker, but for those that the database thinks there are.
async fn world() -> World {
    // Before anything is dated.
    process::programs().await;
    let world = World::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    world.model.script(|_| Turn::text("Taken over."));
    world
}

/// A run of this user in the hands of that worker, which was heard so long ago.
async fn held(world: &World, user: &str, worker: &str, ago: &str) -> String {
    let body = json!({"message": "go"});
    let request = world.post_chat(user, &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    let run_id = accepted.body["run_id"].as_str().unwrap().to_owned();
    heard(world, worker, ago).await;
    sqlx::query(
        "update apalis.jobs set status = 'Running', lock_by = $1, lock_at = now() where id = $2",
    )
    .bind(worker)
    .bind(job_id(run_id.parse().unwrap()))
    .execute(&world.db)
    .await
    .unwrap();
    run_id
}

/// A worker's last beat.
async fn heard(world: &World, worker: &str, ago: &str) {
    sqlx::query(
        "insert into apalis.workers (id, worker_type, storage_name, last_seen)
         values ($1, $2, 'errand', now() - $3::text::interval)
         on conflict (id) do update set last_seen = excluded.last_seen",
    )
    .bind(worker)
    .bind(QUEUE)
    .bind(ago)
    .execute(&world.db)
    .await
    .unwrap();
}

/// A worker that has beaten once.
async fn worker(world: &World, lease: &str) -> Process {
    let base_url = world.model.base_url();
    let environment = vec![
        ("DATABASE_URL", world.database_url.as_str()),
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_API_KEY", "test"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let mut worker =
        Process::start("errand-worker", &["--lease-timeout", lease], environment).await;
    worker.until_says("taking runs").await;
    worker
}

async fn assert_taken_over(world: &World, user: &str, run_id: &str) {
    let run = world.get(user, &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "Taken over.", "{}", run.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_before_a_worker_started_it_takes_over_at_once() {
    let world = world().await;
    let run_id = held(&world, "ada", "dead", "61 s").await;
    // Somebody was heard meanwhile, so the silence is the dead one's own.
    heard(&world, "living", "0 s").await;
    let _worker = worker(&world, "60s").await;
    // Long before a lease of its own would be over.
    assert_taken_over(&world, "ada", &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_silence_of_all_every_lease_begins_anew() {
    let world = world().await;
    held(&world, "ada", "dead", "61 s").await;
    heard(&world, "idle", "61 s").await;
    let mut worker = worker(&world, "60s").await;
    worker.until_says("begin anew").await;
    let spared = "select count(*) from apalis.jobs j join apalis.workers w on w.id = j.lock_by
                  where w.id = 'dead' and w.last_seen > now() - interval '30 s'";
    assert_eq!(world.count(spared).await, 1);
    // Who holds no job is not kept from being forgotten.
    let idle = "select count(*) from apalis.workers where id = 'idle' and last_seen < now() - interval '60 s'";
    assert_eq!(world.count(idle).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_silent_after_an_outage_is_taken_for_dead() {
    let world = world().await;
    let run_id = held(&world, "ada", "dead", "3 s").await;
    let mut worker = worker(&world, "2s").await;
    worker.until_says("begin anew").await;
    worker.until_says("took over").await;
    assert_taken_over(&world, "ada", &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_from_the_future_keeps_no_job() {
    let world = world().await;
    // The database's clock was set back by an hour.
    held(&world, "ada", "dead", "-1 hour").await;
    heard(&world, "living", "0 s").await;
    let _worker = worker(&world, "60s").await;
    // From now on its lease runs like any other.
    let begun = "select count(*) from apalis.workers where id = 'dead' and last_seen <= now()";
    world.until(begun, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_session_is_gone_is_dead_after_half_a_lease() {
    let world = world().await;
    let waits = held(&world, "ada", "frozen", "0 s").await;
    let goes = held(&world, "bob", "gone", "0 s").await;
    let mut session = world.db.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock_shared(hashtextextended('frozen', 2))")
        .execute(&mut *session)
        .await
        .unwrap();
    let _worker = worker(&world, "10s").await;
    // Both beat once more beside it; the one that is gone does so last.
    heard(&world, "frozen", "0 s").await;
    heard(&world, "gone", "0 s").await;
    assert_taken_over(&world, "bob", &goes).await;
    assert_eq!(
        world
            .count(
                "select count(*) from apalis.jobs where lock_by = 'frozen' and status = 'Running'"
            )
            .await,
        1
    );
    assert_taken_over(&world, "ada", &waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_server_a_session_that_is_gone_says_nothing() {
    let world = world().await;
    // A crash ends all sessions: none is as old as the last beat.
    held(&world, "ada", "alive", "13 hours").await;
    heard(&world, "living", "0 s").await;
    let _worker = worker(&world, "24h").await;
    let held = "select count(*) from apalis.jobs where lock_by = 'alive' and status = 'Running'";
    assert_eq!(world.count(held).await, 1);
}
