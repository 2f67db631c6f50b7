//! The spans of a turn: what they are called and what they tell. They are told ids, names from our own lists and numbers; nothing that
//! people or models have said.
//!
//! Attributes have the names of OpenTelemetry's semantic conventions for generative AI (1.41), where these have one.

use std::time::{Duration, SystemTime};

use errand_server::{
    telemetry,
    trace::{self, Array, NewSpan, Span, SpanKind, StringValue, TraceContext, Value},
};
use errand_store::{
    lifecycle::{Claimed, Outcome},
    read::usage::Tokens,
};
use errand_tools::NAMES;
use uuid::Uuid;

use crate::{agent::Answer, openai::Provider};

/// When a claim was asked for, and when it was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClaimedAt {
    pub(crate) asked: SystemTime,
    pub(crate) answered: SystemTime,
}

/// An attempt at a run, with its claim and, for the first, the time in the queue. `waited` is how long ago the run was accepted.
///
/// Its id follows from the run's and its number. So the next attempt can be linked to it, though the worker that knew it is dead.
pub(crate) fn attempt(run: &Claimed, at: ClaimedAt, waited: Option<Duration>) -> Span {
    let parent = run.traceparent.as_deref().and_then(TraceContext::parse);
    if !trace::is_on() {
        return Span::new(NewSpan {
            parent,
            ..NewSpan::default()
        });
    }
    let id = |attempt: i32| {
        let span = format!("{}/{attempt}", run.id);
        TraceContext::derived(parent.as_ref(), run.id.as_bytes(), span.as_bytes())
    };
    let mut span = Span::new(NewSpan {
        name: "invoke_agent errand".into(),
        parent: parent.clone(),
        from: Some(at.answered),
        link: (run.attempt > 1).then(|| id(run.attempt - 1)),
        id: Some(id(run.attempt)),
        ..NewSpan::default()
    });
    if !span.is_recorded() {
        return span;
    }
    span.set("gen_ai.operation.name", "invoke_agent");
    span.set("gen_ai.agent.name", "errand");
    span.set(
        "gen_ai.conversation.id",
        run.conversation_id.hyphenated().to_string(),
    );
    span.set("user.id", telemetry::user(&run.user_id).into_owned());
    of_run(&mut span, run.id);
    span.set("errand.run.attempt", i64::from(run.attempt));
    span.set("errand.run.lost_attempts", i64::from(run.lost_attempts));
    // Beside the attempt, where there is something to be beside of.
    let beside = parent.or_else(|| span.context().cloned());
    let past = |name: &'static str, from: SystemTime, to: SystemTime| {
        let mut part = Span::new(NewSpan {
            name: name.into(),
            parent: beside.clone(),
            from: Some(from),
            ..NewSpan::default()
        });
        of_run(&mut part, run.id);
        part.end_at(to);
    };
    if run.attempt == 1 {
        // By the database's clock, as far as it is known, and told by that of this machine.
        let accepted = waited.and_then(|waited| SystemTime::now().checked_sub(waited));
        past(
            "queue",
            accepted.unwrap_or(run.created_at.into()),
            at.answered,
        );
    }
    past("claim", at.asked, at.answered);
    span
}

fn of_run(span: &mut Span, run_id: Uuid) {
    span.set("errand.run.id", run_id.hyphenated().to_string());
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) outcome: &'static str,
    /// The kind of trouble, if that is why.
    pub(crate) failure: Option<&'static str>,
}

impl Ended {
    pub(crate) fn well(outcome: &'static str) -> Self {
        Self {
            outcome,
            failure: None,
        }
    }

    pub(crate) fn by(outcome: &'static str, failure: &'static str) -> Self {
        Self {
            outcome,
            failure: Some(failure),
        }
    }

    /// Says so.
    pub(crate) fn tell(self, span: &mut Span) {
        span.set("errand.run.outcome", self.outcome);
        if let Some(failure) = self.failure {
            span.fail(failure);
        }
    }
}

/// How a run's end is called, which is what metrics call it.
pub(crate) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed { .. } => "completed",
        Outcome::Failed { .. } => "failed",
        Outcome::Cancelled { .. } => "cancelled",
        Outcome::AwaitingApproval(_) => "awaiting_approval",
    }
}

/// The attempt that has ended its run.
pub(crate) fn ended(of: &Outcome) -> Ended {
    match of {
        Outcome::Failed { code, .. } => Ended::by("failed", code),
        _ => Ended::well(outcome(of)),
    }
}

/// A question to the model, with all that is tried until it is answered.
pub(crate) fn model(provider: &Provider, model: &str) -> Span {
    if !trace::is_on() {
        return Span::default();
    }
    let mut span = Span::of_kind(SpanKind::Client, format!("chat {model}"));
    if span.is_recorded() {
        span.set("gen_ai.operation.name", "chat");
        span.set("gen_ai.provider.name", provider.name);
        span.set("gen_ai.request.model", model.to_owned());
        span.set("server.address", provider.address.clone());
        span.set("server.port", i64::from(provider.port));
    }
    span
}

/// What the model has answered, or what kept it from that.
pub(crate) fn answered(span: &mut Span, answer: Result<&Answer, &'static str>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(how) => return span.fail(how),
    };
    used(span, answer.tokens);
    if !span.is_recorded() {
        return;
    }
    let reason: StringValue = finish_reason(answer).into();
    let reasons = Value::Array(Array::String(vec![reason]));
    span.set("gen_ai.response.finish_reasons", reasons);
}

/// What an answer took.
pub(crate) fn used(span: &mut Span, tokens: Tokens) {
    span.set("gen_ai.usage.input_tokens", tokens.input);
    span.set("gen_ai.usage.output_tokens", tokens.output);
    if tokens.cached > 0 {
        span.set("gen_ai.usage.cache_read.input_tokens", tokens.cached);
    }
    if tokens.reasoning > 0 {
        span.set("gen_ai.usage.reasoning.output_tokens", tokens.reasoning);
    }
    span.set("errand.usage.estimated", tokens.is_estimate);
}

/// Why the model stopped, in one of few words: what a provider calls it is a text from outside.
fn finish_reason(answer: &Answer) -> &'static str {
    match (answer.cut_short(), answer.calls.is_empty()) {
        (Some(reason), _) => reason,
        (None, false) => "tool_calls",
        (None, true) => "stop",
    }
}

/// A call of a tool.
pub(crate) fn tool(name: &str) -> Span {
    if !trace::is_on() {
        return Span::default();
    }
    // What the model makes up is nobody's name of a tool.
    let known = NAMES.into_iter().find(|known| *known == name);
    let name = known.unwrap_or("unknown");
    let mut span = Span::begin(format!("execute_tool {name}"));
    span.set("gen_ai.operation.name", "execute_tool");
    span.set("gen_ai.tool.name", name);
    span.set("gen_ai.tool.type", "function");
    span
}
