//! Telling hints: behind a commit and never in one, because commits that notify wait for one another.
//!
//! What a process has to tell within a moment is one statement, so its cost follows neither the number of runs nor that of changes. What
//! somebody waits for does not wait for the end of such a moment, unless the last thing told was of that kind, too.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use errand_core::hints::Hint;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use super::{Connection, Pool, StoreError, within_time};

mod payloads;

/// What comes within this time is told together; what comes after a silence is told at once.
const PAUSE: Duration = Duration::from_millis(5);
/// How much longer hints are kept while nobody waits for any of them. A quick turn ends within that time, and they are told with its end.
const PATIENCE: Duration = Duration::from_millis(7);
/// One try to tell.
const TRY: Duration = Duration::from_secs(2);
/// Tries in a row that may fail; then it is left to the next look at the rows.
const TRIES: u32 = 3;
/// Hints that wait, at most; of more, those that listen learn by looking.
const MAX_HINTS: usize = 20_000;
/// How long the end of a process waits for what is still to be told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The hints that a process has not told yet.
#[derive(Default)]
pub(super) struct Hints {
    state: Mutex<State>,
    /// Something more urgent has come.
    hurry: Notify,
    /// Something for workers has come.
    for_workers: Notify,
}

/// How long a hint may be kept for company.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// For a pause and longer: what is to be told besides comes soon.
    #[default]
    Low,
    /// For a pause after whatever was told.
    Normal,
    /// For a pause after what was as urgent.
    High,
}

#[derive(Default)]
struct State {
    hints: HashSet<Hint>,
    /// That of the most urgent one.
    urgency: Urgency,
    /// Tells, until there is nothing left to tell.
    teller: Option<JoinHandle<()>>,
    is_telling: bool,
}

impl Pool {
    /// Tells other processes, soon. Nobody waits for it, and it may be lost. For a change that is committed.
    pub fn tell(&self, hint: Hint) {
        self.tell_all([hint]);
    }

    /// As [`Pool::tell`], of several.
    pub fn tell_all(&self, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            let urgency = if hint.is_urgent() {
                Urgency::High
            } else {
                Urgency::Normal
            };
            self.hints().lock().add(hint, urgency);
            if matches!(hint, Hint::JobReady | Hint::Drain) {
                self.hints().for_workers.notify_one();
            }
        }
        self.wake_teller();
    }

    /// Waits until this process has something to tell workers; at once if it had since the last time that somebody asked. A worker that
    /// sleeps does not hear hints.
    pub async fn told_workers(&self) {
        self.hints().for_workers.notified().await;
    }

    /// As [`Pool::tell_all`], of what nobody waits for: with the first hint that is told at once, or after some milliseconds.
    pub fn tell_soon(&self, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            self.hints().lock().add(hint, Urgency::Low);
        }
        self.wake_teller();
    }

    /// Starts the telling if there is none, or lets it look whether it may go on waiting.
    fn wake_teller(&self) {
        let mut state = self.hints().lock();
        if state.hints.is_empty() {
            return;
        }
        self.hints().hurry.notify_one();
        if !state.is_telling {
            state.is_telling = true;
            #[expect(
                clippy::disallowed_methods,
                reason = "it lives for moments, and the next hint starts another"
            )]
            let teller = tokio::spawn(run(self.clone()));
            state.teller = Some(teller);
        }
    }

    /// Waits, for a bounded time, until what was to be told is told.
    pub async fn told(&self) {
        let teller = self.hints().lock().teller.take();
        if let Some(teller) = teller {
            let _ = timeout(LAST_WORDS, teller).await;
        }
    }
}

async fn run(pool: Pool) {
    let _panics = IfItPanics(&pool);
    let mut failures = 0;
    // After a silence nothing waits that somebody might wait for.
    let mut told_before = Urgency::Low;
    loop {
        pool.hints().gather(told_before).await;
        let Some((hints, urgency)) = pool.hints().next() else {
            return;
        };
        told_before = urgency.max(Urgency::Normal);
        let told = within_time(TRY, async {
            let mut db = pool.acquire().await?;
            notify(&mut db, &hints).await?;
            db.release();
            Ok::<_, StoreError>(())
        });
        match told.await {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::debug!(%error, "cannot tell other processes");
                failures += 1;
                if failures < TRIES {
                    pool.hints().lock().hints.extend(hints);
                }
            }
        }
    }
}

/// Sends the notifications. Nobody waits for the disk: a crash of the server ends the listeners' sessions, and they look for themselves.
async fn notify(db: &mut Connection, hints: &[Hint]) -> Result<(), StoreError> {
    let (channels, payloads) = payloads::notifications(hints);
    let channels: Vec<String> = channels.into_iter().map(str::to_owned).collect();
    sqlx::query!(
        "select set_config('synchronous_commit', 'off', true), count(pg_notify(channel, payload))
         from unnest($1::text[], $2::text[]) as n (channel, payload)",
        &channels,
        &payloads
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

impl Hints {
    /// What to tell now, and how urgent it is; none, and the end of the telling, if there is nothing.
    fn next(&self) -> Option<(Vec<Hint>, Urgency)> {
        let mut state = self.lock();
        state.is_telling = !state.hints.is_empty();
        let urgency = std::mem::take(&mut state.urgency);
        state.is_telling.then(|| {
            (
                std::mem::take(&mut state.hints).into_iter().collect(),
                urgency,
            )
        })
    }

    /// Lets hints gather for a pause, or until there is one that is more urgent than what was told before; and longer while none is urgent at all.
    async fn gather(&self, told_before: Urgency) {
        if timeout(PAUSE, self.more_urgent(told_before)).await.is_err() {
            let _ = timeout(PATIENCE, self.more_urgent(Urgency::Low)).await;
        }
    }

    async fn more_urgent(&self, than: Urgency) {
        while self.lock().urgency <= than {
            self.hurry.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, hint: Hint, urgency: Urgency) {
        if self.hints.len() < MAX_HINTS {
            self.hints.insert(hint);
            self.urgency = self.urgency.max(urgency);
        }
    }
}

/// A telling that panics is over, so that the next hint starts another.
struct IfItPanics<'a>(&'a Pool);

impl Drop for IfItPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.hints().lock().is_telling = false;
        }
    }
}
