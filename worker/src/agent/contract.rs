//! What the loop is given and what it comes to; and what it asks of those around it, who know databases, tools and streams.

use std::sync::Arc;

use errand_core::{calendar::Moment, ids::CallKey, pending::Effect};
use errand_store::{
    StoreError, WriteError,
    lifecycle::RequestedCall,
    read::history::{History, RecordedStep},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    FollowUp,
    model::{Answer, ModelError, Progress, ToolDefinition},
};

/// What the agent is to answer.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The run.
    pub run_id: Uuid,
    /// The system prompt: the same for every run of the process.
    pub instructions: Arc<str>,
    /// `temperature` of each request; none: not sent.
    pub temperature: Option<f32>,
    /// The owner: every tool call is made for this user and no other.
    pub user_id: String,
    /// The message to answer.
    pub message: String,
    /// When it was said, by the user's clock.
    pub said: Moment,
    /// When the run was accepted that is to finish an interrupted turn.
    pub retried: Option<Moment>,
    /// What was said before.
    pub history: History,
    /// What earlier attempts at this run, and earlier runs of this turn, have committed.
    pub recorded: Vec<RecordedStep>,
    /// The model that is asked, as the provider knows it.
    pub model: String,
    /// Tools whose calls wait for the user's approval.
    pub needs_approval: Vec<String>,
    /// Tokens that earlier turns may take.
    pub history_tokens: usize,
    /// Answers the model may give in all.
    pub max_steps: i32,
}

/// What a tool call came to, as the model reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// The structured output.
    pub result: Value,
}

/// The agent cannot go on now: the run is somebody else's, or what it depends on is down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// Another attempt owns the run; write nothing more.
    #[error("the run is no longer this attempt's")]
    Fenced,
    /// The store or the tool server failed; another attempt may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// The database is away, which is no fault of the run: another attempt succeeds when it is back.
    #[error("{0}")]
    Outage(String),
}

impl From<&StoreError> for Interrupted {
    fn from(error: &StoreError) -> Self {
        if error.is_outage() {
            Self::Outage(error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

impl From<WriteError> for Interrupted {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Store(error) => Self::from(&error),
        }
    }
}

/// How the agent acts. A call that was made before under the same key returns what it returned then.
pub trait Toolbox: Send + Sync {
    /// The tools, as the model is told of them.
    fn definitions(&self) -> &[ToolDefinition];

    /// Makes one call for the user. A mistake of the model is an outcome it can read, not an error.
    fn call(
        &self,
        invocation: Invocation<'_>,
    ) -> impl Future<Output = Result<ToolOutcome, Interrupted>> + Send;

    /// What calls would do for the user, in their order; none for one that would come to an error.
    fn previews(
        &self,
        user_id: &str,
        calls: &[&RequestedCall],
    ) -> impl Future<Output = Result<Vec<Option<Effect>>, Interrupted>> + Send;
}

/// A call that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// Its key: whoever repeats it gets what it came to.
    pub key: CallKey,
    /// For whom it is made.
    pub user_id: &'a str,
    /// The call.
    pub call: &'a RequestedCall,
    /// Why it is not made, if it is not.
    pub refused: Option<Refusal>,
    /// The same call has failed in an earlier step of the turn. If it fails again, the model is told what would be valid.
    pub has_failed: bool,
}

/// Why a call is recorded and answered with an error, and not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// For this reason.
    Because(&'static str),
    /// Its user was not asked. If it would come to an error of its own, that is the answer.
    Unapproved(&'static str),
}

impl Refusal {
    /// The reason, for the model.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Because(reason) | Self::Unapproved(reason) => reason,
        }
    }
}

/// Where the agent's steps are kept and told of.
pub trait Journal: Send + Sync {
    /// The model is talking.
    fn tell(&self, told: Progress<'_>);

    /// Commits an answer with calls, at the latest with the first of them: none has an effect before.
    fn commit(
        &self,
        step: i32,
        answer: &Answer,
    ) -> impl Future<Output = Result<(), Interrupted>> + Send;

    /// A call was made and its record is committed. `told` is the key under which clients were told of it.
    fn acted(
        &self,
        told: CallKey,
        call: &RequestedCall,
        outcome: &ToolOutcome,
    ) -> impl Future<Output = ()> + Send;
}

/// Where the agent stops.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// It has answered.
    Replied(Reply),
    /// Its answer asks for calls that need the user's approval; none of that answer's calls has been made.
    NeedsApproval(Reply, Vec<Question>),
}

/// A call that its user has to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its place in the answer.
    pub ordinal: i32,
    /// What it would do.
    pub effect: Effect,
}

/// The agent's last answer: it is committed together with the end, or the pause, of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The step that it is.
    pub step: i32,
    /// The answer.
    pub answer: Answer,
    /// The steps before it.
    pub steps: Vec<RecordedStep>,
    /// What the user may want to say next.
    pub follow_ups: Vec<FollowUp>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The model failed for good.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model never came to an answer.
    #[error("no answer within {0} steps")]
    TooManySteps(i32),
    /// Not now.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
