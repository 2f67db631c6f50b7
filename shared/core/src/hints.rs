//! Hints between processes: what is told behind a commit, and on which channel.
//!
//! A hint says "look at the rows". Losing one, or all, costs latency and never an answer: whoever listens also looks
//! by itself now and then, and once after each connect.

use uuid::Uuid;

mod owner;
mod task_change;

pub use owner::Owner;
pub use task_change::TaskChange;

/// Runs ended, or wait for a decision; the payload is a run's id.
pub const RUN_ENDED: &str = "errand_run_ended";

/// Runs have new events; the payload is their ids, separated by commas, or empty: look at all.
pub const RUN_EVENTS: &str = "errand_run_events";

/// A conversation has a new run, or a run of it changed hands; the payload is the conversation's id.
pub const CONVERSATION: &str = "errand_conversation";

/// Tasks changed; the payload is these [`TaskChange`]s, separated by commas.
pub const TASKS_CHANGED: &str = "errand_tasks_changed";

/// Somebody asks for a run to be cancelled; the payload is its id.
pub const CANCEL: &str = "errand_cancel";

/// An operator has asked for a worker to be drained; the payload is empty: each looks whether it is the one.
pub const DRAIN: &str = "errand_drain";

/// A job can be claimed: it was inserted, or given back. apalis's own name.
pub const JOB_READY: &str = "apalis::job::insert";

/// Something to tell other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// This run ended, or waits for a decision.
    RunEnded(Uuid),
    /// This run has new events.
    RunEvents(Uuid),
    /// This conversation has a new run, or a run of it changed hands.
    Conversation(Uuid),
    /// Tasks changed.
    TasksChanged(TaskChange),
    /// This run is to be cancelled.
    Cancel(Uuid),
    /// A worker is to take no more runs.
    Drain,
    /// There are jobs to claim.
    JobReady,
}

impl Hint {
    /// Whether somebody can do nothing until it comes: a run that waits to be taken, a request that waits for its answer.
    pub fn is_urgent(self) -> bool {
        match self {
            Self::RunEnded(_) | Self::Cancel(_) | Self::JobReady => true,
            Self::RunEvents(_) | Self::Conversation(_) | Self::TasksChanged(_) | Self::Drain => {
                false
            }
        }
    }
}
