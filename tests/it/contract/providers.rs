//! Providers as they are set up: at stand-ins that refuse as the real ones do, each preset takes a conversation with tools from end to end
//! without a single request that is refused; and settings that do not fit name themselves.

use clap::Parser;
use errand_devkit::model::{Dialect, Provider, Turn, provider, request};
use serde_json::{Value, json};

use crate::system::{MODEL_KEY, Options, TestSystem};

/// A provider, its preset, how it speaks, which model is asked for, and what is set besides.
struct Case {
    provider: Provider,
    preset: &'static str,
    dialect: Dialect,
    model: &'static str,
    more: &'static [&'static str],
}

const OWN: &[&str] = &[];

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { provider: Provider::OpenAi, preset: "openai", dialect: Dialect::OpenAi, model: "gpt-6-luna", more: OWN },
    Case { provider: Provider::OpenAi, preset: "openai", dialect: Dialect::OpenAi, model: "gpt-4.1-mini", more: OWN },
    Case { provider: Provider::Gemini, preset: "gemini", dialect: Dialect::Gemini, model: "gemini-3.5-flash-lite", more: OWN },
    Case { provider: Provider::Anthropic, preset: "anthropic", dialect: Dialect::OpenAi, model: "claude", more: OWN },
    Case { provider: Provider::Azure, preset: "azure", dialect: Dialect::OpenAi, model: provider::MODEL, more: OWN },
    Case { provider: Provider::AzureDeployments, preset: "azure-deployments", dialect: Dialect::OpenAi, model: provider::MODEL, more: OWN },
    Case { provider: Provider::AzureDeployments, preset: "azure-deployments", dialect: Dialect::OpenAi, model: provider::MODEL, more: &["--openai-api-version", "2025-04-01-preview"] },
    Case { provider: Provider::OpenRouter, preset: "openrouter", dialect: Dialect::OpenRouter, model: "openai/gpt-6-luna", more: OWN },
    Case { provider: Provider::Ollama, preset: "ollama", dialect: Dialect::Ollama, model: provider::MODEL, more: &["--openai-reasoning-effort", "low"] },
    Case { provider: Provider::Vllm, preset: "vllm", dialect: Dialect::Vllm, model: provider::MODEL, more: OWN },
    Case { provider: Provider::LlamaCpp, preset: "llama.cpp", dialect: Dialect::OpenAi, model: "default", more: OWN },
];

/// Two calls, of which only the first is signed, as Gemini 3 does.
fn signed() -> Turn {
    let call = |id: &str, title: &str, extra: Value| {
        let arguments = json!({"title": title}).to_string();
        let mut call = json!({"index": 0, "id": id, "type": "function", "function": {"name": "add_task", "arguments": arguments}});
        if !extra.is_null() {
            call["extra_content"] = extra;
        }
        call
    };
    let signature = json!({"google": {"thought_signature": "signed-by-gemini-1"}});
    let calls = [
        call("function-call-1", "A", signature),
        call("function-call-2", "B", Value::Null),
    ];
    let chunk = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"}]});
    Turn::raw([format!("data: {chunk}\n\ndata: [DONE]\n\n")])
}

