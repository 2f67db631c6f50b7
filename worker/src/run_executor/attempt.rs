//! How an attempt at a run comes out, and what of it is told.

use std::time::Duration;

use errand_core::{ids::CallKey, pending::PendingCall};
use errand_store::{self as store, StoreError, lifecycle::Outcome};
use serde_json::Value;
use uuid::Uuid;

use crate::agent::{Failure, Interrupted, ModelError, Question, Reply};

/// How an attempt came out.
pub(super) enum Attempt {
    Replied(Reply),
    /// The reply asks for calls that the user has to approve.
    Paused(Reply, Vec<Question>),
    Failed {
        code: &'static str,
        message: String,
        /// What is behind it, for operators.
        cause: Option<String>,
    },
    Cancelled,
    /// It cannot go on here.
    Interrupted(Interrupted),
    /// The worker stops.
    Drained,
}

/// The calls of an answer that wait for approval.
pub(super) fn pending(run_id: Uuid, reply: &Reply, questions: Vec<Question>) -> Vec<PendingCall> {
    let asked = questions.into_iter().filter_map(|question| {
        let place = usize::try_from(question.ordinal).ok()?;
        let call = reply.answer.calls.get(place)?;
        Some(PendingCall {
            key: CallKey {
                run_id,
                step: reply.step,
                ordinal: question.ordinal,
            },
            tool_name: call.name.clone(),
            parameters: store::without_nul(Value::Object(call.object().unwrap_or_default())),
            effect: Some(question.effect),
        })
    });
    asked.collect()
}

pub(super) fn of_store(error: &StoreError) -> Attempt {
    Attempt::Interrupted(error.into())
}

pub(super) fn of_failure(failure: Failure) -> Attempt {
    match failure {
        Failure::Interrupted(why) => Attempt::Interrupted(why),
        Failure::TooManySteps(steps) => failed(
            "run_failed",
            &format!("The agent came to no answer within {steps} steps."),
        ),
        Failure::Model(error) => {
            // What the provider says may hold internals; people are told the kind of trouble only.
            let cause = error.to_string();
            let message = match error {
                ModelError::Unavailable(_) => "The model is not available.",
                ModelError::Refused(_) => "The model refused the request.",
                ModelError::ContextTooLong => "The conversation is too long for the model.",
            };
            Attempt::Failed {
                code: "model_error",
                message: message.to_owned(),
                cause: Some(cause),
            }
        }
    }
}

pub(super) fn failed(code: &'static str, message: &str) -> Attempt {
    Attempt::Failed {
        code,
        message: message.to_owned(),
        cause: None,
    }
}

pub(super) fn log_end(outcome: &Outcome, cause: Option<&str>, took: Duration) {
    match outcome {
        Outcome::Completed { .. } => tracing::info!(?took, "run completed"),
        Outcome::Cancelled { .. } => tracing::info!(?took, "run cancelled"),
        Outcome::AwaitingApproval(pending) => {
            let tools: Vec<_> = pending.iter().map(|call| &call.tool_name).collect();
            tracing::info!(?took, ?tools, "run waits for approval")
        }
        Outcome::Failed { code, message } => {
            tracing::warn!(?took, code, told = message, cause, "run failed");
        }
    }
}
