//! The model as the agent sees it: what it is asked, what it answers, how it fails.

use errand_shared::store::{history::RecordedStep, steps::AskedCall};
use serde::Serialize;
use serde_json::Value;

/// A model that answers a conversation.
pub trait Model: Send + Sync {
    /// Asks for the next answer, and tells of its text as it comes. Passing trouble has been retried within bounds
    /// when this returns.
    fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Told<'_>) + Sync),
    ) -> impl Future<Output = Result<Answer, ModelError>> + Send;
}

/// What the model is saying, while it says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// More text.
    Text(&'a str),
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
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON Schema of the arguments, without the user.
    pub parameters: Value,
}

/// A message of the conversation, in the form of Chat Completions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// How to behave.
    System {
        /// The text.
        content: String,
    },
    /// What the user said.
    User {
        /// The text.
        content: String,
    },
    /// What the model said and asked for.
    Assistant {
        /// The text; absent if it only made calls.
        content: Option<String>,
        /// The calls it asked for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<MessageCall>,
    },
    /// What a call returned. Tool output travels in this role only: as data.
    Tool {
        /// The call's id.
        tool_call_id: String,
        /// The result as JSON.
        content: String,
    },
}

/// A call inside an assistant message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageCall {
    id: String,
    r#type: &'static str,
    function: CalledFunction,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CalledFunction {
    name: String,
    arguments: String,
}

impl MessageCall {
    /// Bytes of name and arguments.
    pub(super) fn size(&self) -> usize {
        self.function.name.len() + self.function.arguments.len()
    }
}

impl From<&AskedCall> for MessageCall {
    fn from(call: &AskedCall) -> Self {
        // Several providers refuse a conversation whose arguments are not JSON, even when the model wrote them.
        let arguments = match serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments) {
            Ok(_) => call.arguments.clone(),
            Err(_) => "{}".to_owned(),
        };
        Self {
            id: call.id.clone(),
            r#type: "function",
            function: CalledFunction {
                name: call.name.clone(),
                arguments,
            },
        }
    }
}

/// One whole answer of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text, possibly empty.
    pub text: String,
    /// The calls it asks for, possibly none.
    pub calls: Vec<AskedCall>,
    /// Why it stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}

impl From<&RecordedStep> for Answer {
    fn from(step: &RecordedStep) -> Self {
        Self {
            text: step.content.clone(),
            calls: step.calls.iter().map(|call| call.asked.clone()).collect(),
            finish_reason: None,
            input_tokens: 0,
            output_tokens: 0,
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
