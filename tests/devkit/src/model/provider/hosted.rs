//! Providers on the network: each wants a key, and has rules of its own behind it.

use serde_json::{Value, json};

use super::{Asked, KEY, MODEL, Refusal, openai_error};

/// Fields of a message that OpenAI knows.
const MESSAGE: [&str; 7] = [
    "role",
    "content",
    "name",
    "refusal",
    "tool_calls",
    "tool_call_id",
    "audio",
];

/// <https://platform.openai.com/docs/guides/error-codes>; what models that reason refuse:
/// <https://platform.openai.com/docs/guides/reasoning>. Whether they take a temperature while they do not reason differs from one to the next:
/// this one does not.
pub(super) fn openai(asked: &Asked<'_>) -> Option<Refusal> {
    let invalid = "invalid_request_error";
    if !asked.has_bearer() {
        let body = openai_error(
            "Incorrect API key provided: sk-key-*. Secret words.",
            invalid,
            None,
            Some("invalid_api_key"),
        );
        return Some((401, body));
    }
    let refuse = |message: &str, param: Option<&str>, code: Option<&str>| {
        Some((400, openai_error(message, invalid, param, code)))
    };
    if let Some(path) = unknown_field(asked) {
        let message = format!("Unknown parameter: '{path}'.");
        return refuse(&message, Some(&path), Some("unknown_parameter"));
    }
    if asked.model().starts_with("gpt-4") {
        return match asked.effort() {
            Some(_) => refuse(
                "Unrecognized request argument supplied: reasoning_effort",
                None,
                None,
            ),
            None => None,
        };
    }
    if asked.model().starts_with("gpt-6") && asked.has_tools() && asked.effort() != Some("none") {
        let message = "Function tools with reasoning are not supported in /v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'.";
        return refuse(message, Some("reasoning_effort"), None);
    }
    if asked.body.get("max_tokens").is_some() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return refuse(message, Some("max_tokens"), Some("unsupported_parameter"));
    }
    match asked.body.get("temperature").and_then(Value::as_f64) {
        Some(temperature) if temperature != 1.0 => {
            let message = format!(
                "Unsupported value: 'temperature' does not support {temperature} with this model. Only the default (1) value is supported."
            );
            refuse(&message, Some("temperature"), Some("unsupported_value"))
        }
        _ => None,
    }
}

/// The first field of a message that another provider may have put there.
fn unknown_field(asked: &Asked<'_>) -> Option<String> {
    let messages = super::request::messages(asked.body).iter().enumerate();
    messages
        .flat_map(|(place, message)| {
            let fields = message.as_object().into_iter().flatten();
            let own = fields
                .filter(|(name, _)| !MESSAGE.contains(&name.as_str()))
                .map(move |(name, _)| format!("messages[{place}].{name}"));
            let calls = message["tool_calls"].as_array().into_iter().flatten();
            let of_calls = calls.enumerate().filter_map(move |(at, call)| {
                let fields = call.as_object()?.keys();
                let unknown = fields
                    .into_iter()
                    .find(|name| !["id", "type", "function"].contains(&name.as_str()))?;
                Some(format!("messages[{place}].tool_calls[{at}].{unknown}"))
            });
            own.chain(of_calls)
        })
        .next()
}

/// The first call of each answer of the turn has to have the signature that came with it, or the value that stands for none:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
pub(super) fn gemini(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |message: String, status: u16, name: &str| {
        Some((
            status,
            json!([{"error": {"code": status, "message": message, "status": name}}]),
        ))
    };
    if !asked.has_bearer() {
        return refuse(
            "API key not valid. Please pass a valid API key.".to_owned(),
            400,
            "INVALID_ARGUMENT",
        );
    }
    for (place, step) in asked.steps() {
        let call = &step["tool_calls"][0];
        let signature = call.pointer("/extra_content/google/thought_signature");
        let name = &call["function"]["name"];
        match signature.and_then(Value::as_str) {
            Some(signature) if signature.starts_with("signed-by-gemini") => {}
            Some("skip_thought_signature_validator") => {}
            Some(_) => {
                return refuse(
                    "Invalid thought signature.".to_owned(),
                    400,
                    "INVALID_ARGUMENT",
                );
            }
            None => {
                let message = format!(
                    "Function call is missing a thought_signature in functionCall parts. Additional data, function call `default_api:{name}`, position {place}."
                );
                return refuse(message, 400, "INVALID_ARGUMENT");
            }
        }
    }
    None
}

