//! AG-UI 1.0: every event of whole runs, whatever became of them, and the order of the events, by the stock client's schemas and verifier.

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem, ag_ui,
    events::{assert_well_formed, stored},
    process,
    socket::Socket,
};

/// The events of a run.
async fn run(system: &TestSystem, run: &Value) -> Vec<Value> {
    let events = stored(system, run.as_str().expect("a run")).await;
    events.into_iter().map(|(_, event)| event).collect()
}

async fn post(system: &TestSystem, path: &str, body: Value) -> Answer {
    Answer::of(system.request(Method::POST, "ada", path).json(&body)).await
}

/// Its last event, of this outcome.
#[track_caller]
fn assert_end<'e>(events: &'e [Value], outcome: &str) -> &'e Value {
    let end = events.last().expect("an end");
    assert_eq!(end["type"], "RUN_FINISHED", "{end}");
    assert_eq!(end["outcome"]["type"], outcome, "{end}");
    end
}

/// Text, tools, a question, a decision, cancels of all kinds, failures, retries.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_every_kind_are_as_the_protocol_has_them() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    let mut runs = Vec::new();
    // Text and tools, in several steps; a call that comes to an error, and one of a tool that there is not.
    system
        .model
        .push(Turn::call("add_task", json!({"title": "one"})).and_text("Let me see."));
    let task = json!({"task_id": "018f0000-0000-7000-8000-000000000000"});
    system
        .model
        .push(Turn::call("complete_task", task).and_call("no_such_tool", json!({})));
    system
        .model
        .push(Turn::call("add_task", json!({"title": "two"})));
    system.model.push(Turn::text("Both are there."));
    let done = system.say("ada", "add two").await;
    let task = done.assert_ok()["tool_calls"][0]["result"]["task_id"].clone();
    runs.push(run(&system, &done.body["run_id"]).await);
    assert_end(&runs[0], "success");
    // A question, and the run behind the answer; another question, which is cancelled.
    for answer in ["decision", "cancel"] {
        system
            .model
            .push(Turn::call("delete_task", json!({"task_id": task})).and_text("Shall I?"));
        let waits = system.say("ada", "delete it").await;
        assert_eq!(waits.body["status"], "waiting", "{}", waits.body);
        let waiting = &waits.body["run_id"];
        runs.push(run(&system, waiting).await);
        assert_end(runs.last().unwrap(), "interrupt");
        let path = format!("runs/{}/{answer}", waiting.as_str().unwrap());
        match answer {
            "decision" => {
                system.model.push(Turn::text("As you like."));
                let decided = post(&system, &path, json!({"approve": false})).await;
                runs.push(run(&system, &decided.assert_ok()["run_id"]).await);
                assert_eq!(runs.last().unwrap()[0]["parentRunId"], *waiting);
            }
            _ => drop(post(&system, &path, json!({})).await.assert_ok().clone()),
        }
    }
    // Cancelled in the middle of a word, then gone on from.
    let mut socket = Socket::connect(&system, "ada").await;
    system
        .model
        .push(Turn::text("I was going to say").stall_after(3));
    let started = socket.call("run.start", json!({"message": "talk"})).await;
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    socket
        .call("run.cancel", json!({"runId": started["runId"]}))
        .await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    runs.push(run(&system, &started["runId"]).await);
    let end = assert_end(runs.last().unwrap(), "cancelled");
    assert_eq!(end["outcome"], json!({"type": "cancelled"}));
    system.model.push(Turn::text("Nothing."));
    let path = format!("runs/{}/retry", started["runId"].as_str().unwrap());
    let again = post(&system, &path, json!({})).await;
    runs.push(run(&system, &again.assert_ok()["run_id"]).await);
    assert_end(runs.last().unwrap(), "success");
    // Failed behind a call, retried, failed again.
    system
        .model
        .push(Turn::call("add_task", json!({"title": "three"})).usage(100, 10));
    system.model.push(Turn::status(400));
    let failed = system.say("ada", "add three").await;
    let failed = failed.assert_error(502, "model_error")["run_id"].clone();
    runs.push(run(&system, &failed).await);
    let end = runs.last().unwrap().last().unwrap();
    assert_eq!(end["type"], "RUN_ERROR");
    assert_eq!(end["usage"][0]["totalTokens"], 110, "{end}");
    system.model.push(Turn::status(401));
    let path = format!("runs/{}/retry", failed.as_str().unwrap());
    let again = post(&system, &path, json!({})).await;
    runs.push(run(&system, &again.assert_error(502, "model_error")["run_id"]).await);
    // Cut in the middle of an answer, which is asked for again.
    system.model.push(Turn::text("half of it").cut_after(2));
    system.model.push(Turn::text("All of it."));
    runs.push(
        run(
            &system,
            &system.say("ada", "say it").await.assert_ok()["run_id"],
        )
        .await,
    );
    ag_ui::validate(&runs).await;
}

