//! Waiting for runs to end: the process's one listening connection wakes whoever waits.
//!
//! A notification is a hint. A slow poll looks at the rows of all runs that somebody waits for, so that losing the hint
//! costs a second at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::store::{self, Pool, StoreError, runs};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The slow poll.
const POLL: Duration = Duration::from_secs(1);

/// Requests that may wait at the same time; a further one is answered as if its wait had ended.
const MAX_WAITERS: usize = 10_000;

/// Who waits for which run.
#[derive(Default)]
pub(crate) struct Waiting {
    runs: Mutex<HashMap<Uuid, Watched>>,
    look: Notify,
}

#[derive(Default)]
struct Watched {
    ended: Arc<Notify>,
    waiters: usize,
}

/// A place in the queue of waiters. Taken before the run is looked at, so that its end cannot slip through in between.
pub(crate) struct Waiter {
    waiting: Arc<Waiting>,
    run_id: Uuid,
    ended: Arc<Notify>,
}

impl Waiting {
    /// Begins to watch a run. None if too many requests wait already.
    pub(crate) fn watch(self: &Arc<Self>, run_id: Uuid) -> Option<Waiter> {
        let mut runs = self.lock();
        if runs.len() >= MAX_WAITERS {
            return None;
        }
        let watched = runs.entry(run_id).or_default();
        watched.waiters += 1;
        Some(Waiter {
            waiting: Arc::clone(self),
            run_id,
            ended: Arc::clone(&watched.ended),
        })
    }

    /// Anything may have been missed.
    pub(crate) fn look_at_all(&self) {
        self.look.notify_one();
    }

    /// Looks at the rows of all watched runs: after each connect of the listener, and once a second.
    pub(crate) async fn poll(self: Arc<Self>, db: Pool, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let watched: Vec<Uuid> = self.lock().keys().copied().collect();
            if watched.is_empty() {
                continue;
            }
            let ended = store::within(async {
                let mut db = store::connection(&db).await?;
                runs::ended(&mut db, &watched).await
            });
            match ended.await {
                Ok(ended) => ended.into_iter().for_each(|run_id| self.wake(run_id)),
                Err::<_, StoreError>(error) => {
                    tracing::debug!(%error, "cannot look at the runs that are waited for")
                }
            }
        }
    }

    /// A run has ended.
    pub(crate) fn wake(&self, run_id: Uuid) {
        if let Some(watched) = self.lock().get(&run_id) {
            watched.ended.notify_waiters();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Watched>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The run's next sign of having ended. Ask for it, look at the row, then await it.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + '_ {
        let mut notified = Box::pin(self.ended.notified());
        // Counts from now, not from the first poll.
        notified.as_mut().enable();
        notified
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut runs = self.waiting.lock();
        if let Some(watched) = runs.get_mut(&self.run_id) {
            watched.waiters -= 1;
            if watched.waiters == 0 {
                runs.remove(&self.run_id);
            }
        }
    }
}
