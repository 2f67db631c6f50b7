//! The messages of a conversation in the form of Chat Completions, valid for the strictest provider.
//!
//! What a model once sent comes back with every later request. Providers refuse a request as a whole for a name that no tool
//! can have, for arguments that are no JSON object, or for an id in a form that is not theirs; so what is echoed is made
//! valid here, while the record keeps what really came.

use std::{borrow::Cow, collections::HashMap};

use errand_store::lifecycle::RequestedCall;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{order, tokens::tokens};

/// Characters of a tool's name (OpenAI: `^[a-zA-Z0-9_-]{1,64}$`).
const MAX_NAME: usize = 64;
/// Characters of a call's id (OpenAI).
const MAX_ID: usize = 40;

/// Tokens of what stands around a message or a call: its role, its id.
const FRAME: usize = 8;

/// A message of the conversation.
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
        /// Fields that are the provider's own, for the model that sent them.
        #[serde(flatten)]
        extra: Map<String, Value>,
        /// That model, if there are such fields here or in the calls, or ids of its own.
        #[serde(skip)]
        by: Option<String>,
    },
    /// What a call returned. Tool output travels in this role only: as data.
    Tool {
        /// The call's id.
        tool_call_id: String,
        /// The result as JSON.
        content: String,
    },
}

impl Message {
    /// Text of the model alone.
    pub(super) fn said(content: impl Into<String>) -> Self {
        Self::Assistant {
            content: Some(content.into()),
            tool_calls: Vec::new(),
            extra: Map::new(),
            by: None,
        }
    }

    /// An estimate of its tokens, with a few for its frame.
    pub(super) fn tokens(&self) -> usize {
        let tokens = match self {
            Self::System { content } | Self::User { content } | Self::Tool { content, .. } => {
                tokens(content)
            }
            Self::Assistant {
                content,
                tool_calls,
                extra,
                ..
            } => {
                let calls = tool_calls.iter().map(MessageCall::tokens).sum::<usize>();
                content.as_deref().map_or(0, tokens) + calls + size(extra)
            }
        };
        tokens + FRAME
    }
}

/// Tokens of what is the provider's own, which is nearly always Base64.
fn size(extra: &Map<String, Value>) -> usize {
    if extra.is_empty() {
        return 0;
    }
    serde_json::to_string(extra).map_or(0, |text| text.len() / 2)
}

/// A call inside an assistant message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageCall {
    id: String,
    r#type: &'static str,
    function: CalledFunction,
    #[serde(flatten)]
    extra: Map<String, Value>,
    /// An id that every other model takes.
    #[serde(skip)]
    made_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CalledFunction {
    name: String,
    arguments: String,
}

