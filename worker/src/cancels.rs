//! Cancels: how a run that is at work here hears that somebody wants it to end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use errand_store::{self as store, Pool, StoreError, lifecycle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The slow poll: what a lost notification costs.
const POLL: Duration = Duration::from_secs(2);

/// The runs of this process, each with the attempts that are at work on it and their tokens.
type AtWork = HashMap<Uuid, Vec<(i32, CancellationToken)>>;

/// What is at work here, shared by those who begin a run and those who hear of a cancel.
#[derive(Clone, Default)]
pub(crate) struct Cancels(Arc<Mutex<AtWork>>);

impl Cancels {
    /// The token of a run that begins here, cancelled when somebody asks for it.
    pub(crate) fn watch(&self, run_id: Uuid, attempt: i32) -> Watch {
        let token = CancellationToken::new();
        self.lock()
            .entry(run_id)
            .or_default()
            .push((attempt, token.clone()));
        Watch {
            cancels: self.clone(),
            run_id,
            attempt,
            token,
        }
    }

    /// Looks for cancels until the stop.
    pub(crate) async fn poll(self, pool: Pool, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let here: Vec<Uuid> = self.lock().keys().copied().collect();
            if here.is_empty() {
                continue;
            }
            let asked = store::within(async {
                let mut db = store::connection(&pool).await?;
                let read = lifecycle::to_cancel(&mut db, &here).await;
                db.done(read)
            });
            match asked.await {
                Ok(asked) => asked.into_iter().for_each(|run_id| self.cancel(run_id)),
                Err::<_, StoreError>(error) => tracing::debug!(%error, "cannot look for cancels"),
            }
        }
    }

    /// Somebody asks for this run to end; nothing if it is not here.
    pub(crate) fn cancel(&self, run_id: Uuid) {
        for (_, token) in self.lock().get(&run_id).into_iter().flatten() {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, AtWork> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that can be cancelled, for as long as this lives.
pub(crate) struct Watch {
    cancels: Cancels,
    run_id: Uuid,
    attempt: i32,
    token: CancellationToken,
}

impl Watch {
    /// Ends when somebody asks for the run to be cancelled.
    pub(crate) async fn asked(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut runs = self.cancels.lock();
        if let Some(attempts) = runs.get_mut(&self.run_id) {
            attempts.retain(|(attempt, _)| *attempt != self.attempt);
            if attempts.is_empty() {
                runs.remove(&self.run_id);
            }
        }
    }
}
