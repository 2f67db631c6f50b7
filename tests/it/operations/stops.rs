//! A queue that an operator pauses, and workers that one drains.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::operator::{printed, told};
use crate::system::{
    Answer, Options, TestSystem,
    process::{self, Process},
};

async fn accepted(system: &TestSystem, user: &str) -> String {
    let body = json!({"message": "go"});
    let request = system.post_chat(user, &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    accepted.body["run_id"].as_str().expect("a run").to_owned()
}

async fn ended(system: &TestSystem, user: &str, run: &str) -> Value {
    let answer = system.get(user, &format!("runs/{run}?wait=20")).await;
    answer.assert_ok().clone()
}

async fn scaling(system: &TestSystem) -> Value {
    let request = system.bare(reqwest::Method::GET, "/scaling");
    Answer::of(request).await.assert_ok().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_accepts_and_takes_nothing_until_it_is_resumed() {
    let mut system = TestSystem::start().await;
    let gate = Gate::closed();
    let turn = Turn::text("begun before the pause").gate_after(1, &gate);
    system.model.push(turn);
    let at_work = accepted(&system, "ada").await;
    gate.reached(1).await.expect("it is at work");

    let paused = told(&system, &["pause", "--json"]).await;
    assert_eq!(
        (&paused["paused"], &paused["by"]),
        (&json!(true), &json!("night-shift"))
    );
    // Twice is as once.
    assert_eq!(
        told(&system, &["pause", "--json"]).await["since"],
        paused["since"]
    );
    system.model.push(Turn::text("begun behind the pause"));
    let waits = accepted(&system, "bob").await;
    // What is at work goes on.
    gate.open();
    assert_eq!(ended(&system, "ada", &at_work).await["status"], "completed");

    // Two polls of every worker, also of one that was started since: nobody takes it.
    let _stop = system.start_worker().await;
    system
        .until(
            "select count(*) from apalis.workers where last_seen > (select max(created_at) + interval '2.5 seconds' from runs)",
            2,
        )
        .await;
    let run = system.get("bob", &format!("runs/{waits}")).await;
    assert_eq!(run.assert_ok()["status"], "queued");
    assert_eq!(system.model.request_count(), 1);
    let scaling_says = scaling(&system).await;
    assert_eq!(scaling_says["paused"], true);
    assert_eq!(
        scaling_says["suggested_workers"], scaling_says["workers"],
        "{scaling_says}"
    );
    let queue = told(&system, &["queue", "--json"]).await;
    assert_eq!(queue["paused"]["by"], "night-shift", "{queue}");
    assert_eq!(queue["ready"], 1, "{queue}");
    let table = printed(&system, &["queue"]).await;
    assert!(table.contains("PAUSED since "), "{table}");

    let resumed = told(&system, &["resume", "--json"]).await;
    assert_eq!(resumed, json!({"paused": false, "was_paused": true}));
    assert_eq!(ended(&system, "bob", &waits).await["status"], "completed");
    assert_eq!(scaling(&system).await["paused"], false);
    let again = printed(&system, &["resume"]).await;
    assert!(again.contains("it was not paused"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_waits_for_the_claims_under_way() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mut claim = PgConnection::connect(&system.database_url).await.unwrap();
    let mut claim = claim.begin().await.unwrap();
    sqlx::query("select from run_claims('a worker', 1, 1, '1.0')")
        .execute(&mut *claim)
        .await
        .unwrap();
    let pause = told(&system, &["pause", "--json"]);
    tokio::pin!(pause);
    let waits =
        "select count(*) from pg_locks where relation = 'queue_pause'::regclass and not granted";
    tokio::select! {
        paused = &mut pause => panic!("{paused}"),
        () = system.until(waits, 1) => {}
    }
    claim.commit().await.unwrap();
    assert_eq!(pause.await["paused"], true);
}

async fn worker(system: &TestSystem) -> (Process, String) {
    let base_url = system.model.base_url();
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_API_KEY", "test"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let mut worker = Process::start("errand-worker", &[], environment).await;
    worker.until_says("taking runs").await;
    let name = "select id from apalis.workers order by id desc limit 1";
    let name = sqlx::query_scalar(name).fetch_one(&system.db).await;
    (worker, name.expect("a worker"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_finishes_what_it_has_takes_nothing_more_and_ends() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    let turn = Turn::text("finished").gate_after(1, &gate);
    system.model.push(turn);
    let (mut drained, name) = worker(&system).await;
    let first = accepted(&system, "ada").await;
    gate.reached(1).await.expect("it is at work");

    let asked = told(&system, &["drain", &name, "--json"]).await;
    assert_eq!(asked["draining_by"], "night-shift", "{asked}");
    drained.until_says("takes no more runs").await;
    let queue = told(&system, &["queue", "--json"]).await;
    let heard = &queue["workers_heard"][0];
    assert_eq!(
        (&heard["worker"], &heard["busy"], &heard["draining_by"]),
        (&json!(name), &json!(1), &json!("night-shift"))
    );
    let table = printed(&system, &["queue"]).await;
    assert!(table.contains("draining, by night-shift"), "{table}");

    system.model.push(Turn::text("by another"));
    let second = accepted(&system, "bob").await;
    let (_other, _) = worker(&system).await;
    assert_eq!(ended(&system, "bob", &second).await["status"], "completed");
    let second: String = sqlx::query_scalar("select status from runs where user_id = 'ada'")
        .fetch_one(&system.db)
        .await
        .unwrap();
    assert_eq!(second, "running", "the drain cut it off");
    gate.open();
    assert!(drained.ends(Duration::from_secs(10)).await.success());
    let first = ended(&system, "ada", &first).await;
    assert_eq!(
        (&first["status"], &first["attempt"]),
        (&json!("completed"), &json!(1)),
        "{first}"
    );

    for gone in [name.as_str(), "errand-worker-nobody"] {
        let environment = [("DATABASE_URL", system.database_url.as_str())];
        let (status, said) = process::run("errand-api", &["drain", gone], environment).await;
        assert!(
            status.code() == Some(1) && said.contains("there is no such worker"),
            "{said}"
        );
    }
}
