//! Growth: what is kept for a time only goes when its time is over, however much of it there is, and nothing gets dearer with the age of
//! the tables.

use std::time::Duration;

use errand_store::{
    self as store,
    queue::{
        periodic::Lease,
        purge::{self, Purge},
    },
};
use sqlx::PgPool;

use crate::system::{self, Options, TestSystem, rows};

mod plans;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs that ended between `from` and `to` ago, ten in a conversation, a thousand of a user, with a message, a key and events.
fn ended_runs(count: u32, from: &str, to: &str, events: u32) -> String {
    runs_in(count / 10, 10, from, to, events)
}

fn runs_in(conversations: u32, each: u32, from: &str, to: &str, events: u32) -> String {
    format!(
        "with c as (
             insert into conversations (id, user_id, title)
             select gen_random_uuid(), 'user-' || g / 100, 'old' from generate_series(1, {conversations}) g
             returning id, user_id
         ),
         r as (
             insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, started_at, created_at, finished_at,
                               idempotency_key, request_hash)
             select gen_random_uuid(), id, user_id, 'completed', 1, at, at, at, at, gen_random_uuid()::text, '\\x00'
             from (
                 select c.*, now() - interval '{from}' + random() * (interval '{from}' - interval '{to}') as at
                 from c cross join generate_series(1, {each})
             ) n
             returning id, conversation_id, user_id, finished_at
         ),
         m as (
             insert into messages (id, conversation_id, user_id, run_id, role, content)
             select gen_random_uuid(), conversation_id, user_id, id, 'user', 'hello' from r
         )
         insert into run_events (run_id, seq, event)
         select id, seq, '{{\"type\": \"CUSTOM\"}}' from r cross join generate_series(1, {events}) seq"
    )
}

/// Done jobs, of a worker that was last heard then.
fn done_jobs(count: u32, ago: &str) -> String {
    format!(
        "insert into apalis.workers (id, worker_type, storage_name, last_seen)
             values ('worker of {ago}', 'errand.run', 'errand', now() - interval '{ago}');
         insert into apalis.jobs (job, id, job_type, status, done_at, lock_by)
             select '\\x00', 'done ' || '{ago} ' || g, 'errand.run', 'Done', now() - interval '{ago}', 'worker of {ago}'
             from generate_series(1, {count}) g"
    )
}

