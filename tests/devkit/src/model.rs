//! Stand-in models that speak Chat Completions on a real socket.
//!
//! [`PlainModel`] understands simple English, for trying the product without a provider; [`ScriptedModel`] does
//! exactly what a test says, faults included; [`Dialect`] gives either one the habits of a known provider.
//! Nothing here knows the product: what a model may know is the request it was sent.

mod answer;
mod plain;
pub mod provider;
mod quirks;
#[cfg(test)]
mod received;
mod render;
pub mod request;
mod scripted;
mod wire;

pub use answer::{Answer, Call, Usage};
pub use plain::{PlainModel, PlainSettings, decide};
pub use provider::Provider;
pub use quirks::Dialect;
pub use scripted::{Gate, ScriptedModel, Turn};
