//! Providers as they are set up: at stand-ins that refuse as the real ones do, each preset takes a conversation with tools from end to end
//! without a request that is refused (but for what only asking tells), and whoever is set up otherwise is refused. Settings that do not fit name
//! themselves.

use clap::Parser;
use errand_devkit::model::{Dialect, Provider, ScriptedModel, Turn, provider, request};
use serde_json::{Value, json};

use crate::system::{MODEL_KEY, Options, TestSystem, file};

/// A provider, its preset, how it speaks, which model is asked for, and what is set besides.
struct Case {
    provider: Provider,
    preset: &'static str,
    dialect: Dialect,
    model: &'static str,
    more: &'static [&'static str],
    /// Requests that are refused until it is known what the model takes.
    refused: usize,
}

const OWN: &[&str] = &[];
/// Stands for a file of instructions that sets a temperature.
const COOL: &[&str] = &["a temperature"];

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { provider: Provider::OpenAi, preset: "openai", dialect: Dialect::OpenAi, model: "gpt-6-luna", more: OWN, refused: 0 },
    Case { provider: Provider::OpenAi, preset: "openai", dialect: Dialect::OpenAi, model: "gpt-6-luna", more: COOL, refused: 1 },
    Case { provider: Provider::OpenAi, preset: "openai", dialect: Dialect::OpenAi, model: "gpt-4.1-mini", more: COOL, refused: 0 },
    Case { provider: Provider::Gemini, preset: "gemini", dialect: Dialect::Gemini, model: "gemini-3.5-flash-lite", more: COOL, refused: 0 },
    Case { provider: Provider::Anthropic, preset: "anthropic", dialect: Dialect::OpenAi, model: "claude", more: COOL, refused: 0 },
    Case { provider: Provider::Azure, preset: "azure", dialect: Dialect::OpenAi, model: provider::MODEL, more: OWN, refused: 0 },
    Case { provider: Provider::AzureDeployments, preset: "azure-deployments", dialect: Dialect::OpenAi, model: provider::MODEL, more: OWN, refused: 0 },
    Case { provider: Provider::AzureDeployments, preset: "azure-deployments", dialect: Dialect::OpenAi, model: provider::MODEL, more: &["--openai-api-version", "2025-04-01-preview"], refused: 0 },
    Case { provider: Provider::OpenRouter, preset: "openrouter", dialect: Dialect::OpenRouter, model: "openai/gpt-6-luna", more: OWN, refused: 0 },
    Case { provider: Provider::OpenRouter, preset: "openrouter", dialect: Dialect::OpenRouter, model: "google/gemini-3.5-flash-lite", more: OWN, refused: 0 },
    Case { provider: Provider::Ollama, preset: "ollama", dialect: Dialect::Ollama, model: provider::MODEL, more: &["--openai-reasoning-effort", "max"], refused: 0 },
    Case { provider: Provider::Vllm, preset: "vllm", dialect: Dialect::Vllm, model: provider::MODEL, more: OWN, refused: 0 },
    Case { provider: Provider::LlamaCpp, preset: "llama.cpp", dialect: Dialect::OpenAi, model: "default", more: OWN, refused: 0 },
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

