//! Errors as providers write them, and what they mean: one line each. Trouble that may pass is tried again, a filter ends the turn with a
//! mark, a conversation that is too long is known as one, and everything else fails the turn at the first request.

use errand_devkit::model::{Dialect, Turn};
use serde_json::{Value, json};

use crate::system::TestSystem;

/// What becomes of the turn.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Another try is answered.
    TriedAgain,
    /// The reply says that a filter has refused.
    Filtered,
    /// The turn fails with a message that has these words, after one request.
    Failed(&'static str),
}

use End::{Failed, Filtered, TriedAgain};

const REFUSED: End = Failed("refused");
const TOO_LONG: End = Failed("too long");
const MARK: &str = "*(Cut off here by the provider's content filter.)*";

fn status(status: u16, body: Value) -> Turn {
    Turn::status(status).body(body)
}

/// An error as the body of a success.
fn document(body: Value) -> Turn {
    Turn::raw([body.to_string()])
}

/// Chunks of a stream that began well.
fn chunks(chunks: &[Value]) -> Turn {
    Turn::raw(chunks.iter().map(|chunk| format!("data: {chunk}\n\n")))
}

/// Bodies from the providers' documents, and from what people were answered and showed.
#[rustfmt::skip]
fn cases() -> Vec<(&'static str, Turn, End)> {
    let error = |error: Value| json!({"error": error});
    let words = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Words that nobody keeps"}}]});
    vec![
        // https://platform.openai.com/docs/guides/error-codes
        ("OpenAI: no such model", status(404, error(json!({"message": "The model `x` does not exist or you do not have access to it.", "type": "invalid_request_error", "param": null, "code": "model_not_found"}))), REFUSED),
        ("OpenAI: no money", status(429, error(json!({"message": "You exceeded your current quota", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}))), REFUSED),
        ("OpenAI: too fast", status(429, error(json!({"message": "Rate limit reached", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}))), TriedAgain),
        // https://ai.google.dev/gemini-api/docs/troubleshooting
        ("Gemini: a wrong key", status(400, json!([error(json!({"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}))])), REFUSED),
        ("Gemini: too fast", status(429, json!([error(json!({"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}]}))])), TriedAgain),
        ("Gemini: overloaded", status(503, json!([error(json!({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}))])), TriedAgain),
        // https://docs.anthropic.com/en/api/errors
        ("Anthropic: overloaded", status(529, error(json!({"message": "Overloaded", "type": "overloaded_error", "param": null, "code": "overloaded_error"}))), TriedAgain),
        ("Anthropic: too long", status(400, error(json!({"message": "prompt is too long: 208310 tokens > 200000 maximum", "type": "invalid_request_error", "param": null, "code": "invalid_request_error"}))), TOO_LONG),
        // https://github.com/stanford-crfm/helm/pull/3327
        ("Azure: a filter", status(400, error(json!({"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "type": null, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}))), Filtered),
        ("Azure: a wrong key", status(401, error(json!({"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}))), REFUSED),
        // https://openrouter.ai/docs/api/reference/errors-and-debugging
        ("OpenRouter: no credits, in a success", document(error(json!({"code": 402, "message": "Insufficient credits"}))), REFUSED),
        ("OpenRouter: a provider is down, in a success", document(error(json!({"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "x", "raw": "gone"}}))), TriedAgain),
        ("OpenRouter: in the choice", chunks(&[words.clone(), json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "upstream"}}]})]), TriedAgain),
        ("OpenRouter: nothing but the reason", chunks(&[words.clone(), json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]})]), TriedAgain),
        ("OpenRouter: in the middle", chunks(&[words, json!({"error": {"code": 429, "message": "slow down"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]})]), TriedAgain),
        ("OpenRouter: moderation", status(403, error(json!({"code": 403, "message": "Input was flagged", "metadata": {"reasons": ["violence"], "flagged_input": "…", "provider_name": "x", "model_slug": "y"}}))), Filtered),
        // https://github.com/ollama/ollama/issues/6027
        ("Ollama: no tools", status(400, error(json!({"message": "stablelm2:latest does not support tools", "type": "api_error", "param": null, "code": null}))), REFUSED),
        ("Ollama: nothing but words", status(500, json!({"error": "llama runner process has terminated"})), TriedAgain),
        // https://github.com/vllm-project/vllm/issues/4667
        ("vLLM: too long, as it was", status(400, json!({"object": "error", "message": "This model's maximum context length is 10000 tokens. However, you requested 10515 tokens", "type": "BadRequestError", "param": null, "code": 400})), TOO_LONG),
        // https://github.com/ggml-org/llama.cpp/issues/19774
        ("llama.cpp: too long", status(400, error(json!({"code": 400, "message": "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 4390, "n_ctx": 4096}))), TOO_LONG),
        ("llama.cpp: too long for what is left", status(500, error(json!({"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}))), TOO_LONG),
        ("llama.cpp: loading", status(503, error(json!({"code": 503, "message": "Loading model", "type": "unavailable_error"}))), TriedAgain),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_known_as_what_they_mean() {
    let system = TestSystem::start().await;
    system.model.speak(Dialect::OpenAi);
    for (name, turn, end) in cases() {
        let before = system.model.request_count();
        system.model.push(turn);
        if matches!(end, TriedAgain) {
            system.model.push(Turn::text("Done."));
        }
        let answer = system.say(name, name).await;
        let asked = system.model.request_count() - before;
        match end {
            TriedAgain => {
                assert_eq!(answer.assert_ok()["response"], "Done.", "{name}");
                assert_eq!(asked, 2, "{name}");
            }
            Filtered => {
                assert_eq!(answer.assert_ok()["response"], MARK, "{name}");
                assert_eq!(
                    answer.body["usage"]["finish_reason"], "content_filter",
                    "{name}"
                );
                assert_eq!(asked, 1, "{name}");
            }
            Failed(words) => {
                answer.assert_error(502, "model_error");
                let message = answer.body["error"]["message"].as_str().unwrap();
                assert!(message.contains(words), "{name}: {message}");
                assert_eq!(asked, 1, "{name}");
            }
        }
        assert_eq!(system.model.unused_turns(), 0, "{name}");
    }
}
