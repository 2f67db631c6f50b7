//! Models in trouble: each kind ends in a good reply after a few retries, or in a failed run with a stable code; never in a
//! hang, and never with a committed step done again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use errand_devkit::model::{Turn, request};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::system::{
    Options, TestSystem,
    events::{assert_well_formed, stored, text},
};

/// One attempt at a run; half of it is what a silent model gets.
const RUN_TIMEOUT: &str = "8s";

/// When the model was asked about each message.
type Asked = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

async fn impatient_world() -> TestSystem {
    TestSystem::with(Options {
        worker: vec!["--run-timeout", RUN_TIMEOUT],
        ..Options::default()
    })
    .await
}

/// Each message names a case. The first answer adds a task of that name; to later requests for the case, `later` answers, told
/// how many came before.
fn script_cases<F>(system: &TestSystem, cases: Vec<(&'static str, F)>) -> Asked
where
    F: Fn(usize) -> Turn + Send + Sync + 'static,
{
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    system.model.script(move |request| {
        let case = request::last_user(request);
        let mut seen = seen.lock().expect("no panic");
        let times = seen.entry(case.clone()).or_default();
        times.push(Instant::now());
        match times.len() {
            1 => Turn::call("add_task", json!({"title": case})),
            n => {
                let later = cases.iter().find(|(name, _)| *name == case);
                later.expect("a case").1(n - 2)
            }
        }
    });
    asked
}

/// What holds of a run however its model behaved: the step before the trouble is kept, and was done once.
async fn assert_done_once(system: &TestSystem, case: &str, run: &Value) {
    let run = run.as_str().unwrap();
    assert_eq!(system.titles(case).await, [case], "{case}");
    let view = system.get(case, &format!("runs/{run}")).await;
    let view = view.assert_ok();
    assert_eq!(view["attempt"], 1, "{case}");
    assert_eq!(view["tool_calls"].as_array().unwrap().len(), 1, "{case}");
    let events = stored(system, run).await;
    assert_well_formed(&events);
    let calls = events
        .iter()
        .filter(|(_, event)| event["type"] == "TOOL_CALL_START");
    assert_eq!(calls.count(), 1, "{case}");
}

/// After a committed step the model is in trouble, once or twice; then it answers.
#[tokio::test(flavor = "multi_thread")]
async fn passing_trouble_ends_in_a_good_reply() {
    let system = impatient_world().await;
    let in_words = || Turn::text("Words that nobody keeps");
    let late = Duration::from_secs(60);
    // The trouble, and how often it comes.
    let cases: Vec<(&'static str, Turn, usize)> = vec![
        ("429", Turn::status(429), 2),
        (
            "429 and a pause",
            Turn::status(429).header("retry-after", "2"),
            1,
        ),
        ("500", Turn::status(500).body("<html>"), 2),
        ("503", Turn::status(503).header("retry-after", "0"), 3),
        ("a slow first byte", in_words().first_byte_after(late), 1),
        ("a stall", in_words().stall_after(2), 1),
        ("a cut before the body", in_words().cut_after(0), 2),
        ("a cut", in_words().cut_after(3), 2),
        (
            "a cut in a call",
            Turn::call("add_task", json!({"title": "half"})).cut_after(3),
            2,
        ),
        ("a malformed chunk", in_words().malformed_after(2), 2),
        (
            "an error in the stream",
            in_words().error_after(2, 502, "upstream is gone"),
            2,
        ),
        ("no end", in_words().without_finish(), 2),
        ("nothing", Turn::empty(), 2),
    ];
    let names: Vec<_> = cases
        .iter()
        .map(|(name, _, times)| (*name, *times))
        .collect();
    let later = cases.into_iter().map(|(name, trouble, times)| {
        let later = move |n: usize| match n < times {
            true => trouble.clone(),
            false => Turn::text("Done."),
        };
        (name, later)
    });
    let asked = script_cases(&system, later.collect());
    join_all(names.iter().map(|&(case, times)| {
        let (system, asked) = (&system, &asked);
        async move {
            let answer = system.say(case, case).await;
            assert_eq!(answer.assert_ok()["response"], "Done.", "{case}");
            assert_eq!(answer.body["usage"]["model_calls"], 2, "{case}");
            assert_eq!(asked.lock().unwrap()[case].len(), times + 2, "{case}");
            assert_done_once(system, case, &answer.body["run_id"]).await;
            let run = answer.body["run_id"].as_str().unwrap();
            // What was streamed of a failed try is followed by the whole reply, as a message of its own.
            assert!(
                text(&stored(system, run).await).ends_with("Done."),
                "{case}"
            );
        }
    }))
    .await;
    let asked = asked.lock().unwrap();
    let pause = asked["429 and a pause"][2] - asked["429 and a pause"][1];
    assert!(
        pause >= Duration::from_secs(2),
        "Retry-After counts: {pause:?}"
    );
}

/// After a committed step the model stays in trouble: a stable code, after so many requests at most.
#[tokio::test(flavor = "multi_thread")]
async fn lasting_trouble_ends_in_a_failed_run() {
    let system = impatient_world().await;
    let in_words = || Turn::text("Words that nobody keeps");
    let refusal = |code: &str| json!({"error": {"code": code, "message": "no"}});
    let slowly = Duration::from_millis(100);
    // The trouble, the answer, and how many requests it takes.
    let cases: Vec<(&'static str, Turn, (u16, &str), usize)> = vec![
        (
            "429",
            Turn::status(429).header("retry-after", "0"),
            (502, "model_error"),
            4,
        ),
        ("503", Turn::status(503), (502, "model_error"), 4),
        (
            "a bad request",
            Turn::status(400).body(refusal("bad")),
            (502, "model_error"),
            1,
        ),
        (
            "a bad key",
            Turn::status(401).body(refusal("bad")),
            (502, "model_error"),
            1,
        ),
        (
            "no quota",
            Turn::status(429).body(refusal("insufficient_quota")),
            (502, "model_error"),
            1,
        ),
        (
            // Once more with less of what the call returned.
            "too long",
            Turn::status(400).body(refusal("context_length_exceeded")),
            (502, "model_error"),
            2,
        ),
        (
            "too long, in the stream",
            Turn::raw([format!("data: {}\n\n", refusal("context_length_exceeded"))]),
            (502, "model_error"),
            2,
        ),
        ("cuts", in_words().cut_after(3), (502, "model_error"), 4),
        (
            "malformed chunks",
            in_words().malformed_after(1),
            (502, "model_error"),
            4,
        ),
        (
            "errors in the stream",
            in_words().error_after(1, 502, "gone"),
            (502, "model_error"),
            4,
        ),
        (
            "an endless answer",
            Turn::endless("word ".repeat(200)),
            (502, "model_error"),
            1,
        ),
        (
            "an endless call",
            Turn::endless_call("add_task", "x".repeat(1000)),
            (502, "model_error"),
            1,
        ),
        (
            "an endless answer, slowly",
            Turn::endless("word ").chunk_every(slowly),
            (504, "run_timeout"),
            1,
        ),
        ("stalls", in_words().stall_after(1), (504, "run_timeout"), 2),
        (
            "a pause without end",
            Turn::status(429).header("retry-after", "86400"),
            (504, "run_timeout"),
            1,
        ),
    ];
    let expected: Vec<_> = cases
        .iter()
        .map(|(name, _, answer, requests)| (*name, *answer, *requests))
        .collect();
    let later = cases
        .into_iter()
        .map(|(name, trouble, ..)| (name, move |_: usize| trouble.clone()));
    let asked = script_cases(&system, later.collect());
    join_all(expected.iter().map(|&(case, (status, code), requests)| {
        let (system, asked) = (&system, &asked);
        async move {
            let answer = system.say(case, case).await;
            let run = answer.assert_error(status, code)["run_id"].clone();
            let times = asked.lock().unwrap()[case].len() - 1;
            assert_eq!(times, requests, "{case}");
            assert_done_once(system, case, &run).await;
        }
    }))
    .await;
    // Nothing of it is left at the model: what was given up is hung up.
    system.model.aborted_seen(3).await.unwrap();
}

/// Nobody listens at the model's address.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_a_model_error() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    system.model_url = Some(format!("http://{address}/v1"));
    system.start_worker().await;
    system
        .say("ada", "hello")
        .await
        .assert_error(502, "model_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_a_conversation_is_asked_again_with_less_history() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("words ".repeat(600)));
    let first = system.say("ada", "one").await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    for _ in 0..4 {
        system
            .say_in("ada", &conversation, "more")
            .await
            .assert_ok();
    }
    system.model.script(
        |request| match request["messages"].as_array().map_or(0, Vec::len) {
            0..=6 => Turn::text("Fits."),
            _ => Turn::status(400)
                .body(json!({"error": {"code": "context_length_exceeded", "message": "too long"}})),
        },
    );
    assert_eq!(
        system
            .say_in("ada", &conversation, "again")
            .await
            .assert_ok()["response"],
        "Fits."
    );
    // Nothing helps against a message that alone is too long.
    system
        .model
        .script(|_| Turn::status(400).body(json!({"error": {"code": "context_length_exceeded"}})));
    system
        .say_in("ada", &conversation, "again")
        .await
        .assert_error(502, "model_error");
}