/// <https://docs.anthropic.com/en/api/openai-sdk>, <https://docs.anthropic.com/en/api/errors>
pub(super) fn anthropic(asked: &Asked<'_>) -> Option<Refusal> {
    if !asked.has_bearer() {
        let body = openai_error(
            "invalid x-api-key",
            "authentication_error",
            None,
            Some("authentication_error"),
        );
        return Some((401, body));
    }
    let refuse = |message: &str| {
        let kind = "invalid_request_error";
        Some((400, openai_error(message, kind, None, Some(kind))))
    };
    if asked
        .body
        .get("n")
        .is_some_and(|choices| choices.as_u64() != Some(1))
    {
        return refuse("n: only 1 is supported");
    }
    // https://github.com/microsoft/autogen/issues/6083
    for (place, message) in super::request::messages(asked.body).iter().enumerate() {
        if message["content"] == "" {
            return refuse(&match message["tool_calls"].is_array() {
                true => "messages: text content blocks must be non-empty".to_owned(),
                false => format!(
                    "messages.{place}: all messages must have non-empty content except for the optional final assistant message"
                ),
            });
        }
    }
    for (place, step) in asked.steps() {
        let id = step["tool_calls"][0]["id"].as_str().unwrap_or_default();
        if !id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            let message = format!(
                "messages.{place}.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            );
            return refuse(&message);
        }
    }
    None
}

/// <https://learn.microsoft.com/azure/ai-services/openai/reference>
pub(super) fn azure(asked: &Asked<'_>, is_newer: bool) -> Option<Refusal> {
    let refuse = |status: u16, code: &str, message: &str| {
        Some((status, json!({"error": {"code": code, "message": message}})))
    };
    if asked.header("api-key") != KEY || !asked.header("authorization").is_empty() {
        return refuse(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint.",
        );
    }
    let deployment = match is_newer {
        true => asked.model(),
        false => {
            let query = asked.uri.query().unwrap_or_default();
            let has_version = query
                .split('&')
                .any(|pair| pair.starts_with("api-version=20"));
            let path = asked.uri.path().strip_prefix("/openai/deployments/");
            match path.and_then(|path| path.strip_suffix("/chat/completions")) {
                Some(deployment) if has_version => deployment,
                _ => return refuse(404, "404", "Resource not found"),
            }
        }
    };
    match deployment == MODEL {
        true => None,
        false => refuse(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist.",
        ),
    }
}

/// <https://openrouter.ai/docs/api/reference/errors-and-debugging>; what a model of another provider said has to come back as it was:
/// <https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>
pub(super) fn openrouter(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |status: u16, code: u16, message: &str, metadata: Value| {
        let error = json!({"code": code, "message": message, "metadata": metadata});
        Some((status, json!({"error": error})))
    };
    if !asked.has_bearer() {
        return refuse(401, 401, "No auth credentials found", Value::Null);
    }
    // What fails behind it comes as a success.
    if asked.model() == "without-credits" {
        return refuse(200, 402, "Insufficient credits", Value::Null);
    }
    let is_signed = |step: &Value| {
        let details = step["reasoning_details"].as_array();
        details.is_some_and(|details| details.iter().any(is_own_detail))
    };
    let is_gemini = asked.model().starts_with("google/gemini-3");
    if is_gemini && asked.steps().any(|(_, step)| !is_signed(step)) {
        let raw = "Gemini models require OpenRouter reasoning details to be preserved in each request. Upstream error: Function call is missing a thought_signature in functionCall parts.";
        let metadata = json!({"raw": raw, "provider_name": "Google AI Studio"});
        return refuse(400, 400, "Provider returned error", metadata);
    }
    None
}

/// The one that [`Provider::OpenRouter`](super::Provider::OpenRouter) has given, whole.
fn is_own_detail(detail: &Value) -> bool {
    *detail == openrouter_detail()
}

/// What OpenRouter tells of a thought of Gemini's, and wants back.
pub fn openrouter_detail() -> Value {
    json!({"type": "reasoning.encrypted", "data": "signed-by-gemini-1", "id": "function-call-1", "format": "google-gemini-v1", "index": 0})
}
