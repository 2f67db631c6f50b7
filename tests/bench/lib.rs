//! What benchmarks have in common: reading off times and what was used, and a model that speaks at a pace.

pub mod gauge;
pub mod model;
