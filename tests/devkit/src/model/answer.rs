//! What a model says, before any wire format. Must not know chunks, dialects or faults.

use serde_json::Value;
use uuid::Uuid;

/// A complete answer: text, tool calls, both or neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub calls: Vec<Call>,
}

impl Answer {
    /// An answer of text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            calls: Vec::new(),
        }
    }

    /// An answer of tool calls alone.
    pub fn calls(calls: Vec<Call>) -> Self {
        Self {
            text: String::new(),
            calls,
        }
    }
}

/// One tool call. The arguments are raw text, because a model may write broken JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

impl Call {
    /// A well-formed call with a fresh id.
    pub fn new(name: &str, arguments: &Value) -> Self {
        Self::raw(name, arguments.to_string())
    }

    /// A call whose arguments are sent exactly as given.
    pub fn raw(name: &str, arguments: impl Into<String>) -> Self {
        let id = format!("call_{}", Uuid::now_v7().simple());
        Self {
            id,
            name: name.to_owned(),
            arguments: arguments.into(),
        }
    }
}

/// Token counts as reported to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    /// Of the prompt, what came from a cache.
    pub cached: u64,
    pub completion: u64,
    /// Of the completion, what nobody is shown.
    pub reasoning: u64,
}
