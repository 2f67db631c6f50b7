//! A model that fails with another one behind it: one more request, and not a failed turn.

use errand_devkit::model::{Dialect, Provider, ScriptedModel, Turn, provider, request};
use serde_json::{Value, json};

use crate::system::{
    MODEL_KEY, Options, TestSystem,
    events::{assert_well_formed, stored, text},
};

fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

async fn with_fallbacks(fallbacks: &'static str, more: &[&'static str]) -> TestSystem {
    let mut worker = vec!["--openai-fallback-models", fallbacks];
    worker.extend(more);
    TestSystem::with(Options {
        worker,
        ..Options::default()
    })
    .await
}

/// The first model fails like this; others answer: a call, and then a text.
fn script(system: &TestSystem, failing: Turn) {
    system.model.script(move |asked| {
        match (asked["model"] == "scripted", request::steps(asked).len()) {
            (true, _) => failing.clone(),
            (false, 0) => Turn::call("add_task", json!({"title": "A"})).usage(100, 10),
            (false, _) => Turn::text("Done.").usage(200, 20),
        }
    });
}

/// How often each model was asked.
fn asked(model: &ScriptedModel, name: &str) -> usize {
    let requests = model.requests();
    requests
        .iter()
        .filter(|asked| asked["model"] == name)
        .count()
}

async fn models_of_steps(system: &TestSystem, run: &Value) -> Vec<String> {
    let run: uuid::Uuid = run
        .as_str()
        .and_then(|run| run.parse().ok())
        .expect("a run");
    sqlx::query_scalar("select model from steps where run_id = $1 order by step")
        .bind(run)
        .fetch_all(&system.db)
        .await
        .expect("steps")
}

/// Refused for good, away, silent in the middle, or slow on purpose: the next model answers, and keeps the turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_costs_a_turn_one_more_try() {
    let words = || Turn::text("Words that nobody keeps");
    // What the first model does, and how often it is asked.
    let cases: Vec<(&str, Turn, usize)> = vec![
        ("a wrong key", Turn::status(401), 1),
        ("no such model", Turn::status(404), 1),
        ("a refused request", Turn::status(400), 1),
        (
            "no quota",
            Turn::status(429).body(json!({"error": {"code": "insufficient_quota"}})),
            1,
        ),
        (
            "a long pause is asked for",
            Turn::status(429).header("retry-after", "20"),
            1,
        ),
        ("away", Turn::status(503), 2),
        ("cuts", words().cut_after(3), 2),
        ("no end", Turn::endless("word ".repeat(200)), 1),
    ];
    let system = with_fallbacks("second", &[]).await;
    for (name, failing, times) in cases {
        // A success in between keeps the circuit closed: it is looked at elsewhere.
        system.model.push(Turn::text("Well."));
        system.say(name, "hello").await.assert_ok();
        let before = (
            asked(&system.model, "scripted"),
            asked(&system.model, "second"),
        );
        script(&system, failing);
        let answer = system.say(name, name).await;
        assert_eq!(answer.assert_ok()["response"], "Done.", "{name}");
        assert_eq!(asked(&system.model, "scripted") - before.0, times, "{name}");
        assert_eq!(asked(&system.model, "second") - before.1, 2, "{name}");
        assert_eq!(system.titles(name).await, ["A"], "{name}");
        let run = &answer.body["run_id"];
        assert_eq!(
            models_of_steps(&system, run).await,
            ["second", "second"],
            "{name}"
        );
        let events = stored(&system, run.as_str().unwrap()).await;
        assert_well_formed(&events);
        assert!(text(&events).ends_with("Done."), "{name}");
        // Clients are told which model it was.
        let (_, end) = events.last().expect("an end");
        assert_eq!(end["type"], "RUN_FINISHED", "{name}");
        assert_eq!(
            end["usage"].as_array().map(Vec::len),
            Some(1),
            "{name}: {end}"
        );
        assert_eq!(end["usage"][0]["model"], "second", "{name}: {end}");
    }
}

