//! Tokens of answers that never became a step: they were paid for, so they count.

use chrono::{TimeDelta, Utc};
use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem, rows};

/// Starts a run, waits until its answer has come as far as the gate, and cancels it.
async fn cancel_at(system: &TestSystem, gate: &Gate, times: usize) -> Value {
    let accepted = system
        .post_chat("ada", &json!({"message": "talk"}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    let run = accepted.body["run_id"].as_str().expect("a run").to_owned();
    gate.reached(times).await.expect("an answer");
    // What was streamed is on its way; the worker has read it when it is stored.
    let words = "select count(*) from run_events where event ->> 'type' = 'TEXT_MESSAGE_CONTENT'";
    system.until(words, i64::try_from(times).unwrap()).await;
    let cancel = system.request(Method::POST, "ada", &format!("runs/{run}/cancel"));
    Answer::of(cancel).await;
    let view = system.get("ada", &format!("runs/{run}?wait=10")).await;
    assert_eq!(view.assert_ok()["status"], "cancelled");
    view.body["usage"].clone()
}

/// Tokens of today, as the daily limit sees them.
const TODAY: &str = "select coalesce(sum(tokens), 0)::bigint from usage_days";

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_runs_count_what_was_streamed() {
    let system = TestSystem::with(Options {
        api: vec!["--tokens-per-day", "5000"],
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    let words = "word ".repeat(1_000);
    // The provider says nothing of tokens before the end: an estimate.
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": words}}]});
    let talk = || {
        Turn::raw([format!("data: {chunk}\n\n"), "data: {}\n\n".to_owned()]).gate_after(1, &gate)
    };
    system.model.push(talk());
    let usage = cancel_at(&system, &gate, 1).await;
    assert_eq!(usage["estimated"], true, "{usage}");
    let output = usage["output_tokens"].as_i64().unwrap();
    assert!((1_000..2_000).contains(&output), "{usage}");
    let input = usage["input_tokens"].as_i64().unwrap();
    assert!(input > 500, "{usage}");
    assert_eq!(system.count(TODAY).await, input + output);
    // The provider counts as it goes.
    let counted = json!({"choices": [{"index": 0, "delta": {"content": "word"}}], "usage": {"prompt_tokens": 700, "completion_tokens": 900}});
    system.model.push(
        Turn::raw([format!("data: {counted}\n\n"), "data: {}\n\n".to_owned()]).gate_after(1, &gate),
    );
    let usage = cancel_at(&system, &gate, 2).await;
    assert_eq!(
        usage,
        json!({"input_tokens": 700, "output_tokens": 900, "model_calls": 0})
    );
    // The limit has heard of it.
    let refused = system.say("ada", "more").await;
    refused.assert_error(429, "rate_limited");
}

/// A try that broke off in its middle was paid for as well as the one that succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn tries_that_failed_count_too() {
    let system = TestSystem::start().await;
    let cut = json!({"choices": [{"index": 0, "delta": {"content": "half"}}], "usage": {"prompt_tokens": 100, "completion_tokens": 10}});
    system
        .model
        .push(Turn::raw([format!("data: {cut}\n\n")]).cut_after(1));
    system.model.push(Turn::text("Whole.").usage(100, 20));
    let answer = system.say("ada", "hello").await;
    assert_eq!(answer.assert_ok()["response"], "Whole.");
    let usage = json!({"input_tokens": 200, "output_tokens": 30, "model_calls": 1});
    assert_eq!(answer.body["usage"], usage);
    // Also where all of them fail.
    for _ in 0..4 {
        system
            .model
            .push(Turn::raw([format!("data: {cut}\n\n")]).cut_after(1));
    }
    let failed = system.say("bob", "hello").await;
    let run = failed.assert_error(502, "model_error")["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let view = system.get("bob", &format!("runs/{run}")).await;
    assert_eq!(
        view.assert_ok()["usage"],
        json!({"input_tokens": 400, "output_tokens": 40, "model_calls": 0})
    );
    assert_eq!(system.count(TODAY).await, 230 + 440);
}

/// What was reasoned is part of what was written, whether its provider counts it in (OpenAI), beside that (xAI), or tells the sum alone (Gemini).
#[tokio::test(flavor = "multi_thread")]
async fn reasoning_is_part_of_what_was_written() {
    let system = TestSystem::start().await;
    let details = json!({"reasoning_tokens": 60});
    for (usage, told) in [
        (
            json!({"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 190, "completion_tokens_details": details}),
            (90, 60),
        ),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 190, "completion_tokens_details": details}),
            (90, 60),
        ),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 190}),
            (90, 60),
        ),
        (
            json!({"input_tokens": 100, "output_tokens": 90, "output_tokens_details": details}),
            (90, 60),
        ),
        // A sum that nobody understands counts for nothing.
        (
            json!({"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 999, "completion_tokens_details": details}),
            (90, 60),
        ),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 5}),
            (90, 0),
        ),
    ] {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}], "usage": usage});
        system.model.push(Turn::raw([
            format!("data: {chunk}\n\n"),
            "data: [DONE]\n\n".to_owned(),
        ]));
        let answer = system.say("ada", "hello").await;
        let took = &answer.assert_ok()["usage"];
        let reasoning = took["reasoning_tokens"].as_i64().unwrap_or(0);
        assert_eq!(
            (took["output_tokens"].as_i64(), reasoning),
            (Some(told.0), told.1),
            "{usage}"
        );
    }
    let usage = system.get("ada", "usage").await;
    let day = &usage.assert_ok()["usage"][0];
    assert_eq!(
        (&day["tokens"], &day["reasoning_tokens"]),
        (&json!(6 * 190), &json!(5 * 60))
    );
}

/// The days on which a user took something, the last first; nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_told_by_day() {
    let system = TestSystem::with(Options {
        api: vec!["--tokens-per-day", "100000"],
        ..Options::default()
    })
    .await;
    system.model.push(Turn::text("Hi."));
    let answer = system.say("ada", "hello").await;
    let usage = &answer.assert_ok()["usage"];
    let took = usage["input_tokens"].as_i64().expect("a number")
        + usage["output_tokens"].as_i64().expect("a number");
    // Of late: what is older than five weeks is purged at any moment.
    let day = |ago| (Utc::now() - TimeDelta::days(ago)).date_naive().to_string();
    let (late, early, his) = (day(10), day(11), day(9));
    let days = format!(
        "insert into usage_days (user_id, day, tokens) values ('ada', '{early}', 7), ('ada', '{late}', 8), ('bob', '{his}', 9)"
    );
    rows::execute(&system.db, &days).await;
    let first = system.get("ada", "usage?limit=2").await;
    let first = first.assert_ok();
    assert_eq!(first["tokens_per_day"], 100_000);
    assert_eq!(first["usage"][0]["tokens"], took);
    assert_eq!(
        first["usage"][1],
        json!({"day": late, "tokens": 8, "cached_input_tokens": 0, "reasoning_tokens": 0, "models": []})
    );
    let cursor = first["next_cursor"].as_str().expect("another page");
    let last = system.get("ada", &format!("usage?cursor={cursor}")).await;
    let rest = json!({"usage": [{"day": early, "tokens": 7, "cached_input_tokens": 0, "reasoning_tokens": 0, "models": []}], "tokens_per_day": 100_000, "next_cursor": null});
    assert_eq!(*last.assert_ok(), rest);
    let foreign = system.get("ada", "usage?cursor=yesterday").await;
    foreign.assert_error(400, "invalid_request");
}
