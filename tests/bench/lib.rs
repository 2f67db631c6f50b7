//! What benchmarks have in common: reading off times and what was used, a model that speaks at a pace, a system in this process, and a
//! past made in SQL.
#![cfg(feature = "faults")]

pub mod folder;
pub mod gauge;
pub mod in_process;
pub mod model;
pub mod past;
