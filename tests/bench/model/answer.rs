//! The bytes of an answer. Written by hand: a thousand of them a second are to cost little.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::gauge::now;

/// What words there are behind the first token.
const WORDS: [&str; 4] = ["plan ", "is ", "clear ", "today "];
const USAGE: &str = r#"{"prompt_tokens":400,"completion_tokens":20,"total_tokens":420}"#;

/// A tool call.
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) arguments: Value,
}

/// How an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a stream of events.
    Events,
    /// As one JSON body, at its end.
    Whole,
}

impl Form {
    pub(super) fn of(stream: bool) -> Self {
        if stream { Self::Events } else { Self::Whole }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Whole => "application/json",
        }
    }

    pub(super) fn call(self, call: &Call) -> String {
        let id = format!("call_{}", Uuid::now_v7().simple());
        let arguments = call.arguments.to_string();
        match self {
            Self::Events => {
                let header = json!({"tool_calls": [{"index": 0, "id": id, "type": "function",
                    "function": {"name": call.name, "arguments": ""}}]});
                let body =
                    json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]});
                let [header, body] = [header, body].map(|delta| chunk(&delta.to_string(), "null"));
                role() + &header + &body + &end("tool_calls")
            }
            Self::Whole => {
                let call = json!({"id": id, "type": "function",
                    "function": {"name": call.name, "arguments": arguments}});
                let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
                completion(&message, "tool_calls")
            }
        }
    }

    /// All tokens of a text.
    pub(super) fn text(self, tokens: impl Iterator<Item = String>) -> String {
        match self {
            Self::Events => {
                let mut events = role();
                for token in tokens {
                    events.push_str(&delta(&token));
                }
                events + &end("stop")
            }
            Self::Whole => {
                let text: String = tokens.collect();
                completion(&json!({"role": "assistant", "content": text}), "stop")
            }
        }
    }
}

/// When the request came, and when this was written.
pub(super) fn first_token(came: u64, written: u64) -> String {
    format!("{came}:{written} ")
}

/// A later token.
pub(super) fn token(nth: u32, stamped: bool) -> String {
    match stamped {
        true => format!("{} ", now()),
        false => WORDS[nth as usize % WORDS.len()].to_owned(),
    }
}

/// The chunk that opens a stream.
pub(super) fn role() -> String {
    chunk(r#"{"role":"assistant","content":""}"#, "null")
}

/// The chunk of a token, which needs no escaping.
pub(super) fn delta(token: &str) -> String {
    chunk(&format!(r#"{{"content":"{token}"}}"#), "null")
}

/// The chunks that end a stream.
pub(super) fn end(reason: &str) -> String {
    let last = chunk("{}", &format!("\"{reason}\""));
    format!(
        "{last}data: {{\"id\":\"chatcmpl-paced\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"paced\",\
         \"choices\":[],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n"
    )
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-paced\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"paced\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn completion(message: &Value, reason: &str) -> String {
    format!(
        "{{\"id\":\"chatcmpl-paced\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"paced\",\
         \"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":\"{reason}\"}}],\"usage\":{USAGE}}}"
    )
}