fn calls(provider: Provider) -> Turn {
    match provider {
        Provider::Gemini => signed(),
        _ => Turn::call("add_task", json!({"title": "A"}))
            .and_call("add_task", json!({"title": "B"})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_takes_a_conversation_with_tools_without_a_refusal() {
    for case in CASES {
        let name = format!("{} {}", case.preset, case.model);
        let mut worker = vec!["--openai-provider", case.preset];
        worker.extend(case.more);
        let mut system = TestSystem::with(Options {
            workers: Some(0),
            worker,
            ..Options::default()
        })
        .await;
        system.model.speak(case.dialect);
        system.model_url = Some(system.model.pose_as(case.provider));
        system.model_name = case.model;
        system.start_worker().await;
        let provider = case.provider;
        system
            .model
            .script(move |asked| match request::steps(asked).len() {
                0 => calls(provider),
                _ => Turn::text("Done."),
            });
        let first = system.say("ada", "add A and B").await;
        assert_eq!(first.assert_ok()["response"], "Done.", "{name}");
        let conversation = first.body["conversation_id"].clone();
        let second = system.say_in("ada", &conversation, "and again").await;
        assert_eq!(second.assert_ok()["response"], "Done.", "{name}");
        assert_eq!(system.titles("ada").await, ["A", "B", "A", "B"], "{name}");
        assert_eq!(
            system.model.request_count(),
            4,
            "{name}: something was refused"
        );
        system.stop().await;
    }
}

/// A wrong key, or a model that there is not, ends the turn at once, and no word of the provider's comes into the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_wrongly_fails_at_once() {
    let cases = [
        (
            Provider::AzureDeployments,
            "azure-deployments",
            "no-such-deployment",
        ),
        (Provider::AzureDeployments, "azure", provider::MODEL),
        (Provider::Azure, "azure", "no-such-deployment"),
        (Provider::OpenAi, "azure", "gpt-6-luna"),
        (Provider::Ollama, "ollama", "no-such-model"),
        (Provider::Ollama, "ollama", "without-tools"),
        (Provider::Vllm, "vllm", "without-parser"),
    ];
    for (provider, preset, model) in cases {
        let mut system = TestSystem::with(Options {
            workers: Some(0),
            worker: vec!["--openai-provider", preset],
            ..Options::default()
        })
        .await;
        system.model_url = Some(system.model.pose_as(provider));
        system.model_name = model;
        system.start_worker().await;
        let answer = system.say("ada", "hello").await;
        answer.assert_error(502, "model_error");
        assert_eq!(system.model.request_count(), 1, "{preset} {model}");
        assert!(
            !answer.body.to_string().contains("Secret"),
            "{}",
            answer.body
        );
        system.stop().await;
    }
}

fn checked(arguments: &[&str]) -> Result<errand_worker::Config, String> {
    let own = ["errand-worker", "--database-url", "postgres://x/y"];
    let arguments = own.iter().chain(arguments);
    let config =
        errand_worker::Config::try_parse_from(arguments).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn settings_of_providers_that_do_not_fit_name_themselves() {
    let key = ["--openai-api-key", MODEL_KEY];
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--openai-provider", "nobody"], "OPENAI_PROVIDER"),
        (&["--openai-provider", "azure"], "OPENAI_BASE_URL"),
        (&["--openai-provider", "openrouter"], "OPENAI_MODEL"),
        (&["--openai-base-url", "http://localhost:11434/v1"], "OPENAI_MODEL"),
        (&["--openai-reasoning-effort", "immense"], "OPENAI_REASONING_EFFORT"),
        (&["--openai-provider", "gemini", "--openai-reasoning-effort", "xhigh"], "OPENAI_REASONING_EFFORT"),
        (&["--openai-fallback-models", "a,b,c,d,e,f,g,h,i"], "OPENAI_FALLBACK_MODELS"),
        (&["--openai-fallback-models", "m@https://"], "OPENAI_FALLBACK_MODELS"),
        (&["--openai-fallback-models", "m@azure", "--openai-fallback-api-keys", "k"], "OPENAI_FALLBACK_MODELS"),
        (&["--openai-fallback-models", "m@gemini"], "OPENAI_FALLBACK_API_KEYS"),
        (&["--openai-fallback-models", "m", "--openai-fallback-api-keys", "k"], "OPENAI_FALLBACK_API_KEYS"),
    ];
    for (arguments, variable) in cases {
        let arguments: Vec<&str> = key.into_iter().chain(arguments.iter().copied()).collect();
        let said = checked(&arguments).expect_err(variable);
        assert!(said.contains(variable), "{arguments:?}: {said}");
        assert!(!said.contains(MODEL_KEY), "{said}");
    }
}

/// What is set; and base URL, model and key that follow.
type Filled<'a> = (&'a [&'a str], (&'a str, &'a str, &'a str));

#[test]
fn presets_fill_in_what_is_not_set() {
    #[rustfmt::skip]
    let cases: &[Filled<'_>] = &[
        (&["--openai-api-key", "k"], ("https://api.openai.com/v1", "gpt-6-luna", "k")),
        (&["--gemini-api-key", "g"], ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-3.5-flash-lite", "g")),
        (&["--gemini-api-key", "g", "--openai-api-key", "k"], ("https://api.openai.com/v1", "gpt-6-luna", "k")),
        (&["--openai-provider", "gemini", "--gemini-api-key", "g"], ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-3.5-flash-lite", "g")),
        (&["--openai-provider", "ollama", "--openai-model", "m"], ("http://localhost:11434/v1", "m", "")),
        (&["--openai-provider", "anthropic", "--openai-model", "m", "--openai-api-key", "k"], ("https://api.anthropic.com/v1", "m", "k")),
        (&["--openai-base-url", "https://x.openai.azure.com/openai/deployments/d", "--openai-api-key", "k"], ("https://x.openai.azure.com/openai/deployments/d", "d", "k")),
        (&["--openai-base-url", "http://gateway/v1/", "--gemini-api-key", "g"], ("http://gateway/v1", "gpt-6-luna", "")),
        (&["--openai-api-key", "k", "--openai-fallback-models", "a, b@gemini ,@cf/c@https://u:p@h/v1", "--openai-fallback-api-keys", "g,"], ("https://api.openai.com/v1", "gpt-6-luna", "k")),
    ];
    for (arguments, expected) in cases {
        let config = checked(arguments).unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
        let model = &config.model;
        assert_eq!(
            (model.base_url(), model.model(), model.api_key()),
            *expected,
            "{arguments:?}"
        );
    }
}
