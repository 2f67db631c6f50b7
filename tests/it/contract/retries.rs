//! Retries: a run that failed or was cancelled is gone on from behind what it has done, and nothing happens twice.

use errand_devkit::{
    model::{Gate, Turn, request},
    proxy::{Cut, Proxy},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::system::{
    self, Answer, Options, TestSystem,
    events::{assert_well_formed, read_sse, stored},
    process, rows,
    socket::Socket,
};

/// The model refuses for good.
fn refusal() -> Turn {
    Turn::status(400)
}

fn retry_of(system: &TestSystem, user: &str, run: &Value) -> RequestBuilder {
    let path = format!("runs/{}/retry", run.as_str().expect("a run"));
    system.request(Method::POST, user, &path)
}

async fn retry(system: &TestSystem, run: &Value) -> Answer {
    Answer::of(retry_of(system, "ada", run)).await
}

async fn view(system: &TestSystem, run: &Value) -> Value {
    let path = format!("runs/{}", run.as_str().expect("a run"));
    system.get("ada", &path).await.assert_ok().clone()
}

/// A run of ada's that failed after it had added this task; its id.
async fn failed(system: &TestSystem, title: &str) -> Value {
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    system.model.push(refusal());
    let answer = system.say("ada", &format!("add {title}")).await;
    answer.assert_error(502, "model_error")["run_id"].clone()
}

const SUCCESSORS: &str = "select count(*) from runs where parent_run_id is not null";

#[tokio::test(flavor = "multi_thread")]
async fn what_took_effect_before_a_stop_is_not_done_again() {
    let system = TestSystem::start().await;
    let add = |n: u8| json!({"title": format!("task {n}")});
    let mut turn = Turn::call("add_task", add(1));
    for n in 2..=4 {
        turn = turn.and_call("add_task", add(n));
    }
    system.model.push(turn);
    system.model.push(Turn::text("I have added").stall_after(2));
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket
        .call("run.start", json!({"message": "add four tasks"}))
        .await;
    let run = started["runId"].clone();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    socket.call("run.cancel", json!({"runId": run})).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;

    system.model.push(Turn::text("All four are there."));
    let again = socket.call("run.retry", json!({"runId": run})).await;
    assert_eq!(
        (&again["type"], &again["threadId"]),
        (&json!("success"), &started["threadId"]),
        "{again}"
    );
    let child = again["runId"].clone();
    assert_ne!(child, run);
    // The socket follows the run that goes on, and is told what it goes on from.
    let first = socket
        .until(|frame| frame["runId"] == child && frame["type"] == "event")
        .await;
    assert_eq!(
        (&first["event"]["type"], &first["event"]["parentRunId"]),
        (&json!("RUN_STARTED"), &run)
    );
    socket
        .until(|frame| frame["runId"] == child && frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(
        system.titles("ada").await,
        ["task 1", "task 2", "task 3", "task 4"]
    );
    // The model saw the message once, and what it had done.
    let asked = system.model.requests().pop().expect("a request");
    let messages = asked["messages"].to_string();
    assert_eq!(messages.matches("add four tasks").count(), 1, "{messages}");
    assert_eq!(request::steps(&asked).len(), 4, "{messages}");
    for n in 1..=4 {
        assert!(
            messages.contains(&format!("Added \\\\\\\"task {n}")),
            "{messages}"
        );
    }
    let done = view(&system, &child).await;
    assert_eq!(
        (&done["status"], &done["response"]),
        (&json!("completed"), &json!("All four are there."))
    );
    let stopped = view(&system, &run).await;
    assert_eq!(
        (&stopped["status"], &stopped["continued_by"]),
        (&json!("cancelled"), &child)
    );
    assert_well_formed(&stored(&system, child.as_str().expect("a run")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_fails_is_gone_on_from_too_and_the_turn_stays_one() {
    let system = TestSystem::start().await;
    let first = failed(&system, "buy milk").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "call Ann"})));
    system.model.push(refusal());
    let second = retry(&system, &first).await;
    let second = second.assert_error(502, "model_error")["run_id"].clone();
    system.model.push(Turn::text("Both are there."));
    let body = json!({});
    let third = Answer::of(retry_of(&system, "ada", &second).json(&body)).await;
    assert_eq!(third.assert_ok()["response"], "Both are there.");
    assert_eq!(system.titles("ada").await, ["buy milk", "call Ann"]);
    let asked = system.model.requests().pop().expect("a request");
    assert_eq!(request::steps(&asked).len(), 2);
    let (first_view, second_view) = (view(&system, &first).await, view(&system, &second).await);
    assert_eq!(
        (&first_view["continued_by"], &second_view["continued_by"]),
        (&second, &third.body["run_id"])
    );
    // Only the last run of a turn, and only if it did not come to its end.
    for run in [&first, &second, &third.body["run_id"]] {
        retry(&system, run)
            .await
            .assert_error(409, "invalid_request");
    }
    retry(&system, &json!(Uuid::now_v7()))
        .await
        .assert_error(404, "not_found");
    retry(&system, &json!("run-1"))
        .await
        .assert_error(404, "not_found");
    Answer::of(retry_of(&system, "bob", &first))
        .await
        .assert_error(404, "not_found");
    // To a later turn the three are one.
    system.model.push(Turn::text("You are welcome."));
    let conversation = &third.body["conversation_id"];
    system
        .say_in("ada", conversation, "thanks")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().expect("a request");
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(
        roles,
        [
            "system",
            "user",
            "assistant",
            "tool",
            "assistant",
            "tool",
            "assistant",
            "user"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_retried_once_and_its_key_finds_the_run_again() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    system.model.script(|_| Turn::text("It is there."));
    let with_key = |key: &'static str, run: &Value| {
        Answer::of(retry_of(&system, "ada", run).header("idempotency-key", key))
    };
    let (one, other) = tokio::join!(with_key("again", &run), with_key("again", &run));
    let child = one.assert_ok()["run_id"].clone();
    assert_eq!(other.assert_ok()["run_id"], child);
    assert_eq!(
        with_key("again", &run).await.assert_ok()["run_id"],
        child,
        "later too"
    );
    with_key("another", &run)
        .await
        .assert_error(409, "invalid_request");
    // A key names one request, of whatever kind.
    let other_run = failed(&system, "call Ann").await;
    with_key("again", &other_run)
        .await
        .assert_error(422, "idempotency_key_reused");
    let chat = system
        .post_chat("ada", &json!({"message": "hi"}))
        .header("idempotency-key", "again");
    Answer::of(chat)
        .await
        .assert_error(422, "idempotency_key_reused");
    // Without a key one of two wins.
    let (one, other) = tokio::join!(retry(&system, &other_run), retry(&system, &other_run));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    // On the socket the client makes the id of the run that goes on.
    let third = failed(&system, "read").await;
    let mut socket = Socket::connect(&system, "ada").await;
    let child = Uuid::now_v7();
    let call = json!({"runId": third, "newRunId": child});
    for _ in 0..2 {
        let answer = socket.call("run.retry", call.clone()).await;
        assert_eq!(answer["runId"], child.to_string(), "{answer}");
    }
    let answer = socket.call("run.retry", json!({"runId": third})).await;
    assert_eq!(answer["error"], "invalid_request", "{answer}");
    // What the model is about to say is for the next one.
    let ended = system.get("ada", &format!("runs/{child}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "completed");
    let taken = json!({"runId": failed(&system, "write").await, "newRunId": third});
    let answer = socket.call("run.retry", taken).await;
    assert_eq!(answer["error"], "idempotency_key_reused", "{answer}");
    assert_eq!(system.count(SUCCESSORS).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_empty_and_the_answer_a_stream_if_asked_for() {
    let system = TestSystem::start().await;
    let run = failed(&system, "buy milk").await;
    let request = || retry_of(&system, "ada", &run);
    Answer::of(request().json(&json!({"message": "again"})))
        .await
        .assert_error(400, "invalid_request");
    Answer::of(request().body("again"))
        .await
        .assert_error(415, "unsupported_media_type");
    system.model.push(Turn::text("It is there."));
    let events = read_sse(
        request()
            .header("content-type", "application/json")
            .header("accept", "text/event-stream"),
        usize::MAX,
    )
    .await;
    assert_well_formed(&events);
    assert_eq!(events[0].1["parentRunId"], run);
    assert_eq!(
        events.last().expect("events").1["outcome"]["type"],
        "success"
    );
    let run = failed(&system, "call Ann").await;
    let request = retry_of(&system, "ada", &run).header("prefer", "respond-async");
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(
        answer
            .header("location")
            .ends_with(answer.body["run_id"].as_str().expect("a run"))
    );
}

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
