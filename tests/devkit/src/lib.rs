//! What stands in for the world outside: a private Postgres, an identity provider, models; whole systems made of them, for tests,
//! benchmarks and `cargo dev`; and what these run and reach them by: processes, a proxy, a client of the WebSocket.
//!
//! They speak the real wire protocols and are never linked into `errand-api` or `errand-worker`.
// As a test this is a crate of its own, in which nobody uses what is there for others.
#![cfg_attr(test, allow(dead_code, unreachable_pub))]

pub mod dev;
pub mod identity;
pub mod model;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod socket;
pub mod suspending;
pub mod system;
