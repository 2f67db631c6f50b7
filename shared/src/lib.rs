//! What the API and the workers both need: configuration, the store (all SQL), jobs, hints and telemetry.
//! Nothing in here knows HTTP, the model or a tool.

pub mod config;
pub mod events;
pub mod faults;
pub mod hints;
pub mod ids;
pub mod jobs;
pub mod signals;
pub mod store;
pub mod telemetry;
