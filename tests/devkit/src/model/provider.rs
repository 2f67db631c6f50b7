//! Providers as they refuse: the path, the key and the fields that each wants, and the errors that it has for what it does not take.
//!
//! Where a body or a status comes from is said beside it. Must not know what the product does; it is what the product has to satisfy.

mod hosted;
mod local;

use axum::http::{HeaderMap, Uri};
use serde_json::{Value, json};

use super::request;
pub use hosted::openrouter_detail;

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
    /// Wants what Gemini has thought back, and tells of errors in a success.
    OpenRouter,
    Ollama,
    Vllm,
    /// Started with a key.
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

    fn effort(&self) -> Option<&str> {
        self.body.get("reasoning_effort")?.as_str()
    }

    fn has_tools(&self) -> bool {
        self.body["tools"].is_array()
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
fn openai_error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
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
            Self::OpenAi => hosted::openai(asked),
            Self::Gemini => hosted::gemini(asked),
            Self::Anthropic => hosted::anthropic(asked),
            Self::Azure | Self::AzureDeployments => hosted::azure(asked, self == Self::Azure),
            Self::OpenRouter => hosted::openrouter(asked),
            Self::Ollama => local::ollama(asked),
            Self::Vllm => local::vllm(asked),
            Self::LlamaCpp => local::llama_cpp(asked),
        }
    }
}
