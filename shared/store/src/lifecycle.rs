//! The life of a run: each transition is one thing in one file. Besides, only a worker that leaves writes a run's status, for the runs that it
//! claimed and did not begin (`queue::leases::leave`).
//!
//! Whoever accepts, cancels, decides or ends takes the user's lock first, then the run's row. What an attempt writes is fenced by its
//! number: a claim makes every earlier attempt's writes find nothing.

use errand_core::RunStatus;

mod accept;
mod admit;
mod cancel;
mod claim;
mod complete;
mod decide;
mod ending;
mod finish;
mod held_step;
mod read;
mod release;
mod requeue;
mod retry;
mod step;
pub mod tool_call;

pub(super) use accept::Accept;
pub use accept::{
    Acceptance, Keyed, Limits, NewRun, Successor, accept, accept_within, find_by_key,
};
pub(super) use admit::lock_user;
pub use admit::{Bounds, MAX_UNDECIDED, Usage, admit, usage};
pub use cancel::cancel;
pub use claim::{Claimed, Taken, claim};
pub(super) use complete::Complete;
pub use decide::{Decided, Decision, decide, decisions, pending};
pub use ending::{Ending, Outcome};
pub use finish::finish;
pub(super) use held_step::HeldSteps;
pub use held_step::{HeldStep, hold_step};
pub(super) use read::Read;
pub use read::{Followed, Run, Span, at_work, ended, find, news, read, span, to_cancel, to_follow};
pub use release::{Release, release};
pub use requeue::{Requeued, requeue};
pub use retry::{Retriable, retriable, retry};
pub(super) use step::Step;
pub use step::{NewStep, RequestedCall, commit_step};
