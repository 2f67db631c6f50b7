//! An answer put together from streamed pieces, whatever the provider's habits.

use errand_store::read::usage::Tokens;
use serde_json::{Map, Value};

use super::{
    Answer,
    calls::{CallPiece, Calls},
    pieces::{Pieces, without_nul},
};

/// Bytes of text in one answer; a model that goes on is cut off.
const MAX_TEXT: usize = 256 * 1024;
/// Bytes of the provider's own fields that are kept of one answer.
const MAX_EXTRA: usize = 256 * 1024;
/// Characters of a finish reason that are kept.
const MAX_REASON: usize = 128;

/// The answer is larger than any honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has no end")]
pub(crate) struct AnswerTooLarge;

/// Puts an answer together.
#[derive(Debug, Default)]
pub(crate) struct AnswerBuilder {
    text: Pieces,
    calls: Calls,
    extra: Map<String, Value>,
    extra_size: usize,
    finish_reason: Option<String>,
    reported: Option<Tokens>,
    /// Bytes that came, of whatever kind.
    received: usize,
}

impl AnswerBuilder {
    /// More text, as WTF-8.
    pub(crate) fn text(&mut self, delta: &[u8]) -> Result<(), AnswerTooLarge> {
        if self.text.as_str().len() + delta.len() > MAX_TEXT {
            return Err(AnswerTooLarge);
        }
        self.received += delta.len();
        self.text.push(delta);
        Ok(())
    }

    /// Bytes of text so far.
    pub(crate) fn text_len(&self) -> usize {
        self.text.as_str().len()
    }

    /// The text from this byte on, as [`Self::text_len`] gave it.
    pub(crate) fn text_from(&self, start: usize) -> &str {
        self.text.as_str().get(start..).unwrap_or_default()
    }

    /// More of a call.
    pub(crate) fn call(&mut self, piece: CallPiece) -> Result<(), AnswerTooLarge> {
        self.received += piece.arguments.len() + piece.name.as_ref().map_or(0, String::len);
        self.calls.push(piece)
    }

    /// More of a field of the message that is the provider's own. Text goes on, lists grow, and what is too much is left out.
    pub(crate) fn extra(&mut self, name: String, value: Value, size: usize) {
        self.received += size;
        self.extra_size += size;
        if self.extra_size > MAX_EXTRA {
            self.extra.clear();
            return;
        }
        match self.extra.get_mut(&name) {
            Some(before) => append(before, value),
            None => drop(self.extra.insert(name, value)),
        }
    }

    /// Why the model stopped.
    pub(crate) fn finish(&mut self, reason: &str) {
        self.finish_reason = Some(without_nul(reason).chars().take(MAX_REASON).collect());
    }

    /// True once the model has said why it stopped: an end without that is a cut.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// True once the model has said anything at all, be it what it reasons.
    pub(crate) fn has_begun(&self) -> bool {
        self.received > 0
    }

    /// Neither text nor calls.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.as_str().trim().is_empty() && self.calls.is_empty()
    }

    /// Tokens as the provider counted them, brought within bounds; its last word counts.
    pub(crate) fn usage(&mut self, reported: Tokens) {
        let (input, output) = (reported.input.max(0), reported.output.max(0));
        self.reported = Some(Tokens {
            input,
            cached: reported.cached.clamp(0, input),
            output,
            reasoning: reported.reasoning.clamp(0, output),
            is_estimate: false,
        });
    }

    /// What the answer took so far: what the provider reported, else an estimate. `asked` is what it was sent, in bytes.
    pub(crate) fn tokens(&self, asked: usize) -> Tokens {
        self.reported.unwrap_or_else(|| Tokens {
            input: estimate(asked),
            cached: 0,
            output: estimate(self.received),
            reasoning: 0,
            is_estimate: true,
        })
    }

    /// The whole answer. `asked` as for [`Self::tokens`].
    pub(crate) fn build(self, asked: usize) -> Answer {
        Answer {
            tokens: self.tokens(asked),
            text: self.text.into_string(),
            calls: self.calls.build(),
            finish_reason: self.finish_reason,
            extra: self.extra,
            model: None,
        }
    }
}

/// Tokens in so many bytes: about one for four.
pub(super) fn estimate(bytes: usize) -> i64 {
    i64::try_from(bytes.div_ceil(4)).unwrap_or(i64::MAX)
}

fn append(before: &mut Value, more: Value) {
    match (before, more) {
        (Value::String(before), Value::String(more)) => before.push_str(&more),
        (Value::Array(before), Value::Array(more)) => before.extend(more),
        (Value::Object(before), Value::Object(more)) => {
            for (name, value) in more {
                match before.get_mut(&name) {
                    Some(before) => append(before, value),
                    None => drop(before.insert(name, value)),
                }
            }
        }
        (before, more) => *before = more,
    }
}
