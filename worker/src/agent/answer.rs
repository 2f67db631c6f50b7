//! An answer put together from streamed pieces, whatever the provider's habits.
//!
//! Known habits: no `index` on tool-call deltas (Gemini), several calls under one index (Ollama), ids that are missing or
//! repeated, a null name in later fragments (vLLM), a finish reason nobody has heard of (OpenRouter).

use errand_shared::store::steps::AskedCall;

use super::Answer;

/// Bytes of text in one answer; a model that goes on is cut off.
const MAX_TEXT: usize = 256 * 1024;
/// Bytes of arguments in one call.
const MAX_ARGUMENTS: usize = 128 * 1024;
/// Calls in one answer.
const MAX_CALLS: usize = 512;
/// Bytes of a tool's name that are kept.
const MAX_NAME: usize = 128;

/// The answer is larger than any honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has no end")]
pub(crate) struct Endless;

/// A piece of a call, as one chunk of the stream carries it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallPiece {
    /// Which call of the answer, if the provider says.
    pub(crate) index: Option<usize>,
    /// The call's id, if this piece has it.
    pub(crate) id: Option<String>,
    /// The tool's name, if this piece has it.
    pub(crate) name: Option<String>,
    /// More of the arguments.
    pub(crate) arguments: Option<String>,
}

/// Puts an answer together.
#[derive(Debug, Default)]
pub(crate) struct AnswerBuilder {
    answer: Answer,
}

impl AnswerBuilder {
    /// More text.
    pub(crate) fn text(&mut self, delta: &str) -> Result<(), Endless> {
        push(&mut self.answer.text, delta, MAX_TEXT)
    }

    /// Bytes of text so far.
    pub(crate) fn text_len(&self) -> usize {
        self.answer.text.len()
    }

    /// The text from this byte on, as [`Self::text_len`] gave it.
    pub(crate) fn text_from(&self, start: usize) -> &str {
        self.answer.text.get(start..).unwrap_or_default()
    }

    /// More of a call.
    pub(crate) fn call(&mut self, piece: CallPiece) -> Result<(), Endless> {
        let slot = self.slot(&piece);
        let calls = &mut self.answer.calls;
        if slot == calls.len() {
            if calls.len() == MAX_CALLS {
                return Err(Endless);
            }
            calls.push(AskedCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
        }
        let call = &mut calls[slot];
        if let Some(id) = piece.id.filter(|id| !id.is_empty()) {
            call.id = without_nul(&id).chars().take(MAX_NAME).collect();
        }
        if let Some(name) = piece
            .name
            .filter(|name| call.name.is_empty() && !name.is_empty())
        {
            call.name = without_nul(&name).chars().take(MAX_NAME).collect();
        }
        match piece.arguments {
            Some(arguments) => push(&mut call.arguments, &arguments, MAX_ARGUMENTS),
            None => Ok(()),
        }
    }

    /// Which call a piece belongs to: the one of its index, unless it brings a new id there; without an index, a new
    /// call if it brings an id or a name, else the last one.
    fn slot(&self, piece: &CallPiece) -> usize {
        let calls = &self.answer.calls;
        let id = piece.id.as_deref().filter(|id| !id.is_empty());
        match piece.index {
            Some(index) if index < calls.len() => {
                let other =
                    id.is_some_and(|id| !calls[index].id.is_empty() && calls[index].id != id);
                if other {
                    calls
                        .iter()
                        .position(|call| Some(call.id.as_str()) == id)
                        .unwrap_or(calls.len())
                } else {
                    index
                }
            }
            None if id.is_none() && piece.name.is_none() && !calls.is_empty() => calls.len() - 1,
            _ => calls.len(),
        }
    }

    /// Why the model stopped.
    pub(crate) fn finish(&mut self, reason: &str) {
        self.answer.finish_reason = Some(without_nul(reason).chars().take(MAX_NAME).collect());
    }

    /// True once the model has said why it stopped: an end without that is a cut.
    pub(crate) fn is_finished(&self) -> bool {
        self.answer.finish_reason.is_some()
    }

    /// Tokens; the last word of the provider counts.
    pub(crate) fn usage(&mut self, input: i64, output: i64) {
        self.answer.input_tokens = input.max(0);
        self.answer.output_tokens = output.max(0);
    }

    /// The whole answer, its calls under ids that are there and differ.
    pub(crate) fn build(mut self) -> Answer {
        let mut seen = std::collections::HashSet::new();
        for (n, call) in self.answer.calls.iter_mut().enumerate() {
            if call.id.is_empty() || !seen.insert(call.id.clone()) {
                call.id = format!("call_{n}");
                while !seen.insert(call.id.clone()) {
                    call.id.push('x');
                }
            }
        }
        self.answer
    }
}

/// Postgres cannot store NUL in a text, and no honest answer has one.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

fn push(to: &mut String, delta: &str, max: usize) -> Result<(), Endless> {
    if to.len() + delta.len() > max {
        return Err(Endless);
    }
    if delta.contains('\0') {
        to.push_str(&without_nul(delta))
    } else {
        to.push_str(delta)
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(index: Option<usize>, id: &str, name: &str, arguments: &str) -> CallPiece {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        CallPiece {
            index,
            id: some(id),
            name: some(name),
            arguments: some(arguments),
        }
    }

    fn built(pieces: &[CallPiece]) -> Vec<(String, String, String)> {
        let mut builder = AnswerBuilder::default();
        for piece in pieces {
            builder.call(piece.clone()).expect("small");
        }
        let calls = builder.build().calls.into_iter();
        calls
            .map(|call| (call.id, call.name, call.arguments))
            .collect()
    }

    #[test]
    fn fragments_join_by_index() {
        let calls = built(&[
            piece(Some(0), "a", "add_task", ""),
            piece(Some(1), "b", "list_tasks", "{}"),
            piece(Some(0), "", "", "{\"t\""),
            piece(Some(0), "", "", ":1}"),
        ]);
        assert_eq!(
            calls[0],
            ("a".into(), "add_task".into(), "{\"t\":1}".into())
        );
        assert_eq!(calls[1].2, "{}");
    }

    #[test]
    fn one_index_with_two_ids_is_two_calls() {
        let calls = built(&[
            piece(Some(0), "a", "x", "{}"),
            piece(Some(0), "b", "y", "{}"),
        ]);
        assert_eq!(calls.len(), 2);
        let calls = built(&[piece(None, "", "x", "{}"), piece(None, "", "y", "{}")]);
        assert_eq!(calls.len(), 2);
        assert_ne!(calls[0].0, calls[1].0);
    }

    #[test]
    fn ids_are_made_and_differ() {
        let calls = built(&[
            piece(Some(0), "", "x", "{}"),
            piece(Some(1), "call_0", "y", "{}"),
            piece(Some(2), "call_0", "z", ""),
        ]);
        let ids: std::collections::HashSet<_> = calls.iter().map(|call| &call.0).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn an_endless_answer_is_cut() {
        let mut builder = AnswerBuilder::default();
        assert!((0..MAX_TEXT).any(|_| builder.text("too much").is_err()));
        assert!((0..=MAX_CALLS).any(|n| builder.call(piece(Some(n), "", "x", "")).is_err()));
    }
}
