//! The record of what a stand-in was sent and how it ended, for assertions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::watch;

/// How many request bodies are kept; older ones are forgotten, the count is not.
const KEPT: usize = 1_000;

/// How long the waiting accessors wait.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, Default)]
pub(in crate::model) struct Counts {
    pub(in crate::model) requests: usize,
    pub(in crate::model) aborted: usize,
    pub(in crate::model) in_flight: usize,
}

#[derive(Debug, Default)]
pub(in crate::model) struct Ledger {
    bodies: Mutex<VecDeque<Value>>,
    counts: watch::Sender<Counts>,
}

impl Ledger {
    /// Records a request; what is returned stands for it until it ends.
    pub(super) fn enter(self: &Arc<Self>, request: &Value) -> Entry {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if bodies.len() == KEPT {
            bodies.pop_front();
        }
        bodies.push_back(request.clone());
        drop(bodies);
        self.counts.send_modify(|c| {
            c.requests += 1;
            c.in_flight += 1;
        });
        Entry {
            ledger: self.clone(),
            finished: false,
        }
    }

    pub(in crate::model) fn bodies(&self) -> Vec<Value> {
        self.bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(in crate::model) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the counts are as wanted; an error, with the counts, after ten seconds.
    pub(in crate::model) async fn reached(
        &self,
        what: &str,
        wanted: impl FnMut(&Counts) -> bool,
    ) -> anyhow::Result<()> {
        let mut counts = self.counts.subscribe();
        let reached = tokio::time::timeout(PATIENCE, counts.wait_for(wanted))
            .await
            .map(|met| met.is_ok());
        reached.with_context(|| {
            format!(
                "waited {PATIENCE:?} for {what}; the model has seen {:?}",
                self.counts()
            )
        })?;
        Ok(())
    }
}

/// A request being answered. Dropped before [`Entry::finish`] or [`Entry::settle`], it counts as aborted by the client.
#[derive(Debug)]
pub(super) struct Entry {
    ledger: Arc<Ledger>,
    finished: bool,
}

impl Entry {
    /// The server has said all it wanted; what happens to the connection from here is nobody's fault.
    pub(super) fn settle(&mut self) {
        self.finished = true;
    }

    pub(super) fn finish(mut self) {
        self.settle();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.counts.send_modify(|c| {
            c.in_flight -= 1;
            c.aborted += usize::from(!self.finished);
        });
    }
}
