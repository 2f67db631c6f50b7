//! Cancelling a run: queued, at work, and by a new message.

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    events::{assert_well_formed, kinds, stored},
    socket::Socket,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_cancelled_and_its_partial_reply_kept() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "done before"})));
    system
        .model
        .push(Turn::text("I was going to say").stall_after(4));
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "go"})).await;
    let run = started["runId"].as_str().unwrap();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    system.model.requests_seen(2).await.unwrap();
    let waiting = tokio::spawn(
        system
            .request(Method::GET, "ada", &format!("runs/{run}?wait=20"))
            .send(),
    );
    let cancelled =
        Answer::of(system.request(Method::POST, "ada", &format!("runs/{run}/cancel"))).await;
    assert_eq!(cancelled.assert_ok()["run_id"], run);
    let end = socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(end["event"]["outcome"]["type"], "cancelled");
    assert_well_formed(&socket.events());
    system.model.aborted_seen(1).await.unwrap();
    let view: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(view["status"], "cancelled");
    assert!(
        view["response"]
            .as_str()
            .is_some_and(|text| "I was going to say".starts_with(text)),
        "{view}"
    );
    assert_eq!(view["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(system.titles("ada").await, ["done before"]);
    assert_eq!(
        system
            .count("select count(*) from messages where partial")
            .await,
        1
    );
    let thread = started["threadId"].as_str().unwrap();
    let messages = system
        .get("ada", &format!("conversations/{thread}/messages"))
        .await;
    let messages = messages.assert_ok()["messages"].as_array().unwrap();
    assert_eq!(
        (messages[0].get("partial"), messages[1].get("partial")),
        (None, Some(&json!(true)))
    );
    // Cancelled again, it stays as it is; another user's is not found.
    let again =
        Answer::of(system.request(Method::POST, "ada", &format!("runs/{run}/cancel"))).await;
    assert_eq!(again.assert_ok()["status"], "cancelled");
    let foreign =
        Answer::of(system.request(Method::POST, "bob", &format!("runs/{run}/cancel"))).await;
    foreign.assert_error(404, "not_found");
    // The conversation goes on.
    system.model.push(Turn::text("Yes?"));
    assert_eq!(
        system
            .say_in("ada", &started["threadId"], "hello?")
            .await
            .assert_ok()["response"],
        "Yes?"
    );
}

/// A cancel that arrives while a step is being committed cuts that off; the events of the step had their places already.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_of_a_commit_leaves_no_gap() {
    let never = || json!({"title": "never"});
    let asks = Turn::call("add_task", never()).and_call("add_task", never());
    let system = cancelled_in_a_commit(asks, "%run_steps(%").await;
    // The server finishes what was sent to it, also for nobody; no call of that step is made.
    assert!(system.count("select count(*) from steps").await <= 1);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
}

/// The same where the step is committed with its only call: both are there, or neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_of_a_call_with_its_step_leaves_both_or_neither() {
    let asks = Turn::call("add_task", json!({"title": "perhaps"}));
    let system = cancelled_in_a_commit(asks, "%run_calls(%").await;
    let steps = system.count("select count(*) from steps").await;
    let calls = "select count(*) from tool_calls where result is not null";
    assert_eq!(system.count(calls).await, steps);
    assert_eq!(system.count("select count(*) from tasks").await, steps);
}

/// A run that is cancelled while the statement with this text stands still at the table of steps.
async fn cancelled_in_a_commit(asks: Turn, statement: &str) -> TestSystem {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(asks.and_text("Adding").gate_after(2, &gate));
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "go"})).await;
    let run = started["runId"].as_str().unwrap();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    // All words are said: what comes after them comes with the commit.
    // The run's row is held, first the cancel comes for it, then the step; that one stops again at the table of steps.
    let mut row = system.db.begin().await.unwrap();
    sqlx::query("select 1 from runs for update")
        .execute(&mut *row)
        .await
        .unwrap();
    let cancel = tokio::spawn(
        system
            .request(Method::POST, "ada", &format!("runs/{run}/cancel"))
            .send(),
    );
    system.until_stuck("select r.status as%").await;
    gate.open();
    system.until_stuck(statement).await;
    let mut steps = system.db.begin().await.unwrap();
    sqlx::raw_sql("lock table steps in share row exclusive mode")
        .execute(&mut *steps)
        .await
        .unwrap();
    row.rollback().await.unwrap();
    assert_eq!(cancel.await.unwrap().unwrap().status(), 200);
    // The end waits for the commit that was cut off; or it need not, if the cancel was heard before the table was asked for.
    let cut_off = "select (select count(*) from runs where status = 'cancelled') + (
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%for no key update')";
    system.until(cut_off, 1).await;
    steps.rollback().await.unwrap();
    let end = socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(end["event"]["outcome"]["type"], "cancelled");
    assert_well_formed(&socket.events());
    let events = stored(&system, run).await;
    assert_well_formed(&events);
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_is_cancelled_at_once_and_the_waiting_post_is_told() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    system.until("select count(*) from runs", 1).await;
    let run: String = sqlx::query_scalar("select id::text from runs")
        .fetch_one(&system.db)
        .await
        .unwrap();
    let cancelled =
        Answer::of(system.request(Method::POST, "ada", &format!("runs/{run}/cancel"))).await;
    assert_eq!(cancelled.assert_ok()["status"], "cancelled");
    let answer: Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], "cancelled");
    let events = stored(&system, &run).await;
    assert_well_formed(&events);
    assert_eq!(kinds(&events), ["RUN_STARTED", "RUN_FINISHED"]);
    assert_eq!(
        system
            .count("select count(*) from apalis.jobs where status = 'Pending'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_cancels_the_running_one_and_takes_its_place() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("never ending").stall_after(1));
    system.model.push(Turn::text("Instead."));
    let first = Answer::of(
        system
            .post_chat("ada", &json!({"message": "one"}))
            .header("prefer", "respond-async"),
    )
    .await;
    system.model.requests_seen(1).await.unwrap();
    let body = json!({"message": "two", "conversation_id": first.body["conversation_id"], "on_busy": "interrupt"});
    assert_eq!(
        Answer::of(system.post_chat("ada", &body)).await.assert_ok()["response"],
        "Instead."
    );
    let first = system
        .get(
            "ada",
            &format!("runs/{}", first.body["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(first.assert_ok()["status"], "cancelled");
}
