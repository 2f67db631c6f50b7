//! The habits of providers that call themselves compatible. A dialect is a row of choices that the renderer
//! follows; it never changes what the answer says.

use serde_json::{Value, json};

/// Whose habits the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// The reference: every other dialect is a difference from this one.
    #[default]
    OpenAi,
    /// Calls whole and without `index`, finish reason `stop` beside calls, errors wrapped in an array.
    Gemini,
    /// Calls whole and all at `index` 0, the role in every chunk, finish reason `stop` beside calls.
    Ollama,
    /// `content: ""` beside calls, a null `name` in later fragments, usage unasked, integer error codes.
    Vllm,
    /// Comment lines, unknown fields and finish reasons, errors inside a 200 stream.
    OpenRouter,
    /// As the reference, but the stream ends without `[DONE]`.
    NoDone,
}

impl Dialect {
    /// All dialects, for tests that run the same conversation against each.
    pub const ALL: [Self; 6] = [
        Self::OpenAi,
        Self::Gemini,
        Self::Ollama,
        Self::Vllm,
        Self::OpenRouter,
        Self::NoDone,
    ];
}

/// How tool call deltas carry `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    Counting,
    Absent,
    Zero,
}

/// One row of choices; the fields are read by `render.rs`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) index: Index,
    /// A call comes in one chunk instead of name first and then fragments.
    pub(super) whole_calls: bool,
    /// The role is in every delta and there is no opening chunk.
    pub(super) role_everywhere: bool,
    /// `content: ""` instead of null or nothing beside tool calls.
    pub(super) empty_content: bool,
    /// `id`, `type` and `name` are null in later fragments instead of missing.
    pub(super) null_names: bool,
    pub(super) finish_text: &'static str,
    pub(super) finish_calls: &'static str,
    /// The finish reason and the usage ride on the last delta.
    pub(super) finish_on_last: bool,
    pub(super) usage_unasked: bool,
    /// A comment line sent before the first event and between later ones.
    pub(super) comment: Option<&'static str>,
    /// Fields that no specification knows.
    pub(super) extras: bool,
    pub(super) done: bool,
}

const REFERENCE: Habits = Habits {
    index: Index::Counting,
    whole_calls: false,
    role_everywhere: false,
    empty_content: false,
    null_names: false,
    finish_text: "stop",
    finish_calls: "tool_calls",
    finish_on_last: false,
    usage_unasked: false,
    comment: None,
    extras: false,
    done: true,
};

impl Dialect {
    pub(super) fn habits(self) -> Habits {
        match self {
            Self::OpenAi => REFERENCE,
            Self::Gemini => Habits {
                index: Index::Absent,
                whole_calls: true,
                role_everywhere: true,
                finish_calls: "stop",
                finish_on_last: true,
                ..REFERENCE
            },
            Self::Ollama => Habits {
                index: Index::Zero,
                whole_calls: true,
                role_everywhere: true,
                empty_content: true,
                finish_calls: "stop",
                ..REFERENCE
            },
            Self::Vllm => Habits {
                empty_content: true,
                null_names: true,
                usage_unasked: true,
                ..REFERENCE
            },
            Self::OpenRouter => Habits {
                finish_text: "end_turn",
                usage_unasked: true,
                comment: Some(": OPENROUTER PROCESSING\n\n"),
                extras: true,
                ..REFERENCE
            },
            Self::NoDone => Habits {
                done: false,
                ..REFERENCE
            },
        }
    }

    /// The body of an HTTP error.
    pub(super) fn error_body(self, status: u16, message: &str) -> Value {
        match self {
            Self::Gemini => json!([self.error(status, message)]),
            _ => self.error(status, message),
        }
    }

    /// An error as a chunk of a stream that began with status 200.
    pub(super) fn error_chunk(self, status: u16, message: &str) -> Value {
        let mut chunk = self.error(status, message);
        if self == Self::OpenRouter {
            chunk["object"] = json!("chat.completion.chunk");
            chunk["choices"] =
                json!([{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]);
        }
        chunk
    }

    fn error(self, status: u16, message: &str) -> Value {
        let (kind, code, canonical) = names(status);
        match self {
            Self::Gemini => {
                json!({"error": {"code": status, "message": message, "status": canonical}})
            }
            Self::Ollama => {
                json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}})
            }
            Self::Vllm => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": status}})
            }
            Self::OpenRouter => {
                json!({"error": {"code": status, "message": message, "metadata": {"provider_name": "Stand-in"}}})
            }
            Self::OpenAi | Self::NoDone => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
        }
    }
}

/// The names that providers give a status: `type`, `code`, and the canonical name.
fn names(status: u16) -> (&'static str, Option<&'static str>, &'static str) {
    match status {
        401 => (
            "invalid_request_error",
            Some("invalid_api_key"),
            "UNAUTHENTICATED",
        ),
        403 => ("invalid_request_error", None, "PERMISSION_DENIED"),
        404 => (
            "invalid_request_error",
            Some("model_not_found"),
            "NOT_FOUND",
        ),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            "RESOURCE_EXHAUSTED",
        ),
        503 => ("server_error", None, "UNAVAILABLE"),
        500.. => ("server_error", None, "INTERNAL"),
        _ => ("invalid_request_error", None, "INVALID_ARGUMENT"),
    }
}
