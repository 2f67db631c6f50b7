//! Telling that tasks changed: every socket of their user hears of it, whoever made the call.
//!
//! A hint of its own behind the commit, and not in it: commits that notify wait for one another. What comes within a moment is
//! one notification, so its cost does not follow the number of calls.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::{
    hints::Owner,
    store::{self, Pool, tasks},
};
use tokio::task::JoinHandle;

/// What comes within this time is told together; what comes after a silence is told at once.
const PAUSE: Duration = Duration::from_millis(50);
/// One try to tell.
const TRY: Duration = Duration::from_secs(2);
/// Tries in a row that may fail; then it is left to the page's next look at the rows.
const TRIES: u32 = 3;
/// How long the end of a process waits for what is still to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whose tasks have changed and who has not been told so. Cheap to clone.
#[derive(Clone)]
pub(super) struct Changes {
    pool: Pool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    owners: HashSet<Owner>,
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

    /// Has the user's sockets told, soon. Nobody waits for it.
    pub(super) fn tell(&self, user_id: &str) {
        let mut state = self.lock();
        state.owners.insert(Owner::of(user_id));
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
        while let Some(owners) = self.next() {
            let told = store::within_time(TRY, async {
                let mut db = store::connection(&self.pool).await?;
                tasks::announce(&mut db, &owners).await
            });
            match told.await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(%error, "cannot tell that tasks changed");
                    failures += 1;
                    if failures < TRIES {
                        self.lock().owners.extend(owners);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whose sockets to tell now; none, and the end of the telling, if there is nobody.
    fn next(&self) -> Option<Vec<Owner>> {
        let mut state = self.lock();
        state.is_telling = !state.owners.is_empty();
        state
            .is_telling
            .then(|| std::mem::take(&mut state.owners).into_iter().collect())
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
