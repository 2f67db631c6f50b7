//! Telling that tasks changed: every socket and stream of their user hears of it, whoever made the call.
//!
//! A hint of its own behind the commit, and not in it: commits that notify wait for one another. What comes within a moment is
//! one notification, so its cost does not follow the number of calls.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::{
    hints::{Owner, TaskChange},
    store::{self, Pool, tasks},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What comes within this time is told together; what comes after a silence is told at once. With what a reader waits for, it is a part
/// of the 100 ms in which a change is heard of.
const PAUSE: Duration = Duration::from_millis(25);
/// One try to tell.
const TRY: Duration = Duration::from_secs(2);
/// Tries in a row that may fail; then it is left to the page's next look at the rows.
const TRIES: u32 = 3;
/// How long the end of a process waits for what is still to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The changes that have not been told. Cheap to clone.
#[derive(Clone)]
pub(super) struct Changes {
    pool: Pool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    changes: HashSet<TaskChange>,
    /// Tells, until there is nothing left to tell.
    teller: Option<JoinHandle<()>>,
    is_telling: bool,
}

impl Changes {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            state: Arc::default(),
        }
    }

    /// Has the user's sockets and streams told, soon. Nobody waits for it. The run is the one that made the change, if one did.
    pub(super) fn tell(&self, user_id: &str, run_id: Option<Uuid>) {
        let owner = Owner::of(user_id);
        let mut state = self.lock();
        state.changes.insert(TaskChange { owner, run_id });
        if !state.is_telling {
            state.is_telling = true;
            #[expect(
                clippy::disallowed_methods,
                reason = "it lives for moments, and the next change starts another"
            )]
            let teller = tokio::spawn(self.clone().run());
            state.teller = Some(teller);
        }
    }

    /// Waits, for a bounded time, until what was to be told is told.
    pub(super) async fn told(&self) {
        let teller = self.lock().teller.take();
        if let Some(teller) = teller {
            let _ = tokio::time::timeout(LAST_WORDS, teller).await;
        }
    }

    async fn run(self) {
        let _panics = IfItPanics(&self);
        let mut failures = 0;
        while let Some(changes) = self.next() {
            let told = store::within_time(TRY, async {
                let mut db = store::connection(&self.pool).await?;
                tasks::announce(&mut db, &changes).await
            });
            match told.await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(%error, "cannot tell that tasks changed");
                    failures += 1;
                    if failures < TRIES {
                        self.lock().changes.extend(changes);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What to tell now; none, and the end of the telling, if there is nothing.
    fn next(&self) -> Option<Vec<TaskChange>> {
        let mut state = self.lock();
        state.is_telling = !state.changes.is_empty();
        state
            .is_telling
            .then(|| std::mem::take(&mut state.changes).into_iter().collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A telling that panics is over, so that the next change starts another.
struct IfItPanics<'a>(&'a Changes);

impl Drop for IfItPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_telling = false;
        }
    }
}
