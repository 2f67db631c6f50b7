//! A point in an answer at which a test holds the model.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

/// How long [`Gate::reached`] waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gate that starts closed. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<watch::Sender<Passage>>);

#[derive(Debug, Default)]
struct Passage {
    arrived: usize,
    admitted: usize,
    open: bool,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets every answer through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|p| p.open = true);
    }

    /// Lets one answer through: the one that waits, or else the next to arrive.
    pub fn admit_one(&self) {
        self.0.send_modify(|p| p.admitted += 1);
    }

    /// Waits until `n` answers, in all, have come this far; an error after ten seconds.
    pub async fn reached(&self, n: usize) -> anyhow::Result<()> {
        let mut passage = self.0.subscribe();
        let reached = passage.wait_for(|p| p.arrived >= n);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .with_context(|| format!("no {n} answers at the gate"))??;
        Ok(())
    }

    pub(in crate::model) async fn pass(&self) {
        self.0.send_modify(|p| p.arrived += 1);
        let mut passage = self.0.subscribe();
        loop {
            let admitted = self.0.send_if_modified(|p| {
                let may = p.open || p.admitted > 0;
                p.admitted = p.admitted.saturating_sub(usize::from(may && !p.open));
                may
            });
            // `self` keeps the sender alive, so `changed` cannot fail.
            if admitted || passage.changed().await.is_err() {
                return;
            }
        }
    }
}
