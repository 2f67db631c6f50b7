//! Providers as they refuse: the path, the key and the fields that each wants, and the errors that it has for what it does not take.
//!
//! Where a body or a status comes from is said beside it. Must not know what the product does; it is what the product has to satisfy.

use axum::http::{HeaderMap, Uri};
use serde_json::{Value, json};

use super::request;

/// The key that all of them want.
pub const KEY: &str = "sk-key-of-the-scripted-model";
/// The model, or the deployment, that all of them have.
pub const MODEL: &str = "stand-in-model";

/// Whose rules the server has, besides those of any strict provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Takes tools for GPT-6 only without reasoning.
    OpenAi,
    /// Wants its thought signatures back.
    Gemini,
    /// Anthropic's endpoint for Chat Completions.
    Anthropic,
    /// The deployment is the model of the body.
    Azure,
    /// The deployment is in the path.
    AzureDeployments,
    OpenRouter,
    Ollama,
    Vllm,
    LlamaCpp,
}

/// A request as it came.
pub(super) struct Asked<'a> {
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Value,
}

/// A status and a body.
type Refusal = (u16, Value);

impl Asked<'_> {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    fn has_bearer(&self) -> bool {
        self.header("authorization") == format!("Bearer {KEY}")
    }

    fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// The answers of the turn under way, behind the last message of the user, that made calls; with their places.
    fn steps(&self) -> impl Iterator<Item = (usize, &Value)> {
        let messages = request::messages(self.body);
        let turn = messages
            .iter()
            .rposition(|message| message["role"] == "user");
        let behind = messages.iter().enumerate().skip(turn.unwrap_or(0));
        behind.filter(|(_, message)| message["tool_calls"].is_array())
    }
}

/// OpenAI's form of an error, which most others have, too.
fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

impl Provider {
    /// What is behind the server's address in a base URL.
    pub fn base_path(self) -> &'static str {
        match self {
            Self::Gemini => "/v1beta/openai",
            Self::Azure => "/openai/v1",
            Self::AzureDeployments => "",
            Self::OpenRouter => "/api/v1",
            _ => "/v1",
        }
    }

    /// Why it does not take a request, if it does not.
    pub(super) fn refusal(self, asked: &Asked<'_>) -> Option<Refusal> {
        match self {
            Self::OpenAi => openai(asked),
            Self::Gemini => gemini(asked),
            Self::Anthropic => anthropic(asked),
            Self::Azure | Self::AzureDeployments => azure(asked, self == Self::Azure),
            Self::OpenRouter => openrouter(asked),
            Self::Ollama => ollama(asked),
            Self::Vllm => vllm(asked),
            Self::LlamaCpp => None,
        }
    }
}

/// <https://platform.openai.com/docs/guides/error-codes>
fn openai(asked: &Asked<'_>) -> Option<Refusal> {
    let invalid = "invalid_request_error";
    if !asked.has_bearer() {
        let body = error(
            "Incorrect API key provided: sk-key-*. Secret words.",
            invalid,
            None,
            Some("invalid_api_key"),
        );
        return Some((401, body));
    }
    let effort = asked.body.get("reasoning_effort");
    let has_tools = asked.body["tools"].is_array();
    if asked.model().starts_with("gpt-6") && has_tools && effort != Some(&json!("none")) {
        let message = "Function tools with reasoning are not supported in /v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'.";
        return Some((400, error(message, invalid, Some("reasoning_effort"), None)));
    }
    if asked.model().starts_with("gpt-4") && effort.is_some() {
        let message = "Unrecognized request argument supplied: reasoning_effort";
        return Some((400, error(message, invalid, None, None)));
    }
    None
}

/// The first call of each answer of the turn has to have the signature that came with it, or the value that stands for none:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
fn gemini(asked: &Asked<'_>) -> Option<Refusal> {
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
fn anthropic(asked: &Asked<'_>) -> Option<Refusal> {
    if !asked.has_bearer() {
        let body = error(
            "invalid x-api-key",
            "authentication_error",
            None,
            Some("authentication_error"),
        );
        return Some((401, body));
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
            let body = error(
                &message,
                "invalid_request_error",
                None,
                Some("invalid_request_error"),
            );
            return Some((400, body));
        }
    }
    None
}

/// <https://learn.microsoft.com/azure/ai-services/openai/reference>
fn azure(asked: &Asked<'_>, is_newer: bool) -> Option<Refusal> {
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

/// <https://openrouter.ai/docs/api/reference/errors-and-debugging>
fn openrouter(asked: &Asked<'_>) -> Option<Refusal> {
    let body = json!({"error": {"code": 401, "message": "No auth credentials found"}});
    (!asked.has_bearer()).then_some((401, body))
}

/// <https://github.com/ollama/ollama/issues/6027>
fn ollama(asked: &Asked<'_>) -> Option<Refusal> {
    let body = |message: String| error(&message, "api_error", None, None);
    match asked.model() {
        "without-tools" => Some((
            400,
            body("registry.ollama.ai/library/without-tools does not support tools".to_owned()),
        )),
        MODEL => None,
        other => Some((
            404,
            body(format!("model \"{other}\" not found, try pulling it first")),
        )),
    }
}

/// <https://docs.vllm.ai/en/latest/features/tool_calling.html>, <https://github.com/vllm-project/vllm/issues/4667>
fn vllm(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |status: u16, kind: &str, message: String| {
        Some((
            status,
            json!({"error": {"message": message, "type": kind, "param": null, "code": status}}),
        ))
    };
    match asked.model() {
        "without-parser" => refuse(
            400,
            "BadRequestError",
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set".to_owned(),
        ),
        MODEL => None,
        other => refuse(404, "NotFoundError", format!("The model `{other}` does not exist.")),
    }
}
