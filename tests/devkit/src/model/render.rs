//! Turns an answer into the JSON of the wire: the chunks of a stream, or one completion.
//! Must not know time or faults.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Call, Usage};
use super::quirks::{Habits, Index};

/// Characters per fragment of arguments: small enough that a name and a value rarely share one.
const FRAGMENT: usize = 8;

/// What all chunks of one answer have in common.
#[derive(Debug)]
pub(super) struct Envelope {
    id: String,
    created: u64,
    model: Value,
    /// The request asked for a usage chunk.
    pub(super) usage_asked: bool,
    pub(super) streamed: bool,
    extras: bool,
}

impl Envelope {
    pub(super) fn for_request(request: &Value, habits: &Habits) -> Self {
        Self {
            id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs()),
            model: request["model"].clone(),
            usage_asked: request["stream_options"]["include_usage"] == true,
            streamed: request["stream"] == true,
            extras: habits.extras,
        }
    }

    fn wrap(&self, object: &str, choices: Value) -> Value {
        let mut body = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": null,
            "choices": choices,
        });
        if self.extras {
            body["provider"] = json!("Stand-in");
        }
        body
    }

    /// A chunk with one delta and no finish reason.
    pub(super) fn delta(&self, delta: Value) -> Value {
        let mut choice =
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
        if self.extras {
            choice["native_finish_reason"] = Value::Null;
            choice["delta"]["reasoning"] = Value::Null;
        }
        let mut chunk = self.wrap("chat.completion.chunk", json!([choice]));
        if self.usage_asked {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

/// The chunks of a streamed answer, without `[DONE]`. `finish` is `None` when no finish reason is to be sent.
pub(super) fn chunks(
    habits: &Habits,
    envelope: &Envelope,
    answer: &Answer,
    finish: Option<&str>,
    usage: Option<Usage>,
) -> Vec<Value> {
    let mut chunks: Vec<Value> = deltas(habits, answer)
        .into_iter()
        .map(|d| envelope.delta(d))
        .collect();
    if let Some(reason) = finish {
        if !habits.finish_on_last || chunks.is_empty() {
            let delta = if habits.role_everywhere {
                json!({"role": "assistant", "content": ""})
            } else {
                json!({})
            };
            chunks.push(envelope.delta(delta));
        }
        if let Some(last) = chunks.last_mut() {
            last["choices"][0]["finish_reason"] = json!(reason);
        }
    }
    let wanted = envelope.usage_asked || habits.usage_unasked;
    if let Some(usage) = usage.filter(|_| wanted) {
        if habits.finish_on_last
            && let Some(last) = chunks.last_mut()
        {
            last["usage"] = usage_body(usage);
        } else {
            let mut chunk = envelope.wrap("chat.completion.chunk", json!([]));
            chunk["usage"] = usage_body(usage);
            chunks.push(chunk);
        }
    }
    chunks
}

/// The finish reason that belongs to an answer.
pub(super) fn finish_reason(habits: &Habits, answer: &Answer) -> &'static str {
    if answer.calls.is_empty() {
        habits.finish_text
    } else {
        habits.finish_calls
    }
}

/// The answer as one `chat.completion`.
pub(super) fn completion(
    envelope: &Envelope,
    answer: &Answer,
    finish: Option<&str>,
    usage: Option<Usage>,
) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text, "refusal": null});
    if !answer.calls.is_empty() {
        message["tool_calls"] = answer.calls.iter().map(whole_call).collect();
        if answer.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish});
    let mut body = envelope.wrap("chat.completion", json!([choice]));
    if let Some(usage) = usage {
        body["usage"] = usage_body(usage);
    }
    body
}

/// Words with the space that follows them: a rough likeness of tokens.
pub(super) fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

fn deltas(habits: &Habits, answer: &Answer) -> Vec<Value> {
    let mut deltas = Vec::new();
    if !habits.role_everywhere {
        let null = answer.text.is_empty() && !answer.calls.is_empty() && !habits.empty_content;
        let content = if null { Value::Null } else { json!("") };
        deltas.push(json!({"role": "assistant", "content": content, "refusal": null}));
    }
    deltas.extend(
        words(&answer.text)
            .into_iter()
            .map(|word| json!({"content": word})),
    );
    for (nth, call) in answer.calls.iter().enumerate() {
        deltas.extend(call_deltas(habits, nth, call));
    }
    if habits.role_everywhere {
        for delta in &mut deltas {
            delta["role"] = json!("assistant");
        }
    }
    deltas
}

fn call_deltas(habits: &Habits, nth: usize, call: &Call) -> Vec<Value> {
    let parts = if habits.whole_calls {
        vec![whole_call(call)]
    } else {
        fragments(habits, call)
    };
    let delta = |mut part: Value| {
        match habits.index {
            Index::Counting => part["index"] = json!(nth),
            Index::Zero => part["index"] = json!(0),
            Index::Absent => {}
        }
        let mut delta = Map::new();
        if habits.empty_content {
            delta.insert("content".into(), json!(""));
        }
        delta.insert("tool_calls".into(), json!([part]));
        Value::Object(delta)
    };
    parts.into_iter().map(delta).collect()
}

fn whole_call(call: &Call) -> Value {
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
}

fn fragments(habits: &Habits, call: &Call) -> Vec<Value> {
    let opening = json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}});
    let letters: Vec<char> = call.arguments.chars().collect();
    let later = letters.chunks(FRAGMENT).map(|piece| {
        let arguments: String = piece.iter().collect();
        if habits.null_names {
            json!({"id": null, "type": null, "function": {"name": null, "arguments": arguments}})
        } else {
            json!({"function": {"arguments": arguments}})
        }
    });
    std::iter::once(opening).chain(later).collect()
}

fn usage_body(usage: Usage) -> Value {
    let mut body = json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    });
    if usage.cached > 0 {
        body["prompt_tokens_details"] = json!({"cached_tokens": usage.cached});
    }
    if usage.reasoning > 0 {
        body["completion_tokens_details"] = json!({"reasoning_tokens": usage.reasoning});
    }
    body
}