/// It is a message that has ended, and no part of the reply.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_streamed_of_a_failed_answer_is_taken_back() {
    let system = with_fallbacks("second", &[]).await;
    system
        .model
        .script(|asked| match asked["model"] == "scripted" {
            true => Turn::text("Words that nobody keeps").cut_after(3),
            false => Turn::text("Done."),
        });
    let answer = system.say("ada", "hello").await;
    assert_eq!(answer.assert_ok()["response"], "Done.");
    let run = answer.body["run_id"].as_str().expect("a run");
    let events = stored(&system, run).await;
    assert_well_formed(&events);
    let is_start = |(_, event): &(i64, Value)| event["type"] == "TEXT_MESSAGE_START";
    let reply = events.iter().rposition(is_start).expect("a reply");
    assert_eq!(text(&events[reply..]), "Done.");
    assert_eq!(events[reply].1["messageId"], answer.body["message_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_asked_in_order_and_a_turn_fails_when_all_have() {
    let system = with_fallbacks("second, third", &[]).await;
    system.model.script(|_| Turn::status(401));
    let answer = system.say("ada", "hello").await;
    answer.assert_error(502, "model_error");
    let requests = system.model.requests();
    let order: Vec<&Value> = requests.iter().map(|asked| &asked["model"]).collect();
    assert_eq!(order, ["scripted", "second", "third"]);
    // Too long a conversation is too long for the next one, too.
    let too_long = json!({"error": {"code": "context_length_exceeded", "message": "too long"}});
    system
        .model
        .script(move |_| Turn::status(400).body(&too_long));
    system
        .say("ada", "hello")
        .await
        .assert_error(502, "model_error");
    assert_eq!(asked(&system.model, "second"), 1);
}

/// A fallback at another provider, with a key and habits of its own, takes over in the middle of a turn: it gets the call of the other
/// model in a form that it takes, its own signatures come back to it, and nothing of the one goes to the other.
#[tokio::test(flavor = "multi_thread")]
async fn another_provider_takes_over_in_the_middle_of_a_turn() {
    let gemini = ScriptedModel::start().await.expect("another model");
    gemini.speak(Dialect::Gemini);
    let url = gemini.pose_as(Provider::Gemini);
    let fallback = kept(format!("gemini-3.5-flash-lite@{url}"));
    let system = with_fallbacks(fallback, &["--openai-fallback-api-keys", provider::KEY]).await;
    assert_eq!(MODEL_KEY, provider::KEY);
    let first = r#"{"choices":[{"index":0,"delta":{"reasoning_details":[{"data":"of the first"}],"tool_calls":[{"index":0,"id":"functions.add_task:0","type":"function","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}]},"finish_reason":"tool_calls"}]}"#;
    system
        .model
        .script(move |asked| match request::steps(asked).len() {
            0 => Turn::raw([format!("data: {first}\n\n")]),
            _ => Turn::status(401),
        });
    gemini.script(|asked| match request::steps(asked).len() {
        1 => {
            let signed = r#"{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"function-call-1","type":"function","extra_content":{"google":{"thought_signature":"signed-by-gemini-1"}},"function":{"name":"add_task","arguments":"{\"title\":\"B\"}"}}]},"finish_reason":"tool_calls"}]}"#;
            Turn::raw([format!("data: {signed}\n\n")])
        }
        _ => Turn::text("Done."),
    });
    let answer = system.say("ada", "add A and B").await;
    assert_eq!(answer.assert_ok()["response"], "Done.");
    assert_eq!(system.titles("ada").await, ["A", "B"]);
    let own = "gemini-3.5-flash-lite";
    assert_eq!(
        models_of_steps(&system, &answer.body["run_id"]).await,
        ["scripted", own, own]
    );
    let requests = gemini.requests();
    assert_eq!(requests.len(), 2, "nothing was refused");
    for asked in &requests {
        assert!(!asked.to_string().contains("of the first"), "{asked}");
        assert!(
            !asked.to_string().contains("functions.add_task:0"),
            "{asked}"
        );
    }
    assert_eq!(
        requests[1]["messages"][4]["tool_calls"][0]["id"],
        "function-call-1"
    );
    // The first one is back: what Gemini has signed is not for it.
    system.model.script(|_| Turn::text("Back."));
    let conversation = &answer.body["conversation_id"];
    let next = system.say_in("ada", conversation, "and now?").await;
    assert_eq!(next.assert_ok()["response"], "Back.");
    let asked = system.model.requests().pop().expect("a request");
    assert!(!asked.to_string().contains("signed-by-gemini"), "{asked}");
    assert!(asked.to_string().contains("of the first"), "{asked}");
}
