//! Commits whose answer is lost: what happened is found out from the rows, and nothing is done twice or lost.

use std::time::Duration;

use chrono::{DateTime, Utc};
use errand_devkit::{
    model::{Gate, Turn, request},
    proxy::{Cut, Proxy},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::system::{self, Answer, Options, TestSystem, rows};

/// Those who wait for a lock.
const STUCK: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

/// A system whose API alone reaches the database through the door.
async fn with_api_behind_a_door() -> (TestSystem, Proxy) {
    let database = system::database().await;
    let door = Proxy::with_trap(&database).await.expect("a proxy");
    let options = Options {
        api_database_url: Some(door.url().to_owned()),
        ..Options::default()
    };
    let system = TestSystem::on(&database, options).await;
    system.model.script(|_| Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
    (system, door)
}

async fn messages(system: &TestSystem, text: &str) -> i64 {
    let query = "select count(*) from messages where role = 'user' and content = $1";
    let count = sqlx::query_scalar(query).bind(text).fetch_one(&system.db);
    count.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_whose_commit_took_effect_goes_on_as_accepted() {
    let (system, door) = with_api_behind_a_door().await;
    for n in 0..5 {
        let text = format!("hello {n}");
        door.cut_commit(1, Cut::After);
        let answer = system.say("ada", &text).await;
        assert!(door.has_cut());
        assert_eq!(answer.assert_ok()["response"], "Hello.");
        assert_eq!(messages(&system, &text).await, 1);
    }
}

/// A server that is frozen reads what it was sent when it wakes. By then the client has been told that nothing came of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_arrives_late_is_none() {
    let (system, door) = with_api_behind_a_door().await;
    door.freeze();
    let refused = system.say("ada", "too late").await;
    refused.assert_error(503, "unavailable");
    door.thaw();
    let accepted = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%run_accepts(%' and state = 'active'";
    system.until(accepted, 0).await;
    system.say("ada", "hello again").await.assert_ok();
    system.until(accepted, 0).await;
    assert_eq!(messages(&system, "too late").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_never_arrived_is_made_once_more() {
    let (system, door) = with_api_behind_a_door().await;
    for key in [None, Some("key-1")] {
        let ask = || {
            let request = system.post_chat("ada", &json!({"message": "hello again"}));
            Answer::of(match key {
                Some(key) => request.header("idempotency-key", key),
                None => request,
            })
        };
        let before = messages(&system, "hello again").await;
        door.cut_commit(1, Cut::Before);
        let answer = ask().await;
        assert!(door.has_cut());
        assert_eq!(answer.assert_ok()["response"], "Hello.");
        assert_eq!(messages(&system, "hello again").await, before + 1);
    }
}

/// Commits of the message "slowly" take a while.
async fn make_commits_slow(system: &TestSystem) {
    let slow = "create function dawdle() returns trigger language plpgsql as
                $$ begin perform pg_sleep(1.5); return null; end $$;
                create constraint trigger dawdle after insert on messages deferrable initially deferred
                for each row when (new.content = 'slowly') execute function dawdle()";
    sqlx::raw_sql(slow).execute(&system.db).await.unwrap();
}

/// The server is still committing when the API looks: the look waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_still_under_way_is_waited_for() {
    let (system, door) = with_api_behind_a_door().await;
    make_commits_slow(&system).await;
    door.cut_commit(1, Cut::After);
    let answer = system.say("ada", "slowly").await;
    assert!(door.has_cut());
    assert_eq!(answer.assert_ok()["response"], "Hello.");
    assert_eq!(messages(&system, "slowly").await, 1);
}

/// Who cannot find out says so, and the key finds the run later.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_read_is_503_and_the_key_finds_the_run() {
    let (system, door) = with_api_behind_a_door().await;
    let held = rows::hold_commits(&system.db, "messages", "new.content = 'slowly'").await;
    let ask = || {
        let request = system.post_chat("ada", &json!({"message": "slowly"}));
        Answer::of(request.header("idempotency-key", "key-1"))
    };
    door.cut_commit(1, Cut::After);
    let close = async {
        // The commit, and the look that waits for it.
        system.until(STUCK, 2).await;
        assert!(door.has_cut());
        door.close();
    };
    let (answer, ()) = tokio::join!(ask(), close);
    answer.assert_error(503, "unavailable");
    held.rollback().await.unwrap();
    door.reopen();
    assert_eq!(ask().await.assert_ok()["response"], "Hello.");
    assert_eq!(messages(&system, "slowly").await, 1);
}

/// Accepted stays accepted: an outage during the wait is no reason to make the client say it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_after_the_acceptance_is_answered_with_202() {
    let (system, door) = with_api_behind_a_door().await;
    let gate = errand_devkit::model::Gate::closed();
    system
        .model
        .push(Turn::text("At last.").gate_after(0, &gate));
    let request = system.post_chat("ada", &json!({"message": "patience"}));
    let outage = async {
        gate.reached(1).await.unwrap();
        door.close();
        gate.open();
    };
    let (answer, ()) = tokio::join!(Answer::of(request.header("prefer", "wait=2")), outage);
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(!answer.header("retry-after").is_empty());
    door.reopen();
    let run = answer.body["run_id"].as_str().unwrap();
    assert!(answer.header("location").ends_with(run));
    let run = system.get("ada", &format!("runs/{run}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "At last.");
}

/// The worker's commits of one turn, each cut before and after it took effect: a step with its only call and the end; or a step, each of its
/// two calls, and the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_survives_the_loss_of_each_of_its_commits() {
    let database = system::database().await;
    let door = Proxy::with_trap(&database).await.expect("a proxy");
    let options = Options {
        api_database_url: Some(database.clone()),
        ..Options::default()
    };
    let system = TestSystem::on(door.url(), options).await;
    system
        .model
        .script(|request| match request::steps(request).len() {
            0 => {
                let title = request::last_user(request);
                let add = json!({"title": title});
                match title.ends_with("of 2") {
                    true => Turn::call("add_task", add),
                    false => Turn::call("add_task", add.clone()).and_call("add_task", add),
                }
            }
            _ => Turn::text("Done."),
        });
    for (calls, commits) in [(1, 2), (2, 4)] {
        for cut in [Cut::Before, Cut::After] {
            for nth in 1..=commits {
                let title = format!("{cut:?} {nth} of {commits}");
                door.cut_commit(nth, cut);
                let answer = system.say("ada", &title).await;
                assert!(door.has_cut(), "{title}");
                assert_eq!(answer.assert_ok()["response"], "Done.", "{title}");
                assert_eq!(
                    calls_and_tasks(&system, &answer, &title).await,
                    (calls, calls, 2),
                    "{title}"
                );
                // Found out in place: no attempt was lost to it.
                let run = answer.body["run_id"].as_str().unwrap();
                let run = system.get("ada", &format!("runs/{run}")).await;
                assert_eq!(run.assert_ok()["attempt"], 1, "{title}");
                assert_gapless(&system, &answer.body["run_id"]).await;
            }
        }
    }
    tokio::time::timeout(Duration::from_secs(20), system.stop())
        .await
        .expect("no place in the pool is lost");
}

async fn calls_and_tasks(system: &TestSystem, answer: &Answer, title: &str) -> (usize, usize, i64) {
    let run = answer.body["run_id"].as_str().unwrap();
    let steps = format!("select count(*) from steps where run_id = '{run}'");
    let steps = sqlx::query_scalar(AssertSqlSafe(steps)).fetch_one(&system.db);
    let titles = system.titles("ada").await;
    (
        answer.body["tool_calls"].as_array().unwrap().len(),
        titles.iter().filter(|task| *task == title).count(),
        steps.await.unwrap(),
    )
}

async fn assert_gapless(system: &TestSystem, run: &Value) {
    let query = "select count(*) = max(seq) and count(*) filter (where event ->> 'type' = 'RUN_FINISHED') = 1
                 from run_events where run_id = $1::uuid";
    let gapless: bool = sqlx::query_scalar(query)
        .bind(run.as_str().unwrap())
        .fetch_one(&system.db)
        .await
        .unwrap();
    assert!(gapless, "events of {run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_waits_for_what_is_still_being_written() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system.model.push(Turn::text("Done.").gate_after(1, &gate));
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    gate.reached(1).await.unwrap();
    // As a tool call holds it that nobody waits for any more, since a cancel or a time-out cut its attempt off.
    let mut call = system.db.begin().await.unwrap();
    sqlx::query("select 1 from runs for share")
        .execute(&mut *call)
        .await
        .unwrap();
    gate.open();
    system.until_stuck("%").await;
    let written: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(&mut *call)
        .await
        .unwrap();
    call.commit().await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    let ended: DateTime<Utc> = sqlx::query_scalar("select finished_at from runs")
        .fetch_one(&system.db)
        .await
        .unwrap();
    assert!(
        ended > written,
        "ended at {ended} by its row, and a call wrote until {written}"
    );
}
