//! Waiting for runs to end: the process's one listening connection wakes whoever waits.
//!
//! A notification is a hint. A slow poll looks at the rows of all runs that somebody waits for, so that losing the hint
//! costs a second at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_store::{self as store, Pool, StoreError, lifecycle};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shares::{Share, Shares};

/// The slow poll.
const POLL: Duration = Duration::from_secs(1);

/// Requests that may wait at the same time, and those of one user; a further one is answered as if its wait had ended.
const MAX_WAITERS: usize = 10_000;
const MAX_WAITERS_OF_ONE: usize = 1_000;

/// Who waits for which run.
pub(crate) struct Waiting {
    runs: Mutex<HashMap<Uuid, Watched>>,
    all: Arc<Semaphore>,
    of_user: Arc<Shares<String>>,
    look: Notify,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            runs: Mutex::default(),
            all: Arc::new(Semaphore::new(MAX_WAITERS)),
            of_user: Shares::of(MAX_WAITERS_OF_ONE),
            look: Notify::new(),
        }
    }
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
    _one_of_all: OwnedSemaphorePermit,
    _one_of_user: Share<String>,
}

impl Waiting {
    /// Begins to watch a run for a user. None if too many requests wait already.
    pub(crate) fn watch(self: &Arc<Self>, run_id: Uuid, user_id: &str) -> Option<Waiter> {
        let one_of_user = self.of_user.take(user_id.to_owned())?;
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut runs = self.lock();
        let watched = runs.entry(run_id).or_default();
        watched.waiters += 1;
        Some(Waiter {
            waiting: Arc::clone(self),
            run_id,
            ended: Arc::clone(&watched.ended),
            _one_of_all: one_of_all,
            _one_of_user: one_of_user,
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
                let read = lifecycle::ended(&mut db, &watched).await;
                db.done(read)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_of_the_waiting_be_it_for_one_run() {
        let waiting = Arc::new(Waiting::default());
        let run_id = Uuid::nil();
        let held: Vec<_> = (0..MAX_WAITERS_OF_ONE)
            .map(|_| waiting.watch(run_id, "ada").expect("a place"))
            .collect();
        assert!(waiting.watch(run_id, "ada").is_none());
        assert!(waiting.watch(run_id, "bob").is_some());
        drop(held);
        assert!(waiting.lock().is_empty());
        assert!(waiting.watch(run_id, "ada").is_some());
    }
}
