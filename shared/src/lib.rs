//! What the API and the workers both need: configuration, the store (all SQL), jobs, hints, telemetry, a server's loop, and
//! who a token's bearer is. Nothing in here knows a route, the model or a tool.

pub mod auth;
pub mod calendar;
pub mod config;
pub mod events;
pub mod faults;
pub mod hints;
pub mod ids;
pub mod jobs;
pub mod json;
pub mod origin;
pub mod process;
pub mod request_id;
pub mod serve;
pub mod shorten;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod time_zone;
pub mod user_queue;
