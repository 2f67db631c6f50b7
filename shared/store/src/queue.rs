//! The job queue: who holds which job, and what is swept up and purged beside it.

pub mod ended;
pub mod inspect;
pub mod jobs;
pub mod leases;
pub mod periodic;
pub mod purge;
pub mod state;
pub mod stops;
pub mod sweep;