impl MessageCall {
    /// The call as it is echoed. `key` is its place in the record: the run, the step and the ordinal. `is_own`: the model that
    /// is asked now has made it.
    pub(super) fn new(call: &RequestedCall, key: (Uuid, i32, usize), is_own: bool) -> Self {
        let is_id = (1..=MAX_ID).contains(&call.id.len())
            && call.id.bytes().all(|byte| byte.is_ascii_graphic());
        let made_id = made_id(key);
        Self {
            id: if is_own && is_id {
                call.id.clone()
            } else {
                made_id.clone()
            },
            made_id,
            r#type: "function",
            function: CalledFunction {
                name: valid_name(&call.name),
                arguments: match call.object() {
                    Some(_) if !call.is_unclear && !call.arguments.trim().is_empty() => {
                        call.arguments.clone()
                    }
                    _ => "{}".to_owned(),
                },
            },
            extra: if is_own {
                order::fields(call.extra.clone())
            } else {
                Map::new()
            },
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn tokens(&self) -> usize {
        let function = &self.function;
        tokens(&function.name) + tokens(&function.arguments) + size(&self.extra) + FRAME
    }
}

/// The messages as this model is to read them: without the fields and ids that another one has put into the answers of this turn.
///
/// `unsigned` are fields for the first call of each answer of the turn, behind the last message of the user, that another model gave.
pub(crate) fn messages_for<'a>(
    messages: &'a [Message],
    model: &str,
    unsigned: Option<&Map<String, Value>>,
) -> Cow<'a, [Message]> {
    let is_foreign = |message: &Message| match message {
        Message::Assistant { by, tool_calls, .. } => match by {
            Some(by) => by != model,
            None => unsigned.is_some() && !tool_calls.is_empty(),
        },
        _ => false,
    };
    if !messages.iter().any(is_foreign) {
        return Cow::Borrowed(messages);
    }
    let is_user = |message: &Message| matches!(message, Message::User { .. });
    let turn = messages.iter().rposition(is_user).unwrap_or(0);
    let mut ids = HashMap::new();
    let readable = messages.iter().enumerate().map(|(place, message)| {
        let mut message = message.clone();
        match &mut message {
            Message::Assistant {
                tool_calls,
                extra,
                by,
                ..
            } if by.as_deref() != Some(model) => {
                extra.clear();
                for call in &mut *tool_calls {
                    call.extra.clear();
                    ids.insert(
                        std::mem::replace(&mut call.id, call.made_id.clone()),
                        call.made_id.clone(),
                    );
                }
                if let (Some(unsigned), Some(call)) = (unsigned, tool_calls.first_mut())
                    && place > turn
                {
                    call.extra = unsigned.clone();
                }
                *by = None;
            }
            // Ids are those of the answer in front: another one may have the same.
            Message::Assistant { .. } => ids.clear(),
            Message::Tool { tool_call_id, .. } => {
                if let Some(made) = ids.get(tool_call_id) {
                    tool_call_id.clone_from(made);
                }
            }
            _ => {}
        }
        message
    });
    Cow::Owned(readable.collect())
}

/// The name with an underscore for each character that no tool's name can have.
fn valid_name(name: &str) -> String {
    let valid = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        _ => '_',
    };
    let name: String = name.chars().take(MAX_NAME).map(valid).collect();
    match name.is_empty() {
        true => "unnamed".to_owned(),
        false => name,
    }
}

/// An id that every provider takes: nine letters and digits, as Mistral wants them. The same call has the same one in every
/// request, so that a prompt cache knows it again.
fn made_id((run_id, step, ordinal): (Uuid, i32, usize)) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let (high, low) = run_id.as_u64_pair();
    // The low half of a UUIDv7 is random; steps and ordinals are small, and kept apart by their own multiples.
    let place = u64::try_from(step).unwrap_or(0) * 1_024 + ordinal as u64;
    let mut number = (high ^ low).wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (0..9)
        .map(|_| {
            let digit = DIGITS[(number % 36) as usize];
            number /= 36;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, arguments: &str) -> RequestedCall {
        RequestedCall {
            id: "functions.add_task:0".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            extra: Map::new(),
            is_unclear: false,
        }
    }

    #[test]
    fn names_and_arguments_are_made_valid() {
        let key = (Uuid::nil(), 1, 0);
        let echoed = |name: &str, arguments: &str| {
            let call = MessageCall::new(&asked(name, arguments), key, true);
            (call.function.name, call.function.arguments)
        };
        let long = "x".repeat(65);
        for (name, valid) in [
            ("multi_tool_use.parallel", "multi_tool_use_parallel"),
            ("", "unnamed"),
            ("aufgabe hinzufügen", "aufgabe_hinzuf_gen"),
            (long.as_str(), &long[..64]),
        ] {
            assert_eq!(echoed(name, "{}").0, valid);
        }
        for broken in [
            "",
            "null",
            "[1]",
            "\"text\"",
            "{\"a\":",
            r#"{"a":"\ud83d"}"#,
        ] {
            assert_eq!(echoed("x", broken).1, "{}", "{broken}");
        }
        assert_eq!(echoed("x", r#"{"a": 1}"#).1, r#"{"a": 1}"#);
    }

    #[test]
    fn ids_are_those_of_the_model_or_fit_every_other() {
        let id = |ordinal, is_own| {
            MessageCall::new(&asked("x", "{}"), (Uuid::nil(), 1, ordinal), is_own).id
        };
        assert_eq!(id(0, true), "functions.add_task:0");
        assert_eq!(id(0, false).len(), 9);
        assert_ne!(id(0, false), id(1, false));
        assert_eq!(id(1, false), id(1, false));
    }
}
