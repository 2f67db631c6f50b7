//! Transitions that go together: each is made or not made by itself, and none waits for another's lock.

use std::time::Duration;

use chrono::NaiveDate;
use errand_core::{ids, user_queue};
use errand_devkit::{
    model::{Turn, request},
    postgres::{Cluster, ClusterOptions},
    process::signal,
    system::migrated,
};
use errand_store::{
    self as store, StoreError, UserPool,
    lifecycle::{self, Acceptance, Bounds, Limits, NewRun},
};
use futures::future::join_all;
use serde_json::json;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;
use uuid::Uuid;

use crate::system::{Options, PATIENCE, TestSystem, database, rows};

mod alike;
mod pages;
mod reads;

const NO_LIMITS: Limits = Limits {
    bounds: Bounds {
        active: 0,
        queued: 0,
        per_minute: 0,
    },
    tokens_per_day: 0,
    max_ready: 4,
};

async fn pool(url: &str) -> UserPool {
    let pool = store::pool(url, "errand-test", 4, true).expect("a pool");
    let bounds = user_queue::Bounds {
        at_once: 4,
        waiting_of_one: 100,
        total: 1_000,
        patience: Duration::from_secs(10),
    };
    UserPool::new(pool, bounds)
}

async fn accept(
    pool: &UserPool,
    user: &str,
    id: Uuid,
    text: &str,
) -> Result<Acceptance, StoreError> {
    let turn = pool.enter(user).await.expect("a place");
    let new = NewRun {
        id,
        user_id: user,
        conversation_id: None,
        new_conversation_id: Some(ids::new_id()),
        thread_name: None,
        message_id: ids::new_id(),
        is_second_try: false,
        text,
        metadata: None,
        time_zone: None,
        idempotency_key: None,
        request_hash: None,
        rejects_busy: false,
        traceparent: None,
    };
    lifecycle::accept(&turn, &new, NO_LIMITS).await
}

/// Some of a set are refused by a key, one by what a text may hold, and one waits for its user's lock. The others hear nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_go_with_others_goes_alone() {
    let url = database().await;
    let pool = pool(&url).await;
    let db = PgPool::connect(&url).await.expect("connects");
    let taken = ids::new_id();
    accept(&pool, "first", taken, "hello")
        .await
        .expect("accepted");
    let mut holder = PgConnection::connect(&url).await.expect("connects");
    sqlx::query("select pg_advisory_lock(hashtextextended('held', 1))")
        .execute(&mut holder)
        .await
        .expect("the lock");

    // The first of them is under way until it gives up waiting; the others gather meanwhile.
    let held = accept(&pool, "held", ids::new_id(), "at last");
    let others = join_all((0..60).map(|n| {
        let pool = &pool;
        async move {
            let (id, text) = match n % 20 {
                7 => (taken, "another run has this id"),
                13 => (ids::new_id(), "a text with \0 in it"),
                _ => (ids::new_id(), "hello"),
            };
            (n % 20, accept(pool, &format!("user-{n}"), id, text).await)
        }
    }));
    let others = async {
        let came = others.await;
        sqlx::query("select pg_advisory_unlock(hashtextextended('held', 1))")
            .execute(&mut holder)
            .await
            .expect("unlocks");
        came
    };
    let (held, others) = tokio::join!(held, others);
    assert!(matches!(held, Ok(Acceptance::Accepted { .. })), "{held:?}");
    for (n, came) in others {
        match (n, came) {
            (7, Err(error)) => assert_eq!(error.constraint(), Some("runs_pkey")),
            (13, Err(StoreError::Database(sqlx::Error::Database(error)))) => {
                assert_eq!(error.code().as_deref(), Some("22P05"));
            }
            (_, Ok(Acceptance::Accepted { .. })) => {}
            (n, came) => panic!("{n}: {came:?}"),
        }
    }
    let runs: i64 = sqlx::query_scalar("select count(*) from runs r join messages m on m.run_id = r.id join apalis.jobs j on run_of_job(j.id) = r.id")
        .fetch_one(&db)
        .await
        .expect("a count");
    assert_eq!(runs, 1 + 1 + 54);
}

