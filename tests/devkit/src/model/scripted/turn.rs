//! What one request gets: an answer, or something else, and what goes wrong on the way. Only the description;
//! `perform.rs` puts it on the wire.
//!
//! Faults are placed by events: `n` events have been sent when the fault happens. The first event of a streamed
//! answer opens it with the role (in the dialects that do so), then comes one per word, and several per tool call.
//! Comments and `[DONE]` do not count. A place past the end is the end, before `[DONE]`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::gate::Gate;
use crate::model::answer::{Answer, Call, Usage};

/// One scripted answer, built up by method calls.
#[derive(Debug, Clone)]
pub struct Turn {
    pub(super) body: Body,
    pub(super) headers: Vec<(String, String)>,
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) first_byte: Duration,
    pub(super) chunk: Duration,
    pub(super) finish: Finish,
    pub(super) usage: Reported,
    pub(super) done: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Answer(Answer),
    /// The answer's text, then one text or arguments fragment for ever.
    Endless(Answer, String),
    Status(u16, Option<String>),
    Raw(Vec<Bytes>),
}

#[derive(Debug, Clone)]
pub(super) enum Mark {
    Cut,
    Stall,
    Hold(Gate),
    Insert(Bytes),
    Error(u16, String),
}

#[derive(Debug, Clone)]
pub(super) enum Finish {
    Natural,
    Named(String),
    Missing,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Reported {
    Estimated,
    Exactly(Usage),
    Missing,
}

impl Turn {
    /// An answer of text.
    pub fn text(text: impl Into<String>) -> Self {
        Answer::text(text).into()
    }

    /// An answer of one tool call.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::empty().and_call(name, arguments)
    }

    /// An answer of one tool call whose arguments are sent as they are, broken or not.
    pub fn call_raw(name: &str, arguments: impl Into<String>) -> Self {
        Self::empty().and_call_raw(name, arguments)
    }

    /// An answer with neither text nor calls.
    pub fn empty() -> Self {
        Answer::default().into()
    }

    /// A stream of this word without an end; only faults placed before the first word take effect.
    pub fn endless(word: impl Into<String>) -> Self {
        Self::of(Body::Endless(Answer::default(), word.into()))
    }

    /// A tool call whose arguments never end.
    pub fn endless_call(name: &str, fragment: impl Into<String>) -> Self {
        Self::of(Body::Endless(
            Answer::calls(vec![Call::raw(name, "")]),
            fragment.into(),
        ))
    }

    /// An HTTP error, by default with the dialect's own error body.
    pub fn status(status: u16) -> Self {
        Self::of(Body::Status(status, None))
    }

    /// An event stream of exactly these bytes; each piece is one write and one event for the placing of faults.
    /// Newlines are not added, so a piece may end in the middle of a line or of a letter.
    pub fn raw<P: Into<Bytes>>(pieces: impl IntoIterator<Item = P>) -> Self {
        Self::of(Body::Raw(pieces.into_iter().map(Into::into).collect()))
    }

    /// Puts text before the calls.
    pub fn and_text(mut self, text: &str) -> Self {
        self.answer("and_text").text.push_str(text);
        self
    }

    /// Adds a tool call.
    pub fn and_call(mut self, name: &str, arguments: Value) -> Self {
        self.answer("and_call")
            .calls
            .push(Call::new(name, &arguments));
        self
    }

    /// Adds a tool call whose arguments are sent as they are.
    pub fn and_call_raw(mut self, name: &str, arguments: impl Into<String>) -> Self {
        self.answer("and_call_raw")
            .calls
            .push(Call::raw(name, arguments));
        self
    }

    /// Sets the id of the call added last.
    pub fn call_id(mut self, id: &str) -> Self {
        self.answer("call_id")
            .calls
            .last_mut()
            .expect("call_id comes after a call")
            .id = id.to_owned();
        self
    }

