//! One user's crowd, stuck behind something of their own: the other users' requests go by, and nobody is told of trouble that is
//! not theirs.

use std::time::Duration;

use errand_devkit::model::Turn;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::system::{Answer, Options, PATIENCE, TestSystem, as_superuser, mcp::Mcp};

/// How often a crowd does something at once: far more than the pool has connections.
const CROWD: usize = 200;

/// Holds ada's lock, as a process that was cut off in the middle of an acceptance does.
async fn holding_the_lock(system: &TestSystem) -> PgConnection {
    let mut db = PgConnection::connect(&system.database_url).await.unwrap();
    sqlx::query("select pg_advisory_lock(hashtextextended('ada', 1))")
        .execute(&mut db)
        .await
        .unwrap();
    db
}

/// A system with a run of ada's that no worker takes; the run's path.
async fn with_a_queued_run(api: Vec<&'static str>) -> (TestSystem, String) {
    let options = Options {
        api,
        workers: Some(0),
        ..Options::default()
    };
    let system = TestSystem::with(options).await;
    system.model.script(|_| Turn::text("Hello."));
    let hello = json!({"message": "hi"});
    let post = system
        .post_chat("ada", &hello)
        .header("prefer", "respond-async");
    let accepted = Answer::of(post).await;
    assert_eq!(accepted.status, 202);
    let run = accepted.body["run_id"].as_str().unwrap().to_owned();
    (system, format!("runs/{run}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_that_wait_for_their_users_lock_hold_up_nobody_else() {
    let (system, run) = with_a_queued_run(vec![]).await;
    let lock = holding_the_lock(&system).await;
    let cancel = format!("{run}/cancel");
    let cancels =
        join_all((0..CROWD).map(|_| Answer::of(system.request(Method::POST, "ada", &cancel))));
    let beside = async {
        system
            .until_stuck("%pg_advisory_xact_lock(hashtextextended($1, 1))%")
            .await;
        // Most are waiting by now. Each of these would wait for a connection, if they all held one.
        for _ in 0..10 {
            let post = system
                .post_chat("bob", &json!({"message": "hi"}))
                .header("prefer", "respond-async");
            assert_eq!(Answer::of(post).await.status, 202);
        }
        let stuck = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        assert_eq!(system.count(stuck).await, 1);
        lock.close().await.unwrap();
    };
    let (answers, ()) = tokio::join!(cancels, beside);
    // The lock was held for a moment, and is all that they had to wait for.
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_places_and_no_more() {
    let (system, run) = with_a_queued_run(vec![]).await;
    let lock = holding_the_lock(&system).await;
    let cancel = format!("{run}/cancel");
    let turned_away = Semaphore::new(0);
    let cancels = join_all((0..400).map(async |_| {
        let answer = Answer::of(system.request(Method::POST, "ada", &cancel)).await;
        if answer.status == 429 {
            turned_away.add_permits(1);
        }
        answer
    }));
    let release = async {
        system
            .until_stuck("%pg_advisory_xact_lock(hashtextextended($1, 1))%")
            .await;
        // One has the lock's place and 256 wait for it: all others are told at once.
        let others = timeout(PATIENCE, turned_away.acquire_many(400 - 257));
        let _ = others.await.expect("more have a place").unwrap();
        lock.close().await.unwrap();
    };
    let (answers, ()) = tokio::join!(cancels, release);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(!refused.is_empty());
    for answer in &refused {
        answer.assert_error(429, "rate_limited");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let other = answers
        .iter()
        .find(|answer| !matches!(answer.status.as_u16(), 200 | 429));
    assert!(
        other.is_none(),
        "{:?}",
        other.map(|answer| (answer.status, &answer.body))
    );
    assert!(done >= 257, "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_one_user_leave_connections_for_the_others() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    system.say("bob", "hi").await.assert_ok();
    // What ada reads is out of reach for a while; bob reads something else.
    let mut db = PgConnection::connect(&as_superuser(&system.database_url))
        .await
        .unwrap();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("lock table tasks in access exclusive mode")
        .execute(&mut *tx)
        .await
        .unwrap();
    let reads = join_all((0..CROWD).map(|_| system.get("ada", "tasks")));
    let searches = join_all((0..30).map(|_| system.get("ada", "tasks?search=milk")));
    let beside = async {
        system.until_stuck("%from task_page(%").await;
        for _ in 0..10 {
            system.get("bob", "conversations").await.assert_ok();
        }
        // Not a purge, which also waits for the table.
        let stuck = "select query from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like '%from task_page(%'";
        let stuck: Vec<String> = sqlx::query_scalar(stuck)
            .fetch_all(&system.db)
            .await
            .unwrap();
        assert!(stuck.len() <= 2, "{stuck:#?}");
        tx.rollback().await.unwrap();
    };
    let (reads, searches, ()) = tokio::join!(reads, searches, beside);
    for answer in reads.into_iter().chain(searches) {
        answer.assert_ok();
    }
}

/// A lock on ada's only task, and its id.
async fn with_a_locked_task(mcp: &Mcp) -> (sqlx::Transaction<'static, sqlx::Postgres>, String) {
    let added = mcp
        .call(
            "ada",
            "add_task",
            json!({"user_id": "ada", "title": "milk"}),
        )
        .await;
    let id = added["task_id"].as_str().unwrap().to_owned();
    let mut tx = mcp.db.begin().await.unwrap();
    sqlx::query("select 1 from tasks where user_id = 'ada' for update")
        .execute(&mut *tx)
        .await
        .unwrap();
    (tx, id)
}

async fn complete(mcp: &Mcp, task: &str) -> Answer {
    let arguments = json!({"user_id": "ada", "task_id": task});
    let params = json!({"name": "complete_task", "arguments": arguments});
    mcp.ask("ada", "tools/call", params).await
}

async fn stuck_calls(mcp: &Mcp) -> i64 {
    let stuck = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%task_change(%'";
    sqlx::query_scalar(stuck).fetch_one(&mcp.db).await.unwrap()
}

async fn until_a_call_is_stuck(mcp: &Mcp) {
    let deadline = Instant::now() + PATIENCE;
    while stuck_calls(mcp).await == 0 {
        assert!(Instant::now() < deadline, "no call waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_outside_that_are_stuck_hold_up_nobody_else() {
    let mcp = Mcp::with(&["--rate-calls-per-minute", "1000"]).await;
    let (tx, task) = with_a_locked_task(&mcp).await;
    let calls = join_all((0..90).map(|_| complete(&mcp, &task)));
    let beside = async {
        until_a_call_is_stuck(&mcp).await;
        for _ in 0..10 {
            let bobs = mcp.call("bob", "list_tasks", json!({"user_id": "bob"}));
            assert_eq!(bobs.await["success"], true);
        }
        assert_eq!(stuck_calls(&mcp).await, 1);
        tx.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(calls, beside);
    for answer in answers {
        let result = &answer.assert_ok()["result"]["structuredContent"];
        assert_eq!(result["success"], true, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_outside_counts_when_it_begins_whatever_comes_of_it() {
    let mcp = Mcp::with(&["--rate-calls-per-minute", "2"]).await;
    let (tx, task) = with_a_locked_task(&mcp).await;
    let fail = async {
        until_a_call_is_stuck(&mcp).await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%task_change(%'",
        )
        .execute(&mcp.db)
        .await
        .unwrap();
    };
    let (failed, ()) = tokio::join!(complete(&mcp, &task), fail);
    assert_eq!(failed.body["error"]["code"], -32_012, "{}", failed.body);
    tx.rollback().await.unwrap();
    let refused = complete(&mcp, &task).await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    // A minute later there is room again.
    sqlx::query("update mcp_attempts set made_at = made_at - interval '61 s'")
        .execute(&mcp.db)
        .await
        .unwrap();
    complete(&mcp, &task).await.assert_ok();
}
