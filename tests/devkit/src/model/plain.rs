//! A stand-in for a provider during development: it understands simple English requests about a to-do list, uses
//! the tools it is offered, and streams at a human pace. It keeps no state: all it knows is in the messages.
//!
//! This is a model, so it may guess at what people mean; the product must never do what is done here.

mod clauses;
mod conversation;
mod decide;
mod details;
mod intent;
mod questions;
mod reply;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::scripted::Turn;
use super::wire::{Answers, Server};
pub use decide::decide;

/// Where and how fast the model speaks.
#[derive(Debug, Clone, Copy)]
pub struct PlainSettings {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The pause before the status line.
    pub first_token: Duration,
    /// The pause before each further token; a token is a word.
    pub per_token: Duration,
}

impl Default for PlainSettings {
    /// A free port and a human pace.
    fn default() -> Self {
        Self {
            port: 0,
            first_token: Duration::from_millis(200),
            per_token: Duration::from_millis(25),
        }
    }
}

/// The development stand-in, stopped when dropped.
pub struct PlainModel {
    server: Server,
}

impl PlainModel {
    /// Starts to serve; fails when the port is taken.
    pub async fn start(settings: PlainSettings) -> anyhow::Result<Self> {
        Ok(Self {
            server: Server::start(settings.port, Arc::new(settings)).await?,
        })
    }

    /// The base URL for a client, `/v1` included.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }
}

impl Answers for PlainSettings {
    fn turn(&self, request: &Value) -> Turn {
        Turn::from(decide(request))
            .first_byte_after(self.first_token)
            .chunk_every(self.per_token)
    }
}
