//! What workers make of calls that need approval: workers that die, that were not told, that meet a limit.

use errand_devkit::model::{Gate, Turn};
use serde_json::{Value, json};

use super::{add, ask, decide, gated, system, view};
use crate::system::{
    TestSystem,
    events::{assert_well_formed, kinds, stored},
    process::Process,
};

/// Holds the user's task, so that a call that deletes it stands still in the middle of its transaction.
async fn hold<'a>(system: &'a TestSystem, task: &str) -> sqlx::Transaction<'a, sqlx::Postgres> {
    let mut held = system.db.begin().await.expect("a transaction");
    sqlx::query("select 1 from tasks where id = $1::uuid for update")
        .bind(task)
        .execute(&mut *held)
        .await
        .expect("the task");
    held
}

const STANDS_STILL: &str = "select count(*) from pg_stat_activity where datname = current_database() \
    and wait_event_type = 'Lock' and query like '%run_calls(%'";

async fn worker(system: &TestSystem, gated: bool) -> Process {
    let mut more = vec![("LEASE_TIMEOUT", "1s")];
    if gated {
        more.push(("REQUIRE_APPROVAL", "delete_task"));
    }
    let mut worker = system.worker_process(&more).await;
    worker.until_says("taking runs").await;
    worker
}

/// A system without a worker that lives long, and a task of ada's.
async fn world_of_mortals() -> (TestSystem, String) {
    let mut system = TestSystem::with(gated(0)).await;
    let stop = system.start_worker().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add buy milk").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let task = task.as_str().expect("an id").to_owned();
    stop.cancel();
    (system, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_is_made_once_though_its_worker_dies_in_the_middle() {
    let (system, task) = world_of_mortals().await;
    let mut doomed = worker(&system, true).await;
    let run = ask(&system, &task).await;
    let held = hold(&system, &task).await;
    system.model.push(Turn::text("Deleted."));
    let approve = json!({"approve": true});
    let decided = decide(&system, "ada", &run, approve);
    let death = async {
        system.until(STANDS_STILL, 1).await;
        doomed.kill().await;
        let other = worker(&system, true).await;
        held.rollback().await.expect("the task is free");
        other
    };
    let (done, _other) = tokio::join!(decided, death);
    let body = done.assert_ok();
    assert_eq!(body["response"], "Deleted.");
    assert_eq!(body["tool_calls"][0]["result"]["success"], true);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    let child = view(&system, &body["run_id"]).await;
    assert_eq!(child["attempt"], 2);
    let events = stored(&system, body["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    let results = events.iter().map(|(_, event)| &event["type"]);
    assert_eq!(
        results.filter(|kind| *kind == "TOOL_CALL_RESULT").count(),
        1
    );
}

/// A worker that does not ask yet has committed the step; the one that takes over does ask. Nothing is done without a yes.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_was_asked_about_is_refused() {
    let (system, task) = world_of_mortals().await;
    let mut careless = worker(&system, false).await;
    let held = hold(&system, &task).await;
    // A step of several calls is committed before them.
    let asks = Turn::call("list_tasks", json!({}));
    system
        .model
        .push(asks.and_call("delete_task", json!({"task_id": task})));
    system.model.push(Turn::text("I may not."));
    let said = system.say("ada", "delete it");
    let death = async {
        system.until(STANDS_STILL, 1).await;
        careless.kill().await;
        let careful = worker(&system, true).await;
        // The server may not know yet that nobody waits for the statement any more, and would go on with it.
        system.until(STANDS_STILL, 0).await;
        held.rollback().await.expect("the task is free");
        careful
    };
    let (said, _careful) = tokio::join!(said, death);
    let call = &said.assert_ok()["tool_calls"][1]["result"];
    assert_eq!(call["success"], false, "{call}");
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_anyway_is_not_asked_about() {
    let (system, task) = system().await;
    let mut turn = Turn::call_raw("delete_task", "[1]");
    for _ in 0..127 {
        turn = turn.and_call("list_tasks", json!({"limit": 1}));
    }
    // One too many for one answer.
    let turn = turn.and_call("delete_task", json!({"task_id": task}));
    system.model.push(turn);
    system.model.push(Turn::text("Hm."));
    let answer = system.say("ada", "go").await;
    let calls = answer.assert_ok()["tool_calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 129);
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}

/// A cancel that came before the question wins, also if the worker has not heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_be_cancelled_does_not_begin_to_wait() {
    let (system, task) = system().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})).gate_after(1, &gate));
    let said = tokio::spawn(
        system
            .post_chat("ada", &json!({"message": "delete it"}))
            .send(),
    );
    gate.reached(1).await.expect("the model is asked");
    // As the API does it, without the hint.
    sqlx::query("update runs set cancel_requested_at = now() where status = 'running'")
        .execute(&system.db)
        .await
        .expect("a cancel");
    gate.open();
    let said: Value = said.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(said["error"]["code"], "cancelled", "{said}");
    let run = said["error"]["details"]["run_id"].as_str().expect("a run");
    let events = stored(&system, run).await;
    assert_well_formed(&events);
    assert_eq!(kinds(&events).last(), Some(&"RUN_FINISHED"));
    let end = &events.last().expect("an end").1;
    assert_eq!(end["outcome"], json!({"type": "cancelled"}));
    assert_eq!(system.count("select count(*) from approvals").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_are_few_and_do_not_count_as_active() {
    let mut options = gated(1);
    options.api = vec!["--max-active-runs", "1", "--rate-runs-per-minute", "0"];
    let system = TestSystem::with(options).await;
    let task = add(&system, "buy milk").await;
    let run = ask(&system, &task).await;
    // A second one, though only one may be active.
    ask(&system, &task).await;
    // 98 more, as if they had been asked for.
    let more = "insert into runs (id, conversation_id, user_id, status, admitted_at)
                select gen_random_uuid(), conversation_id, user_id, 'waiting', now() from runs, generate_series(1, 49)
                where status = 'waiting'";
    sqlx::query(more).execute(&system.db).await.expect("runs");
    let refused = system.say("ada", "delete it").await;
    refused.assert_error(429, "rate_limited");
    let why = refused.body["error"]["message"].to_string();
    assert!(why.contains("decision"), "{why}");
    // Others, and who makes room, go on.
    system.model.script(|_| Turn::text("Hello."));
    system.say("bob", "hi").await.assert_ok();
    decide(&system, "ada", &run, json!({"approve": false}))
        .await
        .assert_ok();
    system.say("ada", "hi").await.assert_ok();
}
