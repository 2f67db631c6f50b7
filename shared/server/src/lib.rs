//! What makes a program of Errand: its configuration, logs, signals, the loop that serves HTTP, and who a token's bearer is. Nothing in
//! here knows a route, the model or a tool.

pub mod auth;
pub mod config;
pub mod metrics;
pub mod origin;
pub mod process;
pub mod request_id;
pub mod serve;
pub mod supervise;
pub mod telemetry;
pub mod trace;
pub mod wake;