/// Calls of an outside client, with ids of their time.
fn calls(count: u32, ago: &str) -> String {
    format!(
        "insert into mcp_calls (id, user_id, tool_name, parameters, result, created_at)
             select (lpad(to_hex((extract(epoch from now() - interval '{ago}') * 1000)::bigint), 12, '0')
                     || '7' || substr(md5(g::text), 1, 3) || '8' || substr(md5(g::text), 4, 15))::uuid,
                    'user-0', 'list_tasks', '{{}}', '{{}}', now() - interval '{ago}'
             from generate_series(1, {count}) g"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_at_once_and_the_rest_stays() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for statement in [
        ended_runs(5_000, "30 days", "25 hours", 3),
        ended_runs(100, "23 hours", "1 minute", 3),
        // Its end is still to come.
        "alter table runs disable trigger runs_transitions;
         update runs set status = 'waiting', finished_at = null where id = (
             select id from runs where finished_at < now() - interval '2 days' limit 1);
         alter table runs enable trigger runs_transitions"
            .to_owned(),
        done_jobs(3_000, "2 hours"),
        done_jobs(10, "10 minutes"),
        calls(2_000, "31 days"),
        calls(10, "29 days"),
        "insert into usage_days (user_id, day, tokens)
             select 'user-' || g, current_date - d, 1 from generate_series(1, 300) g, unnest(array[0, 30, 40, 400]) d"
            .to_owned(),
    ] {
        rows::execute(&system.db, &statement).await;
    }
    system.start_worker().await;
    for (left, expected) in [
        ("select count(*) from run_events", 303),
        ("select count(*) from apalis.jobs", 10),
        (
            "select count(*) from apalis.workers where id like 'worker of%'",
            1,
        ),
        ("select count(*) from mcp_calls", 10),
        (
            "select count(*) from runs where idempotency_key is not null and request_hash is not null",
            101,
        ),
        (
            "select count(*) from runs where idempotency_key is not null or request_hash is not null",
            101,
        ),
        ("select count(*) from usage_days", 600),
    ] {
        system.until(left, expected).await;
    }
    // What users own stays.
    assert_eq!(
        system
            .count("select count(*) from runs join messages on run_id = runs.id")
            .await,
        5_100
    );
    assert_eq!(
        system
            .count("select count(*) from run_events e join runs r on r.id = e.run_id where r.status = 'waiting'")
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_very_many_events_goes_as_a_whole() {
    let database = system::database().await;
    let pool = store::pool(&database, "test", 2, true).unwrap();
    let rows_db = PgPool::connect_lazy(&database).unwrap();
    rows::execute(&rows_db, &ended_runs(10, "3 days", "2 days", 1_000)).await;
    let mut tx = store::begin(&pool).await.unwrap();
    let batch = purge::step(&mut tx, Purge::Events, HOUR, 64).await.unwrap();
    assert_eq!((batch.rows, batch.is_last), (8_000, false));
    let batch = purge::step(&mut tx, Purge::Events, HOUR, 64).await.unwrap();
    assert_eq!((batch.rows, batch.is_last), (2_000, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_purge_is_made_at_a_time() {
    let database = system::database().await;
    let pool = store::pool(&database, "test", 4, true).unwrap();
    let rows_db = PgPool::connect_lazy(&database).unwrap();
    let mut db = store::connection(&pool).await.unwrap();
    let (one, other) = (Lease::new("purge"), Lease::new("purge"));
    assert!(one.take(&mut db).await.unwrap());
    assert!(!other.take(&mut db).await.unwrap());
    let batch = async |lease: &Lease| {
        purge::batch(&pool, lease, Purge::Jobs, HOUR, 10)
            .await
            .unwrap()
    };
    assert!(batch(&one).await.is_some());
    assert_eq!(batch(&other).await, None);
    let lapse = "update periodic_work set free_at = now() - interval '1 s' where name = 'purge'";
    rows::execute(&rows_db, lapse).await;
    // A batch under way keeps everybody out, however long it takes, and nobody waits for it.
    let mut under_way = store::begin(&pool).await.unwrap();
    assert!(one.hold(&mut under_way).await.unwrap());
    let asked = std::time::Instant::now();
    assert!(!other.take(&mut db).await.unwrap());
    assert!(asked.elapsed() < Duration::from_secs(1));
    under_way.rollback().await.unwrap();
    // Who was silent for too long has lost it.
    assert!(other.take(&mut db).await.unwrap());
    assert_eq!(batch(&one).await, None);
    assert!(batch(&other).await.is_some());
    other.rest(&mut db, HOUR).await.unwrap();
    assert!(!one.take(&mut db).await.unwrap());
    // A clock that was set back does not stop purges for long.
    let ahead = "update periodic_work set free_at = now() + interval '1 day' where name = 'purge'";
    rows::execute(&rows_db, ahead).await;
    assert!(one.take(&mut db).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_future_is_not_believed() {
    let database = system::database().await;
    let pool = store::pool(&database, "test", 2, true).unwrap();
    let rows_db = PgPool::connect_lazy(&database).unwrap();
    let ahead = "insert into purge_cursors (name, at, id)
                 select name, now() + interval '1 day', gen_random_uuid() from unnest(array['events', 'jobs']) name";
    rows::execute(&rows_db, ahead).await;
    let mut db = store::connection(&pool).await.unwrap();
    for purge in [Purge::Events, Purge::Jobs] {
        purge::step(&mut db, purge, 3 * HOUR, 64).await.unwrap();
    }
    rows::execute(&rows_db, &ended_runs(20, "2 hours", "1 hour", 1)).await;
    rows::execute(&rows_db, &done_jobs(20, "2 hours")).await;
    for purge in [Purge::Events, Purge::Jobs] {
        let batch = purge::step(&mut db, purge, HOUR, 64).await.unwrap();
        assert_eq!(batch.rows, 20 - 12 * u64::from(purge == Purge::Events));
    }
}