/// A server's process dies in the middle of a set, which takes the server down: nothing of the set is there, and all of it is when it is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_set_leaves_nothing_of_it() {
    const RUNS: usize = 20;
    let cluster = Cluster::start(ClusterOptions::throwaway()).await.unwrap();
    let url = migrated(&cluster, "errand").await.unwrap();
    let db = PgPool::connect(&url).await.expect("connects");
    // A throwaway server forgets what was committed when it crashes.
    let stands_still = "set synchronous_commit = on; alter database errand set synchronous_commit = on;
        create function stand_still() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
        create trigger stand_still before insert on messages for each row when (new.content = 'still') execute function stand_still()";
    rows::execute(&db, stands_still).await;
    let mut witness = PgConnection::connect(&url).await.expect("connects");
    let pool = pool(&url).await;
    let ids: Vec<Uuid> = (0..RUNS).map(|_| ids::new_id()).collect();
    let all =
        |text: fn(usize) -> &'static str| {
            let (pool, ids) = (&pool, &ids);
            join_all((0..RUNS).map(move |n| async move {
                accept(pool, &format!("user-{n}"), ids[n], text(n)).await
            }))
        };

    // The first goes alone, and the others behind it.
    let kill = async {
        let asleep = "select pid from pg_stat_activity where wait_event = 'PgSleep'";
        let mut pid: Option<i32> = None;
        let begun = Instant::now();
        while pid.is_none() {
            assert!(begun.elapsed() < PATIENCE, "nothing stands still");
            pid = sqlx::query_scalar(asleep)
                .fetch_optional(&db)
                .await
                .expect("pids");
        }
        let pid = pid.expect("a pid").unsigned_abs();
        signal(pid, "KILL").await.expect("it is alive");
    };
    let still = |n| if n == RUNS / 2 { "still" } else { "hello" };
    let (came, ()) = tokio::join!(all(still), kill);
    let accepted: Vec<Uuid> = came
        .iter()
        .zip(&ids)
        .filter_map(|(came, id)| came.is_ok().then_some(*id))
        .collect();
    assert!(accepted.len() < RUNS / 2, "no set: {came:?}");

    // The server goes down, and comes back by itself.
    let begun = Instant::now();
    while sqlx::query("select 1").execute(&mut witness).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the server goes on");
    }
    let db = loop {
        match PgPool::connect(&url).await {
            Ok(db) => break db,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut there: Vec<Uuid> = sqlx::query_scalar("select id from runs")
        .fetch_all(&db)
        .await
        .expect("runs");
    there.sort_unstable();
    assert_eq!(there, accepted);
    rows::execute(&db, "drop trigger stand_still on messages").await;
    for (n, id) in ids.iter().enumerate() {
        let user = format!("user-{n}");
        let mut came = accept(&pool, &user, *id, "hello").await;
        // A connection that was used while the server went down is found to be lost when it is used again.
        while matches!(&came, Err(error) if error.is_outage()) && begun.elapsed() < PATIENCE {
            came = accept(&pool, &user, *id, "hello").await;
        }
        match came {
            Ok(_) => assert!(!accepted.contains(id)),
            Err(error) => assert!(accepted.contains(id), "{error}"),
        }
    }
    let whole = "select count(*) from runs r join messages m on m.run_id = r.id join apalis.jobs j on run_of_job(j.id) = r.id";
    let whole: i64 = sqlx::query_scalar(whole)
        .fetch_one(&db)
        .await
        .expect("a count");
    assert_eq!(whole, RUNS as i64);
}

/// A call is planned from the task as it was read. Of many that change the same task at the same time each sees what the one before has made.
#[tokio::test(flavor = "multi_thread")]
async fn calls_on_one_task_at_the_same_time_lose_nothing() {
    const CALLS: i64 = 8;
    let system = TestSystem::with(Options {
        api: vec![
            "--max-ready-runs",
            "8",
            "--max-active-runs",
            "0",
            "--rate-runs-per-minute",
            "0",
        ],
        worker: vec!["--max-ready-runs", "8"],
        ..Options::default()
    })
    .await;
    system.model.script(|asked| {
        let said = request::last_user(asked);
        match (said.split_once(' '), request::steps(asked).len()) {
            (Some(("done", id)), 0) => Turn::call("complete_task", json!({"task_id": id})),
            (_, 0) => Turn::call(
                "add_task",
                json!({"title": "water", "due_date": "2035-01-01", "repeat": "FREQ=DAILY"}),
            ),
            _ => Turn::text("Done."),
        }
    });
    let added = system.say("ada", "add").await;
    let task = added.assert_ok()["tool_calls"][0]["result"]["task_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let said = format!("done {task}");
    let answers = join_all((0..CALLS).map(|_| system.say("ada", &said))).await;
    for answer in answers {
        let result = &answer.assert_ok()["tool_calls"][0]["result"];
        assert_eq!(result["success"], true, "{result}");
    }
    let due: NaiveDate = sqlx::query_scalar("select due_date from tasks where not completed")
        .fetch_one(&system.db)
        .await
        .expect("the task");
    assert_eq!(due, NaiveDate::from_ymd_opt(2035, 1, 9).expect("a date"));
    let days = "select count(distinct due_date) from tasks where completed";
    assert_eq!(system.count(days).await, CALLS);
}
