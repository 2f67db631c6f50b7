//! What a request to the model holds besides messages: what some models need, and what some providers refuse.

use clap::Parser;
use errand_devkit::model::{ScriptedModel, Turn};
use serde_json::{Value, json};

use crate::system::{Options, TestSystem};

/// A system whose worker asks for this model.
async fn world_of(model: &'static str, worker: Vec<&'static str>) -> TestSystem {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        worker,
        ..Options::default()
    })
    .await;
    system.model_name = model;
    system.start_worker().await;
    system
}

fn refusal(parameter: &str) -> Turn {
    let error = json!({"message": format!("Unsupported: {parameter}. Secret words of Ada."), "type": "invalid_request_error", "param": parameter, "code": null});
    Turn::status(400).body(json!({"error": error}))
}

#[tokio::test(flavor = "multi_thread")]
async fn models_get_the_effort_they_need_or_what_is_configured() {
    let cases: [(&str, Vec<&'static str>, Value); 5] = [
        ("gpt-6-luna", vec![], json!("none")),
        ("gpt-5.6-terra", vec![], json!("none")),
        ("gpt-5.4-mini", vec![], Value::Null),
        ("gemini-3.5-flash-lite", vec![], Value::Null),
        (
            "any",
            vec!["--openai-reasoning-effort", "low"],
            json!("low"),
        ),
    ];
    for (model, worker, effort) in cases {
        let system = world_of(model, worker).await;
        system.model.push(Turn::text("Yes."));
        system.say("ada", "hello").await.assert_ok();
        let asked = system.model.requests().pop().unwrap();
        assert_eq!(asked["reasoning_effort"], effort, "{model}");
        assert_eq!(asked.get("reasoning_effort").is_some(), !effort.is_null());
    }
}

/// A provider that refuses `stream_options` is asked without, at once and from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_parameter_is_left_out_from_then_on() {
    let system = world_of("scripted", vec![]).await;
    system
        .model
        .script(|request| match request.get("stream_options") {
            Some(_) => refusal("stream_options"),
            None => Turn::text("Without.").without_usage(),
        });
    for n in 1..=2 {
        let answer = system.say("ada", "hello").await;
        assert_eq!(answer.assert_ok()["response"], "Without.");
        assert_eq!(system.model.request_count(), 1 + n);
        // Nobody counted, so it is estimated.
        let usage = &answer.body["usage"];
        assert_eq!(usage["estimated"], true, "{usage}");
        assert!(usage["input_tokens"].as_i64() > Some(500), "{usage}");
    }
    let system = world_of("an-alias", vec![]).await;
    system
        .model
        .script(|request| match request["reasoning_effort"].as_str() {
            Some("none") => Turn::text("With none."),
            _ => refusal("reasoning_effort"),
        });
    assert_eq!(
        system.say("ada", "hello").await.assert_ok()["response"],
        "With none."
    );
}

/// What a provider refuses for good is named in the log, without a word of its text.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_logged_by_the_parameters_name() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system
        .model
        .script(|_| refusal("tools[0].function.parameters"));
    let mut worker = system.worker_process(&[]).await;
    system
        .say("ada", "hello")
        .await
        .assert_error(502, "model_error");
    let line = worker.until_says("tools[0].function.parameters").await;
    assert!(line.contains("400"), "{line}");
    let heard = worker.heard().join("\n");
    assert!(!heard.contains("Secret words"), "{heard}");
}

/// Neither the key nor what people wrote goes to where a provider says.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_refusal() {
    for status in [301, 302, 303, 307, 308] {
        let system = world_of("scripted", vec![]).await;
        let elsewhere = ScriptedModel::start().await.expect("another model");
        elsewhere.script(|_| Turn::text("From elsewhere."));
        let there = format!("{}/chat/completions", elsewhere.base_url());
        system
            .model
            .script(move |_| Turn::status(status).header("location", &there));
        let answer = system.say("ada", "hello").await;
        answer.assert_error(502, "model_error");
        assert_eq!(elsewhere.request_count(), 0, "{status}");
        // Once: another try would be answered the same.
        assert_eq!(system.model.request_count(), 1, "{status}");
    }
}

/// The defaults that the documents name. When one is about to end, both change together.
#[test]
fn the_default_models_are_those_that_the_documents_name() {
    let defaults = [
        ("--openai-api-key", "gpt-6-luna"),
        ("--gemini-api-key", "gemini-3.5-flash-lite"),
    ];
    for (key, model) in defaults {
        let arguments = [
            "errand-worker",
            "--database-url",
            "postgres://x/y",
            key,
            "k",
        ];
        let config = errand_worker::Config::try_parse_from(arguments).expect("a configuration");
        assert_eq!(config.model.model(), model);
        for document in [
            include_str!("../../../docs/models.md"),
            include_str!("../../../.env.example"),
        ] {
            assert!(document.contains(model), "{model}");
        }
    }
}
