//! One chunk of a streamed answer, or a whole answer that came at once: what it adds.

use errand_store::without_nul;
use serde_json::{Map, Value, value::RawValue};

use super::{
    failure::{self, CallFailure},
    lenient::{Object, text},
    usage,
};
use crate::agent::{AnswerBuilder, CallPiece};

/// Fields of a message that are everybody's.
const MESSAGE: [&str; 5] = ["role", "content", "refusal", "tool_calls", "function_call"];
/// Fields of a call that are everybody's.
const CALL: [&str; 4] = ["index", "id", "type", "function"];
/// Fields of a call's function that are everybody's.
const FUNCTION: [&str; 2] = ["name", "arguments"];

/// Reads the chunks of one answer.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The choice that counts: only one is asked for, and the first that speaks is it.
    choice: Option<i64>,
}

impl Reader {
    /// Adds what a chunk carries to the answer.
    ///
    /// # Errors
    /// It is no object, reports an error, or is too large.
    pub(super) fn add(
        &mut self,
        chunk: &str,
        answer: &mut AnswerBuilder,
    ) -> Result<(), CallFailure> {
        let chunk =
            Object::parse(chunk).ok_or_else(|| CallFailure::passing("a malformed chunk"))?;
        // Some providers report an error inside a stream that began well.
        if let Some(error) = chunk.value("error") {
            return Err(failure::in_band(&error));
        }
        if let Some(tokens) = chunk.object("usage").as_ref().and_then(usage::read) {
            answer.usage(tokens);
        }
        for choice in chunk.objects("choices") {
            let index = choice.number("index").unwrap_or(0);
            if *self.choice.get_or_insert(index) != index {
                continue;
            }
            // OpenRouter puts what went wrong behind it into the choice.
            if let Some(error) = choice.value("error") {
                return Err(failure::in_band(&error));
            }
            // A whole answer has a message where a chunk has a delta.
            if let Some(message) = choice.object("delta").or_else(|| choice.object("message")) {
                add_message(&message, answer)?;
            }
            if let Some(reason) = choice
                .string("finish_reason")
                .filter(|reason| !reason.is_empty())
            {
                if reason == "error" {
                    return Err(CallFailure::passing(
                        "the provider ended the answer with an error",
                    ));
                }
                answer.finish(&reason);
            }
        }
        Ok(())
    }
}

fn add_message(message: &Object<'_>, answer: &mut AnswerBuilder) -> Result<(), CallFailure> {
    // A refusal is what the model has to say.
    for field in ["content", "refusal"] {
        if let Some(raw) = message.get(field) {
            answer.text(&said(raw, message, field))?;
        }
    }
    for call in message.objects("tool_calls") {
        answer.call(piece(&call))?;
    }
    for (name, raw) in message.fields().filter(|(name, _)| !MESSAGE.contains(name)) {
        if let Some(value) = own(raw) {
            answer.extra(name.to_owned(), value, raw.get().len());
        }
    }
    Ok(())
}

/// A text, or a list of parts with a text each.
fn said(raw: &RawValue, message: &Object<'_>, field: &str) -> Vec<u8> {
    text(raw).unwrap_or_else(|| {
        let parts = message.objects(field);
        let texts = parts
            .iter()
            .filter_map(|part| part.text("text").or_else(|| part.text("refusal")));
        texts.flatten().collect()
    })
}

fn piece(call: &Object<'_>) -> CallPiece {
    let function = call.object("function").unwrap_or_default();
    let mut extra = own_fields(call, &CALL);
    let of_function = own_fields(&function, &FUNCTION);
    if !of_function.is_empty() {
        extra.insert("function".to_owned(), Value::Object(of_function));
    }
    CallPiece {
        index: call.number("index"),
        id: call.string("id"),
        name: function.string("name"),
        // Some servers send the arguments as an object instead of its text.
        arguments: function.get("arguments").map_or_else(Vec::new, |raw| {
            text(raw).unwrap_or_else(|| raw.get().as_bytes().to_vec())
        }),
        extra,
    }
}

fn own_fields(object: &Object<'_>, known: &[&str]) -> Map<String, Value> {
    let fields = object.fields().filter(|(name, _)| !known.contains(name));
    fields
        .filter_map(|(name, raw)| Some((name.to_owned(), own(raw)?)))
        .collect()
}

/// A value that is the provider's own; none if it cannot be kept as it is.
fn own(raw: &RawValue) -> Option<Value> {
    serde_json::from_str(raw.get()).ok().map(without_nul)
}
