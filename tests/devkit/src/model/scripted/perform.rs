//! Turns a description into the acts of a reply.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

use super::turn::{Body, Finish, Mark, Reported, Turn};
use crate::model::answer::{Answer, Usage};
use crate::model::quirks::{Dialect, Habits};
use crate::model::render::{self, Envelope};
use crate::model::wire::{Act, Reply};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// How many events lie between two of a dialect's comments.
const COMMENT_EVERY: usize = 8;

impl Turn {
    /// The reply to a request in a dialect.
    pub(in crate::model) fn perform(self, request: &Value, dialect: Dialect) -> Reply {
        let habits = dialect.habits();
        let scene = Scene {
            habits: &habits,
            dialect,
            envelope: Envelope::for_request(request, &habits),
        };
        let streamed = request["stream"] == true;
        let mut acts = VecDeque::new();
        if !self.first_byte.is_zero() {
            acts.push_back(Act::Wait(self.first_byte));
        }
        let (status, content_type) = match &self.body {
            Body::Status(status, own) => {
                let body = own.clone().unwrap_or_else(|| {
                    dialect
                        .error_body(
                            *status,
                            &format!("the stand-in model was told to answer {status}"),
                        )
                        .to_string()
                });
                self.stage(&scene, vec![Bytes::from(body)], &mut acts);
                (*status, JSON)
            }
            Body::Raw(pieces) => {
                self.stage(&scene, pieces.clone(), &mut acts);
                (200, EVENTS)
            }
            Body::Answer(answer) if !streamed => {
                let body = render::completion(
                    &scene.envelope,
                    answer,
                    self.finish_reason(&habits, answer),
                    self.tokens(request, answer),
                );
                self.stage(&scene, vec![Bytes::from(body.to_string())], &mut acts);
                (200, JSON)
            }
            Body::Answer(answer) => {
                self.stream(&scene, request, answer, &mut acts);
                (200, EVENTS)
            }
            Body::Endless(answer, fragment) => {
                self.stream_for_ever(&scene, answer, fragment, &mut acts);
                (200, EVENTS)
            }
        };
        Reply {
            status,
            content_type,
            headers: self.headers,
            acts,
        }
    }

    fn stream(
        &self,
        scene: &Scene<'_>,
        request: &Value,
        answer: &Answer,
        acts: &mut VecDeque<Act>,
    ) {
        let finish = self.finish_reason(scene.habits, answer);
        let chunks = render::chunks(
            scene.habits,
            &scene.envelope,
            answer,
            finish,
            self.tokens(request, answer),
        );
        let ended = self.stage(scene, chunks.iter().map(event).collect(), acts);
        if !ended && self.done && scene.habits.done {
            acts.push_back(Act::Write(done()));
        }
    }

    fn stream_for_ever(
        &self,
        scene: &Scene<'_>,
        answer: &Answer,
        fragment: &str,
        acts: &mut VecDeque<Act>,
    ) {
        let opening = render::chunks(scene.habits, &scene.envelope, answer, None, None);
        let delta = if answer.calls.is_empty() {
            json!({"content": fragment})
        } else {
            json!({"tool_calls": [{"index": 0, "function": {"arguments": fragment}}]})
        };
        if !self.stage(scene, opening.iter().map(event).collect(), acts) {
            acts.push_back(Act::Repeat(event(&scene.envelope.delta(delta)), self.chunk));
        }
    }

    /// Puts the events and the faults in order. True when a fault has ended the reply.
    fn stage(&self, scene: &Scene<'_>, events: Vec<Bytes>, acts: &mut VecDeque<Act>) -> bool {
        let count = events.len();
        for (n, event) in events.into_iter().enumerate() {
            if self.faults(scene, |at| at == n, acts) {
                return true;
            }
            if n > 0 && !self.chunk.is_zero() {
                acts.push_back(Act::Wait(self.chunk));
            }
            if let Some(comment) = scene.comment(self).filter(|_| n % COMMENT_EVERY == 0) {
                acts.push_back(Act::Write(Bytes::from_static(comment.as_bytes())));
            }
            acts.push_back(Act::Write(event));
        }
        self.faults(scene, |at| at >= count, acts)
    }

    fn faults(
        &self,
        scene: &Scene<'_>,
        here: impl Fn(usize) -> bool,
        acts: &mut VecDeque<Act>,
    ) -> bool {
        for (_, mark) in self.marks.iter().filter(|(at, _)| here(*at)) {
            match mark {
                Mark::Hold(gate) => acts.push_back(Act::Pass(gate.clone())),
                Mark::Insert(bytes) => acts.push_back(Act::Write(bytes.clone())),
                Mark::Cut => acts.push_back(Act::Cut),
                Mark::Stall => acts.push_back(Act::Stall),
                Mark::Error(status, message) => {
                    let chunk = scene.dialect.error_chunk(*status, message);
                    if !scene.envelope.streamed {
                        acts.push_back(Act::Write(Bytes::from(chunk.to_string())));
                        return true;
                    }
                    acts.push_back(Act::Write(event(&chunk)));
                    // Only the routing provider closes a failed stream in good order.
                    if scene.dialect == Dialect::OpenRouter {
                        acts.push_back(Act::Write(done()));
                    }
                }
            }
            if matches!(mark, Mark::Cut | Mark::Stall | Mark::Error(..)) {
                return true;
            }
        }
        false
    }

    fn finish_reason<'a>(&'a self, habits: &Habits, answer: &Answer) -> Option<&'a str> {
        match &self.finish {
            Finish::Natural => Some(render::finish_reason(habits, answer)),
            Finish::Named(reason) => Some(reason),
            Finish::Missing => None,
        }
    }

    fn tokens(&self, request: &Value, answer: &Answer) -> Option<Usage> {
        match self.usage {
            Reported::Exactly(usage) => Some(usage),
            Reported::Missing => None,
            Reported::Estimated => {
                let arguments: usize = answer
                    .calls
                    .iter()
                    .map(|call| call.arguments.len() / 4 + 1)
                    .sum();
                let prompt = request["messages"].to_string().len() / 4;
                let completion = render::words(&answer.text).len() + arguments;
                Some(Usage {
                    prompt: prompt as u64,
                    cached: 0,
                    completion: completion as u64,
                    reasoning: 0,
                })
            }
        }
    }
}

/// What the staging of one reply depends on besides the turn.
struct Scene<'a> {
    habits: &'a Habits,
    dialect: Dialect,
    envelope: Envelope,
}

impl Scene<'_> {
    /// The dialect's comment; raw streams and single bodies are sent as they are.
    fn comment(&self, turn: &Turn) -> Option<&'static str> {
        let streamed =
            self.envelope.streamed && matches!(turn.body, Body::Answer(_) | Body::Endless(..));
        self.habits.comment.filter(|_| streamed)
    }
}

fn event(chunk: &Value) -> Bytes {
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}
