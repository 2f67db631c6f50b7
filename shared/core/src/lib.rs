//! What everything else talks about: ids, the states of a run, events, the job's contract, dates. No I/O and no store.

pub mod calendar;
pub mod events;
pub mod faults;
pub mod guardrails;
pub mod hints;
pub mod ids;
pub mod jobs;
pub mod json;
pub mod pending;
pub mod prices;
mod run_status;
pub mod shorten;
pub mod time_zone;
pub mod user_queue;

pub use run_status::{RunStatus, TRANSITIONS};
