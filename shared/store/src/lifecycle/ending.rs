//! What a run came to, and what its end commits.

use errand_core::{
    events::{Event, Interrupt, RunOutcome, Usage},
    pending::PendingCall,
};
use uuid::Uuid;

use super::step::NewStep;
use crate::read::{history::RecordedStep, usage::Tokens};

/// What a run came to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It came to a reply.
    Completed {
        /// The reply.
        reply: String,
        /// Why the model stopped before its end, if it did: `length` or `content_filter`.
        cut_short: Option<&'static str>,
    },
    /// It failed for good.
    Failed {
        /// A stable code: `model_error`, `run_timeout` or `run_failed`.
        code: &'static str,
        /// For people; nothing internal.
        message: String,
    },
    /// Somebody cancelled it; what was said until then is kept, marked as partial.
    Cancelled {
        /// The reply so far, possibly empty.
        partial: String,
    },
    /// It waits for a decision about these calls, of which none has been executed.
    AwaitingApproval(Vec<PendingCall>),
}

impl Outcome {
    /// The reply, and whether it is only a part.
    pub(super) fn reply(&self) -> Option<(&str, bool)> {
        match self {
            Self::Completed { reply, .. } => Some((reply, false)),
            Self::Cancelled { partial } if !partial.is_empty() => Some((partial, true)),
            _ => None,
        }
    }

    /// The event that tells of it; nothing follows. What the run took is told when it is known.
    pub fn event(&self, conversation_id: Uuid, run_id: Uuid) -> Event {
        let outcome = match self {
            Self::Failed { code, message } => {
                return Event::RunError {
                    message: message.clone(),
                    code: (*code).to_owned(),
                    usage: Usage::default(),
                };
            }
            Self::Completed { .. } => RunOutcome::Success,
            Self::Cancelled { .. } => RunOutcome::Cancelled,
            Self::AwaitingApproval(pending) => RunOutcome::Interrupt {
                interrupts: pending.iter().map(Interrupt::from).collect(),
            },
        };
        Event::RunFinished {
            thread_id: conversation_id,
            run_id,
            outcome,
            usage: Usage::default(),
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    /// What it came to.
    pub outcome: &'a Outcome,
    /// The model's last answer, if it is not committed yet.
    pub step: Option<NewStep<'a>>,
    /// The steps before it, for the history.
    pub steps: &'a [RecordedStep],
    /// The reply's message; the one that was streamed.
    pub message_id: Uuid,
    /// The seq of the first of the events.
    pub first_seq: i64,
    /// Events not written yet, the terminal one last.
    pub events: &'a [Event],
    /// Tokens of answers that became no step.
    pub cut_off: Tokens,
    /// The model that gave them.
    pub model: &'a str,
}
