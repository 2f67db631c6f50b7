//! The contract of the job queue: what a job is called and what it carries.
//!
//! One job exists for each run that may start; the rows of `apalis.jobs` are written by `store::jobs` and claimed by the
//! worker's queue. The job only delivers: who may write for a run is decided by the run's own row (its attempt).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The queue's name in `apalis.jobs.job_type`. Stable: jobs outlive deployments.
pub const QUEUE: &str = "errand.run";

/// The name under which jobs to write a summary of a conversation are in the same queue.
pub const SUMMARIES: &str = "errand.summary";

/// "Run the agent for this run." Delivered at least once, so the receiver claims the run first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAgent {
    /// The run to claim.
    pub run_id: Uuid,
}

/// The id of a run's job: the run's own 128 bits, written as a ULID as apalis wants it.
pub fn job_id(run_id: Uuid) -> String {
    ulid::Ulid::from(run_id.as_u128()).to_string()
}
