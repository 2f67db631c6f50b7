//! What a retry is bound by: limits, the line of its conversation, approvals, a commit that is lost, an operator.

use errand_devkit::{
    model::{Gate, Turn},
    proxy::{Cut, Proxy},
};
use reqwest::Method;
use serde_json::json;

use super::{SUCCESSORS, failed, refusal, retry, retry_of, view};
use crate::system::{self, Answer, Options, TestSystem, process, rows, socket::Socket};

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_counts_as_a_message_does() {
    let system = TestSystem::with(Options {
        api: vec!["--rate-runs-per-minute", "2"],
        ..Options::default()
    })
    .await;
    let run = failed(&system, "buy milk").await;
    system.model.push(refusal());
    let second = retry(&system, &run).await;
    let second = second.assert_error(502, "model_error")["run_id"].clone();
    let refused = retry(&system, &second).await;
    refused.assert_error(429, "rate_limited");
    assert!(
        refused
            .header("retry-after")
            .parse::<u64>()
            .expect("seconds")
            >= 1
    );

    let other = TestSystem::on(
        &system.database_url,
        Options {
            api: vec![
                "--rate-runs-per-minute",
                "0",
                "--max-active-runs",
                "1",
                "--tokens-per-day",
                "1",
            ],
            workers: Some(0),
            ..Options::default()
        },
    )
    .await;
    // The step that the first run committed has used more than that.
    let refused = retry(&other, &second).await;
    refused.assert_error(429, "rate_limited");
    assert!(refused.header("ratelimit").contains("\"tokens\";r=0;t="));
    let gate = Gate::closed();
    system.model.push(Turn::text("Hello.").gate_after(0, &gate));
    // At work, as far as the limit on active runs goes.
    sqlx::query("update runs set created_at = created_at - interval '2 minutes'")
        .execute(&system.db)
        .await
        .expect("older runs");
    sqlx::query("delete from usage_days")
        .execute(&system.db)
        .await
        .expect("a new day");
    let busy = system
        .post_chat("ada", &json!({"message": "hi"}))
        .header("prefer", "respond-async");
    assert_eq!(Answer::of(busy).await.status, 202);
    retry(&other, &second)
        .await
        .assert_error(429, "rate_limited");
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_in_line_like_any_run() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    let conversation = view(&system, &run).await["conversation_id"].clone();
    let gate = Gate::closed();
    system.model.push(Turn::text("Hello.").gate_after(0, &gate));
    system.model.push(Turn::text("It is there."));
    let busy = json!({"message": "hi", "conversation_id": conversation});
    let busy = system
        .post_chat("ada", &busy)
        .header("prefer", "respond-async");
    assert_eq!(Answer::of(busy).await.status, 202);
    gate.reached(1).await.expect("the model is asked");
    let mut socket = Socket::connect(&system, "ada").await;
    let retried = socket.call("run.retry", json!({"runId": run})).await;
    assert_eq!(retried["status"], "queued", "{retried}");
    gate.open();
    let child = &retried["runId"];
    socket
        .until(|frame| frame["runId"] == *child && frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(view(&system, child).await["response"], "It is there.");
}

/// A run that was cancelled before anybody took it has done nothing: its retry answers the message for the first time.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_never_taken_is_begun_by_its_retry() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let chat = system
        .post_chat("ada", &json!({"message": "add milk"}))
        .header("prefer", "respond-async");
    let run = Answer::of(chat).await.body["run_id"].clone();
    // It is not over yet.
    retry(&system, &run)
        .await
        .assert_error(409, "invalid_request");
    let cancel = format!("runs/{}/cancel", run.as_str().expect("a run"));
    Answer::of(system.request(Method::POST, "ada", &cancel))
        .await
        .assert_ok();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    system.start_worker().await;
    let done = retry(&system, &run).await;
    assert_eq!(done.assert_ok()["response"], "Added.");
    assert_eq!(system.titles("ada").await, ["milk"]);
}

/// What waited for approval when its run was cancelled was never made, and a retry does not make it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_approved_is_not_made_by_a_retry() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add buy milk").await;
    let task = added.assert_ok()["tool_calls"][0]["result"]["task_id"].clone();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waits = system.say("ada", "delete it").await;
    let run = waits.body["run_id"].clone();
    retry(&system, &run)
        .await
        .assert_error(409, "invalid_request");
    let cancel = format!("runs/{}/cancel", run.as_str().expect("a run"));
    Answer::of(system.request(Method::POST, "ada", &cancel))
        .await
        .assert_ok();
    system.model.push(Turn::text("I left it."));
    assert_eq!(
        retry(&system, &run).await.assert_ok()["response"],
        "I left it."
    );
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_whose_commit_is_lost_is_found_out_about() {
    let database = system::database().await;
    let door = Proxy::with_trap(&database).await.expect("a proxy");
    let options = Options {
        api_database_url: Some(door.url().to_owned()),
        ..Options::default()
    };
    let system = TestSystem::on(&database, options).await;
    for cut in [Cut::After, Cut::Before] {
        let run = failed(&system, "buy milk").await;
        system.model.push(Turn::text("It is there."));
        door.cut_commit(1, cut);
        let answer = retry(&system, &run).await;
        assert!(door.has_cut());
        assert_eq!(answer.assert_ok()["response"], "It is there.", "{cut:?}");
        assert_eq!(
            view(&system, &run).await["continued_by"],
            answer.body["run_id"]
        );
    }
    assert_eq!(system.count(SUCCESSORS).await, 2);

    // Who cannot find out says so, and the key finds the run later.
    let run = failed(&system, "call Ann").await;
    system.model.push(Turn::text("It is there."));
    let held = rows::hold_commits(&system.db, "runs", "new.parent_run_id is not null").await;
    let ask = || Answer::of(retry_of(&system, "ada", &run).header("idempotency-key", "again"));
    door.cut_commit(1, Cut::After);
    let close = async {
        // The second try waits for the commit of the first.
        let stuck = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        system.until(stuck, 2).await;
        assert!(door.has_cut());
        door.close();
    };
    let (answer, ()) = tokio::join!(ask(), close);
    answer.assert_error(503, "unavailable");
    held.rollback().await.expect("as before");
    door.reopen();
    assert_eq!(ask().await.assert_ok()["response"], "It is there.");
    assert_eq!(system.count(SUCCESSORS).await, 3);
}

/// An operator cannot open a run again that its user has retried: both would go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_retried_is_not_requeued() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    system.model.push(Turn::text("It is there."));
    let child = retry(&system, &run).await.assert_ok()["run_id"].clone();
    let environment = [("DATABASE_URL", system.database_url.as_str())];
    let arguments = ["requeue", run.as_str().expect("a run")];
    let (status, said) = process::run("errand-api", &arguments, environment).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(child.as_str().expect("a run")), "{said}");
    assert_eq!(view(&system, &run).await["status"], "failed");
}
