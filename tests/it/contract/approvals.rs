//! Approvals: a run pauses before a gated tool, holds nothing meanwhile, and goes on when its user has decided.

use errand_devkit::model::{Gate, Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem, ag_ui,
    events::{assert_well_formed, kinds, read_sse, stored},
    process::Process,
    socket::Socket,
};

mod questions;

fn gated(workers: usize) -> Options {
    Options {
        worker: vec![
            "--require-approval",
            "delete_task",
            "--worker-concurrency",
            "1",
        ],
        workers: Some(workers),
        ..Options::default()
    }
}

/// A system where delete_task needs approval, with one worker of one slot and a task of ada's; the task's id.
async fn system() -> (TestSystem, String) {
    let system = TestSystem::with(gated(1)).await;
    let task = add(&system, "buy milk").await;
    (system, task)
}

/// A task that ada's agent adds.
async fn add(system: &TestSystem, title: &str) -> String {
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add it").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    task.as_str().expect("an id").to_owned()
}

/// Asks for the task to be deleted; the run that waits.
async fn ask(system: &TestSystem, task: &str) -> Value {
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waits = system.say("ada", "delete it").await;
    assert_eq!(waits.status, 202, "{}", waits.body);
    assert_eq!(waits.body["status"], "waiting");
    waits.body
}

async fn decide(system: &TestSystem, user: &str, run: &Value, decision: Value) -> Answer {
    let path = format!("runs/{}/decision", run["run_id"].as_str().expect("a run"));
    Answer::of(system.request(Method::POST, user, &path).json(&decision)).await
}