/// The same as OpenRouter has it: the signature is with the message, and comes in a chunk of its own.
fn signed_by_the_message() -> Turn {
    let chunks = ["A", "B"].iter().zip(0..).map(|(title, index)| {
        let call = json!({"index": index, "id": format!("function-call-{}", index + 1), "type": "function",
                          "function": {"name": "add_task", "arguments": json!({"title": title}).to_string()}});
        json!({"provider": "Google", "choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}}]})
    });
    let thought = json!({"choices": [{"index": 0, "delta": {"reasoning_details": [provider::openrouter_detail()]}, "finish_reason": "tool_calls"}]});
    let chunks = chunks.chain([thought]);
    Turn::raw(chunks.map(|chunk| format!("data: {chunk}\n\n")))
}

fn calls(case: &Case) -> Turn {
    match (case.provider, case.model.contains("gemini")) {
        (Provider::Gemini, _) => signed(),
        (Provider::OpenRouter, true) => signed_by_the_message(),
        _ => Turn::call("add_task", json!({"title": "A"}))
            .and_call("add_task", json!({"title": "B"})),
    }
}

/// A system whose worker asks a stand-in for this provider, by this preset.
async fn set_up(
    provider: Provider,
    preset: &'static str,
    model: &'static str,
    more: &[&'static str],
) -> TestSystem {
    let mut worker = vec!["--openai-provider", preset];
    match more {
        COOL => {
            let text = "---\ntemperature: 0.2\n---\n{{ built_in }}";
            worker.extend(["--agent-instructions-file", file("cool.md", text)]);
        }
        more => worker.extend(more),
    }
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        worker,
        ..Options::default()
    })
    .await;
    system.model_url = Some(system.model.pose_as(provider));
    system.model_name = model;
    system.start_worker().await;
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_takes_a_conversation_with_tools_without_a_refusal() {
    for case in CASES {
        let name = format!("{} {} {:?}", case.preset, case.model, case.more);
        let system = set_up(case.provider, case.preset, case.model, case.more).await;
        system.model.speak(case.dialect);
        system
            .model
            .script(move |asked| match request::steps(asked).len() {
                0 => calls(case),
                _ => Turn::text("Done."),
            });
        let first = system.say("ada", "add A and B").await;
        assert_eq!(first.assert_ok()["response"], "Done.", "{name}");
        let conversation = first.body["conversation_id"].clone();
        let second = system.say_in("ada", &conversation, "and again").await;
        assert_eq!(second.assert_ok()["response"], "Done.", "{name}");
        assert_eq!(system.titles("ada").await, ["A", "B", "A", "B"], "{name}");
        let asked = system.model.request_count();
        assert_eq!(asked, 4 + case.refused, "{name}: requests");
        let cool = json!(0.2);
        let is_cool = system.model.requests()[asked - 1].get("temperature") == Some(&cool);
        assert_eq!(is_cool, case.more == COOL && case.refused == 0, "{name}");
        system.stop().await;
    }
}

/// What makes a preset: whoever is asked as by an ordinary provider refuses, and the turn fails at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_preset_is_refused_where_another_is_needed() {
    #[rustfmt::skip]
    let cases: [(Provider, &str, &[&str]); 4] = [
        (Provider::Azure, provider::MODEL, OWN),
        (Provider::AzureDeployments, provider::MODEL, OWN),
        (Provider::Ollama, provider::MODEL, &["--openai-reasoning-effort", "minimal"]),
        (Provider::OpenAi, "gpt-6-luna", &["--openai-reasoning-effort", "high"]),
    ];
    for (provider, model, more) in cases {
        let system = set_up(provider, "compatible", model, more).await;
        let answer = system.say("ada", "hello").await;
        answer.assert_error(502, "model_error");
        assert_eq!(system.model.request_count(), 1, "{provider:?} {more:?}");
        system.stop().await;
    }
}

/// The second request of a turn, as a client makes it that knows nothing of a provider.
fn ordinary(model: &str, more: &Value) -> Value {
    let function = json!({"name": "add_task", "arguments": "{\"title\": \"A\"}"});
    let mut body = json!({
        "model": model,
        "messages": [
            {"role": "system", "content": "Keep lists."},
            {"role": "user", "content": "add A"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
        ],
        "tools": [{"type": "function", "function": {"name": "add_task", "parameters": {"type": "object"}}}],
        "stream": true,
    });
    for (path, value) in more.as_object().into_iter().flatten() {
        match path.strip_prefix("/messages/2/") {
            Some(field) => body["messages"][2][field] = value.clone(),
            None => body[path] = value.clone(),
        }
    }
    body
}

/// The stand-ins bite: each refuses what its provider refuses, with its words, and takes the same request without that.
#[tokio::test(flavor = "multi_thread")]
async fn stand_ins_refuse_as_their_providers_do() {
    let bearer = format!("Bearer {}", provider::KEY);
    let bearer = ("authorization", bearer.as_str());
    let own = ("api-key", provider::KEY);
    let none = json!({});
    let signed = json!([{"id": "call_1", "type": "function", "function": {"name": "add_task", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "signed-by-gemini-1"}}}]);
    let known = json!({"reasoning_effort": "none"});
    #[rustfmt::skip]
    let cases = [
        // Provider, path, header, model, what is set besides; status and words of the refusal, none if it is taken.
        (Provider::OpenAi, "", ("x", ""), "gpt-6-luna", known.clone(), Some((401, "invalid_api_key"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", none.clone(), Some((400, "set reasoning_effort to 'none'"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", json!({"reasoning_effort": "none", "temperature": 0.2}), Some((400, "unsupported_value"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", json!({"reasoning_effort": "none", "max_tokens": 9}), Some((400, "max_completion_tokens"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", json!({"reasoning_effort": "none", "/messages/2/reasoning_details": []}), Some((400, "messages[2].reasoning_details"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", json!({"reasoning_effort": "none", "/messages/2/tool_calls": signed}), Some((400, "messages[2].tool_calls[0].extra_content"))),
        (Provider::OpenAi, "", bearer, "gpt-6-luna", known.clone(), None),
        (Provider::OpenAi, "", bearer, "gpt-4.1-mini", known, Some((400, "Unrecognized request argument"))),
        (Provider::Gemini, "", ("x", ""), "gemini-3.5-flash-lite", none.clone(), Some((400, "API key not valid"))),
        (Provider::Gemini, "", bearer, "gemini-3.5-flash-lite", none.clone(), Some((400, "missing a thought_signature"))),
        (Provider::Gemini, "", bearer, "gemini-3.5-flash-lite", json!({"/messages/2/tool_calls": signed}), None),
        (Provider::Anthropic, "", ("x-api-key", provider::KEY), "claude", none.clone(), Some((401, "authentication_error"))),
        (Provider::Anthropic, "", bearer, "claude", json!({"/messages/2/content": ""}), Some((400, "must be non-empty"))),
        (Provider::Anthropic, "", bearer, "claude", json!({"n": 2}), Some((400, "only 1"))),
        (Provider::Anthropic, "", bearer, "claude", json!({"seed": 1, "logprobs": true, "temperature": 1.5}), None),
        (Provider::Azure, "", bearer, provider::MODEL, none.clone(), Some((401, "Access denied"))),
        (Provider::Azure, "", own, "another", none.clone(), Some((404, "DeploymentNotFound"))),
        (Provider::Azure, "", own, provider::MODEL, none.clone(), None),
        (Provider::AzureDeployments, "/openai/deployments/stand-in-model", own, provider::MODEL, none.clone(), Some((404, "Resource not found"))),
        (Provider::AzureDeployments, "?api-version=2024-10-21", own, provider::MODEL, none.clone(), Some((404, "Resource not found"))),
        (Provider::AzureDeployments, "/openai/deployments/stand-in-model?api-version=2024-10-21", bearer, provider::MODEL, none.clone(), Some((401, "Access denied"))),
        (Provider::AzureDeployments, "/openai/deployments/stand-in-model?api-version=2024-10-21", own, provider::MODEL, none.clone(), None),
        (Provider::OpenRouter, "", ("x", ""), "openai/gpt-6-luna", none.clone(), Some((401, "No auth credentials"))),
        (Provider::OpenRouter, "", bearer, "without-credits", none.clone(), Some((200, "Insufficient credits"))),
        (Provider::OpenRouter, "", bearer, "google/gemini-3.5-flash-lite", none.clone(), Some((400, "reasoning details to be preserved"))),
        (Provider::OpenRouter, "", bearer, "google/gemini-3.5-flash-lite", json!({"/messages/2/reasoning_details": [provider::openrouter_detail()]}), None),
        (Provider::Ollama, "", ("x", ""), "another", none.clone(), Some((404, "not found, try pulling it"))),
        (Provider::Ollama, "", ("x", ""), "without-tools", none.clone(), Some((400, "does not support tools"))),
        (Provider::Ollama, "", ("x", ""), provider::MODEL, json!({"reasoning_effort": "minimal"}), Some((400, "invalid reasoning value: 'minimal'"))),
        (Provider::Ollama, "", ("x", ""), provider::MODEL, json!({"reasoning_effort": "max"}), None),
        (Provider::Vllm, "", ("x", ""), "another", none.clone(), Some((404, "does not exist"))),
        (Provider::Vllm, "", ("x", ""), "without-parser", none.clone(), Some((400, "--enable-auto-tool-choice"))),
        (Provider::Vllm, "", ("x", ""), provider::MODEL, none.clone(), None),
        (Provider::LlamaCpp, "", ("x", ""), "default", none.clone(), Some((401, "Invalid API Key"))),
        (Provider::LlamaCpp, "", bearer, "without-jinja", none.clone(), Some((500, "requires --jinja"))),
        (Provider::LlamaCpp, "", bearer, "default", none, None),
    ];
    let model = ScriptedModel::start().await.expect("a model");
    model.script(|_| Turn::text("Taken."));
    let http = reqwest::Client::new();
    for (provider, path, (name, key), asked, more, refusal) in cases {
        let base = format!("{}{path}", model.pose_as(provider));
        let url = match base.split_once('?') {
            Some((base, query)) => format!("{base}/chat/completions?{query}"),
            None => format!("{base}/chat/completions"),
        };
        let request = http
            .post(url)
            .header(name, key)
            .json(&ordinary(asked, &more));
        let answer = request.send().await.expect("an answer");
        let (status, body) = (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        );
        let (expected, words) = refusal.unwrap_or((200, "Taken"));
        assert_eq!(status, expected, "{provider:?} {asked} {more}: {body}");
        assert!(body.contains(words), "{provider:?} {asked} {more}: {body}");
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
        (Provider::LlamaCpp, "llama.cpp", "without-jinja"),
        (Provider::OpenRouter, "openrouter", "without-credits"),
    ];
    for (provider, preset, model) in cases {
        let system = set_up(provider, preset, model, OWN).await;
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