/// Cancelled before any worker had it, and taken over from a worker that died.
#[tokio::test(flavor = "multi_thread")]
async fn runs_without_a_worker_and_with_several_are_as_the_protocol_has_them() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let body = json!({"message": "go"});
    let accepted = system
        .post_chat("ada", &body)
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    let path = format!("runs/{}/cancel", accepted.body["run_id"].as_str().unwrap());
    post(&system, &path, json!({})).await.assert_ok();
    let mut runs = vec![run(&system, &accepted.body["run_id"]).await];
    let end = assert_end(&runs[0], "cancelled");
    assert_eq!(end.get("usage"), None, "no model was asked");

    let more = [("LEASE_TIMEOUT", "1s")];
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "once"})).usage(50, 5));
    system
        .model
        .push(Turn::text("these words are lost").gate_after(3, &gate));
    system
        .model
        .push(Turn::text("Here.").usage(70, 7).cached(50));
    let mut doomed = system.worker_process(&more).await;
    doomed.until_says("taking runs").await;
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "go"})).await;
    gate.reached(1).await.unwrap();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    doomed.kill().await;
    let _other = system.worker_process(&more).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    runs.push(run(&system, &started["runId"]).await);
    // What both workers asked for; what the first had only half of when it died, nobody has counted.
    let usage = &assert_end(&runs[1], "success")["usage"];
    assert_eq!(usage.as_array().map(Vec::len), Some(1), "{usage}");
    let counted = (
        &usage[0]["inputTokens"],
        &usage[0]["outputTokens"],
        &usage[0]["cachedInputTokens"],
    );
    assert_eq!(counted, (&json!(120), &json!(12), &json!(50)), "{usage}");

    // An operator's second chance: the same run begins once more behind its failure.
    system.model.push(Turn::status(400));
    let failed = system.say("ada", "fail").await;
    let failed = failed.assert_error(502, "model_error")["run_id"].clone();
    system.model.push(Turn::text("Cured."));
    let database = [("DATABASE_URL", system.database_url.as_str())];
    let requeue = ["requeue", failed.as_str().unwrap()];
    let (status, said) = process::run("errand-api", &requeue, database).await;
    assert!(status.success(), "{said}");
    let path = format!("runs/{}?wait=20", failed.as_str().unwrap());
    assert_eq!(
        system.get("ada", &path).await.assert_ok()["status"],
        "completed"
    );
    runs.push(run(&system, &failed).await);
    ag_ui::validate(&runs).await;
}

/// Tokens by model: those of the run's own calls, with what came from the provider's cache, in the event as in the run.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_tells_what_it_took() {
    let system = TestSystem::start().await;
    system.model.push(
        Turn::call("list_tasks", json!({}))
            .usage(1_000, 20)
            .cached(900)
            .reasoning(5),
    );
    system.model.push(
        Turn::text("Nothing.")
            .usage(1_100, 30)
            .cached(1_024)
            .reasoning(12),
    );
    let done = system.say("ada", "what is there?").await;
    let usage = json!({"input_tokens": 2_100, "cached_input_tokens": 1_924, "output_tokens": 50, "reasoning_tokens": 17, "model_calls": 2});
    assert_eq!(done.assert_ok()["usage"], usage);
    let events = run(&system, &done.body["run_id"]).await;
    let end = assert_end(&events, "success");
    let usage = json!([{"model": "scripted", "inputTokens": 2_100, "outputTokens": 50, "totalTokens": 2_150,
                        "cachedInputTokens": 1_924, "reasoningTokens": 17}]);
    assert_eq!(end["usage"], usage);
    assert_eq!(end.get("metadata"), None);
    // A cache cannot have had more than there was; and what nobody counted is an estimate, and says so.
    system
        .model
        .push(Turn::text("One.").usage(10, 1).cached(1_000).reasoning(7));
    let done = system.say("ada", "one").await;
    assert_eq!(done.assert_ok()["usage"]["cached_input_tokens"], 10);
    assert_eq!(done.body["usage"]["reasoning_tokens"], 1);
    system.model.push(Turn::text("Two.").without_usage());
    let done = system.say("ada", "two").await;
    assert_eq!(done.assert_ok()["usage"].get("cached_input_tokens"), None);
    assert_eq!(done.body["usage"].get("reasoning_tokens"), None);
    let events = run(&system, &done.body["run_id"]).await;
    let end = assert_end(&events, "success");
    assert_eq!(end["metadata"], json!({"usageEstimated": true}));
    assert!(end["usage"][0]["inputTokens"].as_i64() > Some(100), "{end}");
    assert_well_formed(&stored(&system, done.body["run_id"].as_str().unwrap()).await);
    ag_ui::validate(&[events]).await;
}

/// The validator finds what is wrong: without this it might as well look at nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_validator_refuses_what_is_not_the_protocol() {
    let started =
        json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r", "protocolVersion": "1.0"});
    let finished = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"});
    let with = |event: &Value, field: &str, value: Value| {
        let mut event = event.clone();
        event[field] = value;
        event
    };
    let message = json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"});
    let wrong = [
        vec![
            with(&started, "protocolVersion", json!("0.9")),
            finished.clone(),
        ],
        vec![with(&started, "seq", json!(1)), finished.clone()],
        vec![started.clone(), message, finished.clone()],
        vec![started.clone(), finished.clone(), finished.clone()],
        vec![
            started.clone(),
            with(&finished, "outcome", json!({"type": "stopped"})),
        ],
        vec![
            started.clone(),
            with(&finished, "usage", json!([{"inputTokens": "many"}])),
        ],
        vec![finished.clone()],
        vec![started.clone()],
    ];
    let Some(faults) = ag_ui::faults(&wrong).await else {
        return;
    };
    for (run, events) in wrong.iter().enumerate() {
        let found = faults
            .iter()
            .filter(|fault| fault.starts_with(&format!("run {run} ")));
        assert!(found.count() > 0, "{events:?} passes: {faults:?}");
    }
    assert_eq!(
        ag_ui::faults(&[vec![started, finished]]).await,
        Some(vec![])
    );
}