async fn view(system: &TestSystem, run: &Value) -> Value {
    let path = format!("runs/{}", run.as_str().expect("a run"));
    system.get("ada", &path).await.assert_ok().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_call_waits_without_a_slot_and_is_made_once_approved() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let waiting = view(&system, &run["run_id"]).await;
    assert_eq!(waiting["status"], "waiting");
    assert_eq!(waiting["tool_calls"], json!([]));
    let interrupt = &waiting["interrupts"][0];
    assert_eq!(
        interrupt["metadata"],
        json!({"toolName": "delete_task", "parameters": {"task_id": task},
               "task": {"id": task, "title": "buy milk"}, "changes": []})
    );
    // The events end as AG-UI has it, with every call closed.
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "interrupt");
    assert_eq!(&last["outcome"]["interrupts"][0], interrupt);
    // The only slot is free, in another conversation and in this one.
    system.model.script(|_| Turn::text("Hello."));
    system.say("bob", "hi").await.assert_ok();
    system
        .say_in("ada", &run["conversation_id"], "and?")
        .await
        .assert_ok();
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    // There the model sees that the call has yet to be approved.
    let asked = system.model.requests().pop().expect("a request");
    let told = asked["messages"].to_string();
    assert!(told.contains("waits for the user's approval"), "{told}");

    let done = decide(&system, "ada", &run, json!({"approve": true})).await;
    let body = done.assert_ok();
    assert_eq!(body["response"], "Hello.");
    assert_eq!(body["tool_calls"][0]["tool_name"], "delete_task");
    assert_eq!(body["tool_calls"][0]["result"]["success"], true);
    // The answer that asked for the call was the other run's.
    assert_eq!(body["usage"]["model_calls"], 1);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    let before = view(&system, &run["run_id"]).await;
    assert_eq!(
        (&before["status"], &before["continued_by"]),
        (&json!("completed"), &body["run_id"])
    );
    let events = stored(&system, body["run_id"].as_str().expect("a run")).await;
    assert_well_formed(&events);
    assert_eq!(events[0].1["parentRunId"], run["run_id"]);
    let result = events
        .iter()
        .find(|(_, event)| event["type"] == "TOOL_CALL_RESULT");
    assert_eq!(result.expect("a result").1["toolCallId"], interrupt["id"]);
    let logged = "select count(*) from approvals where approved and decided_at is not null";
    assert_eq!(system.count(logged).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_call_is_not_made_and_the_model_hears_of_it() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    system.model.push(Turn::text("I left it."));
    let done = decide(&system, "ada", &run, json!({"approve": false})).await;
    assert_eq!(done.assert_ok()["response"], "I left it.");
    let call = &done.body["tool_calls"][0];
    assert_eq!(call["result"]["success"], false, "{call}");
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    let asked = system.model.requests().pop().expect("a request");
    let told = request::steps(&asked);
    assert_eq!(told.len(), 1, "the turn goes on from its recorded step");
    let messages = asked["messages"].to_string();
    assert!(
        messages.contains("The user rejected this call"),
        "{messages}"
    );
    // The message is said once, and the model was not asked for the call again.
    assert_eq!(messages.matches("delete it").count(), 1);
    assert_eq!(system.model.request_count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_comes_later_from_elsewhere_after_every_process_was_restarted() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let url = system.database_url.clone();
    system.stop().await;

    let system = TestSystem::on(&url, gated(1)).await;
    system.model.push(Turn::text("Deleted."));
    let mut watching = Socket::connect(&system, "ada").await;
    watching
        .call("subscribe", json!({"threadId": run["conversation_id"]}))
        .await;
    // A tab that opens now sees the question again.
    let question = watching
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let interrupt = question["event"]["outcome"]["interrupts"][0]["id"].clone();
    let mut deciding = Socket::connect(&system, "ada").await;
    let decisions = json!({interrupt.as_str().expect("an id"): true});
    let decided = deciding
        .call(
            "run.decide",
            json!({"runId": run["run_id"], "decisions": decisions}),
        )
        .await;
    assert_eq!(decided["type"], "success", "{decided}");
    let child = decided["runId"].clone();
    for socket in [&mut watching, &mut deciding] {
        socket
            .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == child)
            .await;
    }
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_taken_once_by_its_owner_and_for_every_call() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    system.model.script(|_| Turn::text("Done."));
    let child = uuid::Uuid::now_v7();
    decide(&system, "bob", &run, json!({"approve": true}))
        .await
        .assert_error(404, "not_found");
    for incomplete in [
        json!({"decisions": {"nothing": true}}),
        json!({}),
        json!({"approve": true, "decisions": {}}),
    ] {
        decide(&system, "ada", &run, incomplete)
            .await
            .assert_error(400, "invalid_request");
    }
    let yes = json!({"approve": true, "run_id": child});
    let (first, again) = tokio::join!(
        decide(&system, "ada", &run, yes.clone()),
        decide(&system, "ada", &run, yes)
    );
    for answer in [first, again] {
        assert_eq!(answer.assert_ok()["run_id"], child.to_string());
    }
    let same = decide(&system, "ada", &run, json!({"approve": true})).await;
    assert_eq!(same.assert_ok()["run_id"], child.to_string());
    decide(&system, "ada", &run, json!({"approve": false}))
        .await
        .assert_error(409, "invalid_request");
    let deleted = "select count(*) from tool_calls where tool_name = 'delete_task'";
    assert_eq!(system.count(deleted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_answer_wait_together_and_each_is_decided() {
    let (system, task) = system().await;
    let other = add(&system, "an old list").await;
    system.model.push(
        Turn::call("add_task", json!({"title": "call Ann"}))
            .and_call("delete_task", json!({"task_id": task}))
            .and_call("delete_task", json!({"task_id": other})),
    );
    let waits = system.say("ada", "tidy up").await;
    assert_eq!(waits.body["status"], "waiting", "{}", waits.body);
    // Nothing of the answer is done before all of it may be.
    assert_eq!(system.titles("ada").await, ["buy milk", "an old list"]);
    let run = view(&system, &waits.body["run_id"]).await;
    let ids: Vec<_> = run["interrupts"]
        .as_array()
        .expect("interrupts")
        .iter()
        .map(|interrupt| interrupt["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 2);
    // The next answer needs approval again: a chain.
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let half = decide(
        &system,
        "ada",
        &waits.body,
        json!({"decisions": {ids[0]: false, ids[1]: true}}),
    )
    .await;
    assert_eq!(
        (half.status.as_u16(), half.body["status"].as_str()),
        (202, Some("waiting")),
        "{}",
        half.body
    );
    assert_eq!(system.titles("ada").await, ["buy milk", "call Ann"]);
    system.model.push(Turn::text("Tidied."));
    let done = decide(&system, "ada", &half.body, json!({"approve": true})).await;
    assert_eq!(done.assert_ok()["response"], "Tidied.");
    assert_eq!(system.titles("ada").await, ["call Ann"]);
    let added = "select count(*) from tool_calls where tool_name = 'add_task' and run_id in (select id from runs where root_run_id is not null)";
    assert_eq!(system.count(added).await, 1);
    // A later turn sees the whole chain as one.
    system.model.push(Turn::text("You are welcome."));
    system
        .say_in("ada", &waits.body["conversation_id"], "thanks")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().expect("a request");
    let messages = asked["messages"].as_array().expect("messages");
    let roles: Vec<_> = messages
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
            "tool",
            "tool",
            "assistant",
            "tool",
            "assistant",
            "user"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_can_be_cancelled_and_who_repeats_a_message_hears_the_end() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let path = format!("runs/{}/cancel", run["run_id"].as_str().expect("a run"));
    let cancelled = Answer::of(system.request(Method::POST, "ada", &path)).await;
    assert_eq!(cancelled.assert_ok()["status"], "cancelled");
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    assert_eq!(kinds(&events).last(), Some(&"RUN_FINISHED"));
    decide(&system, "ada", &run, json!({"approve": true}))
        .await
        .assert_error(409, "invalid_request");

    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let post = || {
        system
            .post_chat("ada", &json!({"message": "delete it"}))
            .header("idempotency-key", "k")
    };
    let waits = Answer::of(post()).await;
    assert_eq!(waits.body["status"], "waiting");
    system.model.push(Turn::text("Deleted."));
    decide(&system, "ada", &waits.body, json!({"approve": true}))
        .await
        .assert_ok();
    assert_eq!(Answer::of(post()).await.assert_ok()["response"], "Deleted.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ag_ui_client_resumes_with_a_run_of_its_own() {
    let (system, task) = system().await;
    let run = ask(&system, &task).await;
    let run = view(&system, &run["run_id"]).await;
    system.model.push(Turn::text("Deleted."));
    let child = uuid::Uuid::now_v7();
    let resume = |payload: Value| {
        let body = json!({
            "threadId": run["conversation_id"], "runId": child, "state": {}, "messages": [], "tools": [], "context": [],
            "resume": [{"interruptId": run["interrupts"][0]["id"], "status": "resolved", "payload": payload}],
        });
        system
            .post_chat("ada", &body)
            .header("accept", "text/event-stream")
    };
    let events = read_sse(resume(json!({"approved": true})), usize::MAX).await;
    assert_well_formed(&events);
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["type"], "success");
    assert_eq!(last["runId"], child.to_string());
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    // The stream again, not the effect.
    assert_eq!(read_sse(resume(json!(true)), usize::MAX).await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ag_ui_client_answers_and_goes_on() {
    let (system, task) = system().await;
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    system.model.push(Turn::text("Deleted."));
    let thread = uuid::Uuid::now_v7().to_string();
    let Some(made) = ag_ui::turn(&system, &thread, "delete it").await else {
        return;
    };
    let messages = made["messages"].as_array().expect("messages");
    let last = messages.last().expect("a message");
    assert_eq!(
        (&last["role"], &last["content"]),
        (&json!("assistant"), &json!("Deleted."))
    );
    let ends = made["types"].as_array().expect("types").iter();
    assert_eq!(ends.filter(|kind| *kind == "RUN_FINISHED").count(), 2);
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
}

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
    let base_url = system.model.base_url();
    let mut environment = vec![
        ("DATABASE_URL", system.database_url.as_str()),
        ("OPENAI_BASE_URL", &base_url),
        ("LEASE_TIMEOUT", "1s"),
    ];
    if gated {
        environment.push(("REQUIRE_APPROVAL", "delete_task"));
    }
    let mut worker = Process::start("errand-worker", &[], environment).await;
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
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
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
    let call = &said.assert_ok()["tool_calls"][0]["result"];
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

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_run_hears_at_once_that_it_waits() {
    let (system, task) = system().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})).gate_after(1, &gate));
    let body = json!({"message": "delete it"});
    let request = system.post_chat("ada", &body);
    let run = Answer::of(request.header("prefer", "respond-async")).await;
    let path = format!(
        "runs/{}?wait=60",
        run.body["run_id"].as_str().expect("a run")
    );
    let waits = system.get("ada", &path);
    let opens = async {
        gate.reached(1).await.expect("the model is asked");
        gate.open();
        std::time::Instant::now()
    };
    let (waits, opened) = tokio::join!(waits, opens);
    assert_eq!(waits.assert_ok()["status"], "waiting");
    assert!(opened.elapsed() < std::time::Duration::from_secs(10));
}