    /// Sets the body of an HTTP error. Text that is not JSON is sent as it is.
    pub fn body(mut self, body: impl ToString) -> Self {
        let Body::Status(_, own) = &mut self.body else {
            panic!("body() is for Turn::status")
        };
        *own = Some(body.to_string());
        self
    }

    /// Adds or replaces a response header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Waits before the status line.
    pub fn first_byte_after(mut self, pause: Duration) -> Self {
        self.first_byte = pause;
        self
    }

    /// Waits before every event but the first.
    pub fn chunk_every(mut self, pause: Duration) -> Self {
        self.chunk = pause;
        self
    }

    /// Cuts the connection after `n` events. 0 cuts it where the body should begin.
    pub fn cut_after(self, n: usize) -> Self {
        self.mark(n, Mark::Cut)
    }

    /// Says nothing more after `n` events and keeps the connection open. 0 sends no status line either.
    pub fn stall_after(self, n: usize) -> Self {
        self.mark(n, Mark::Stall)
    }

    /// Holds the answer at a gate after `n` events. 0 is before the status line.
    pub fn gate_after(self, n: usize, gate: &Gate) -> Self {
        self.mark(n, Mark::Hold(gate.clone()))
    }

    /// Sends an event of broken JSON after `n` events, then goes on.
    pub fn malformed_after(self, n: usize) -> Self {
        self.raw_after(
            n,
            "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"cont\n\n",
        )
    }

    /// Sends these bytes after `n` events, then goes on. Newlines are not added.
    pub fn raw_after(self, n: usize, bytes: impl Into<Bytes>) -> Self {
        self.mark(n, Mark::Insert(bytes.into()))
    }

    /// Ends the stream after `n` events with the dialect's error chunk.
    pub fn error_after(self, n: usize, status: u16, message: impl Into<String>) -> Self {
        self.mark(n, Mark::Error(status, message.into()))
    }

    /// Sends this finish reason instead of the natural one.
    pub fn finish(mut self, reason: &str) -> Self {
        self.finish = Finish::Named(reason.to_owned());
        self
    }

    /// Sends no finish reason.
    pub fn without_finish(mut self) -> Self {
        self.finish = Finish::Missing;
        self
    }

    /// Ends the stream without `[DONE]`.
    pub fn without_done(mut self) -> Self {
        self.done = false;
        self
    }

    /// Reports these token counts, where the dialect reports any.
    pub fn usage(mut self, prompt: u64, completion: u64) -> Self {
        self.usage = Reported::Exactly(Usage {
            prompt,
            cached: 0,
            completion,
            reasoning: 0,
        });
        self
    }

    /// Says of the token counts that [`Self::usage`] has set how many came from a cache.
    pub fn cached(mut self, tokens: u64) -> Self {
        if let Reported::Exactly(usage) = &mut self.usage {
            usage.cached = tokens;
        }
        self
    }

    /// Says of the token counts that [`Self::usage`] has set how many were reasoning.
    pub fn reasoning(mut self, tokens: u64) -> Self {
        if let Reported::Exactly(usage) = &mut self.usage {
            usage.reasoning = tokens;
        }
        self
    }

    /// Reports no token counts, asked or not.
    pub fn without_usage(mut self) -> Self {
        self.usage = Reported::Missing;
        self
    }

    fn of(body: Body) -> Self {
        Self {
            body,
            headers: Vec::new(),
            marks: Vec::new(),
            first_byte: Duration::ZERO,
            chunk: Duration::ZERO,
            finish: Finish::Natural,
            usage: Reported::Estimated,
            done: true,
        }
    }

    fn mark(mut self, n: usize, mark: Mark) -> Self {
        self.marks.push((n, mark));
        self
    }

    /// A turn that cannot take what the test adds is a mistake in the test, so it stops the test.
    fn answer(&mut self, method: &str) -> &mut Answer {
        match &mut self.body {
            Body::Answer(answer) => answer,
            other => panic!("{method}() is for an answer, not for {other:?}"),
        }
    }
}

impl From<Answer> for Turn {
    fn from(answer: Answer) -> Self {
        Self::of(Body::Answer(answer))
    }
}
