//! The model as the agent sees it: what it is asked, what it answers, how it fails.

use errand_store::{
    lifecycle::RequestedCall,
    read::{history::RecordedStep, usage::Tokens},
};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::Message;

/// A model that answers a conversation.
pub trait Model: Send + Sync {
    /// Its name, as the provider knows it.
    fn name(&self) -> &str;

    /// Asks for the next answer, and tells of its text as it comes. Passing trouble has been retried within bounds
    /// when this returns.
    fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> impl Future<Output = Result<Answer, ModelError>> + Send;
}

/// What the model is saying, while it says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// More text.
    Text(&'a str),
    /// What this answer has taken so far; the last word counts.
    Tokens(Tokens),
    /// What was told of this answer is void: the call failed in its middle and is made again.
    Restart,
}

/// One question to the model.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The conversation, the system prompt first.
    pub messages: &'a [Message],
    /// What it may call.
    pub tools: &'a [ToolDefinition],
    /// False: it must answer with text.
    pub may_call: bool,
    /// How much chance there is in its words, 0 to 2; none: as the provider has it.
    pub temperature: Option<f32>,
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, Serialize)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON Schema of the arguments, without the user, as it is sent: it is written into each request, and is all but a few bytes of the tools' 12 KB.
    pub parameters: Box<RawValue>,
    /// It changes nothing, so that several calls may be made at the same time. The model is not told.
    #[serde(skip)]
    pub is_read_only: bool,
}

/// One whole answer of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text, possibly empty.
    pub text: String,
    /// The calls it asks for, possibly none.
    pub calls: Vec<RequestedCall>,
    /// Why it stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// What it took.
    pub tokens: Tokens,
    /// Fields of the message that are the provider's own.
    pub extra: Map<String, Value>,
    /// The model that gave it, where several could have; else it is the one that was asked.
    pub model: Option<String>,
}

impl Answer {
    /// Why the model stopped before it was done, if it did: `length` or `content_filter`, whatever the provider calls it.
    pub fn cut_short(&self) -> Option<&'static str> {
        let reason = self.finish_reason.as_deref()?.to_ascii_lowercase();
        match reason.as_str() {
            "length" | "max_tokens" | "max_output_tokens" | "model_length" => Some("length"),
            "content_filter" | "safety" | "prohibited_content" | "blocklist" | "recitation" => {
                Some("content_filter")
            }
            _ => None,
        }
    }
}

impl From<&RecordedStep> for Answer {
    fn from(step: &RecordedStep) -> Self {
        Self {
            text: step.content.clone(),
            calls: step.calls.iter().map(|call| call.asked.clone()).collect(),
            extra: step.extra.clone(),
            model: step.model.clone(),
            ..Self::default()
        }
    }
}

/// The model gave no answer. The messages are for operators; users are told less.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// It may work later, and was retried as often as is sensible.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// It will not work: a wrong key, an unknown model, a refused request.
    #[error("the model refused: {0}")]
    Refused(String),
    /// The conversation does not fit into the model's context.
    #[error("the conversation is too long for the model")]
    ContextTooLong,
}
