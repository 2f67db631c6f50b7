//! Lanes: what many ask of the database at the same moment is one statement and one commit.
//!
//! A transition that finds its lane empty goes at once. What comes while it is under way waits, and goes together behind it; behind a set of several
//! what comes is gathered for a moment (`gather`). So nobody waits who comes alone, and the more there is to do the less each costs. A transition
//! that cannot go with others, because the database refuses it or somebody holds a lock that it needs, is made again alone, outside the lane.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use errand_core::user_queue::Crowded;
use serde::Serialize;
use tokio::{
    sync::{Notify, oneshot},
    time,
};

use super::{gather::gather_after, waits::Wait};
use crate::{Connection, Pool, StoreError, lifecycle, tasks, within};

/// Transitions that go together, at most: each holds its locks until all are made, and has a subtransaction, of which a server's process
/// remembers 64 cheaply.
const MAX_ROWS: usize = 32;
/// Bytes of what goes together; more only if one alone has more.
const MAX_BYTES: usize = 1024 * 1024;
/// Transitions that wait, at most.
const MAX_WAITING: usize = 20_000;

/// What came of rows, by their places from 1; none of one that is to be made alone.
pub(crate) type Answers<A> = Vec<(i64, Option<A>)>;

/// A transition that is made for many runs in one round trip.
pub(crate) trait Transition: Send + Sized + 'static {
    /// What comes of it.
    type Answer: Send;

    /// Sends rows, a JSON array, to the routine. If it is `patient`, locks are waited for, and an error of one is an error of all.
    fn send(
        db: &mut Connection,
        rows: &str,
        is_patient: bool,
    ) -> impl Future<Output = Result<Answers<Self::Answer>, StoreError>> + Send;

    /// What came of one about which the routine says nothing; none if it is to be made alone.
    fn unsaid() -> Option<Self::Answer> {
        None
    }

    /// The lane on which it goes.
    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>>;
}

/// The lanes of a process to one database.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) accept: Arc<Lane<lifecycle::Accept>>,
    pub(crate) step: Arc<Lane<lifecycle::Step>>,
    pub(crate) call: Arc<Lane<lifecycle::tool_call::Make>>,
    pub(crate) live: Arc<Lane<tasks::Live>>,
    pub(crate) pages: Arc<Lane<tasks::Pages>>,
    pub(crate) complete: Arc<Lane<lifecycle::Complete>>,
    pub(crate) read: Arc<Lane<lifecycle::Read>>,
}

/// What waits for the statement that is under way.
pub(crate) struct Lane<T: Transition> {
    state: Mutex<State<T>>,
    /// Rung when as many wait as go together.
    full: Notify,
}

struct State<T: Transition> {
    waiting: VecDeque<Waiting<T>>,
    is_under_way: bool,
}

struct Waiting<T: Transition> {
    row: String,
    tell: oneshot::Sender<Came<T>>,
}

/// What came of a transition on its lane.
enum Came<T: Transition> {
    Made(T::Answer),
    /// Nothing: it is to be made alone.
    Alone(String),
    /// Perhaps nothing.
    Failed(StoreError),
}

impl<T: Transition> Default for Lane<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                is_under_way: false,
            }),
            full: Notify::new(),
        }
    }
}

/// Makes a transition: together with those of the same kind that come at the same moment, or alone. The row is named as its routine has it.
///
/// # Errors
/// The database failed, and whether it was made is unknown; or it was refused, as it would be alone.
pub(crate) async fn make<T: Transition>(
    pool: &Pool,
    row: &impl Serialize,
) -> Result<T::Answer, StoreError> {
    let row = serde_json::to_string(row)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
    let (tell, told) = oneshot::channel();
    let lane = T::lane(pool.lanes());
    if lane.wait(Waiting { row, tell })? {
        #[expect(
            clippy::disallowed_methods,
            reason = "it lives for moments, and whoever finds the lane empty starts another"
        )]
        tokio::spawn(run(Arc::clone(lane), pool.clone()));
    }
    match told.await {
        Ok(Came::Made(answer)) => Ok(answer),
        Ok(Came::Alone(row)) => alone::<T>(pool, &row).await,
        Ok(Came::Failed(error)) => Err(error),
        // What sent it has panicked.
        Err(_) => Err(StoreError::Database(sqlx::Error::WorkerCrashed)),
    }
}

/// Makes one transition, whatever others do.
async fn alone<T: Transition>(pool: &Pool, row: &str) -> Result<T::Answer, StoreError> {
    let mut db = pool.acquire().await?;
    let begun = Instant::now();
    let answered = T::send(&mut db, &format!("[{row}]"), true).await;
    pool.waited(Wait::UserLock, begun);
    let answer = db
        .done(answered)?
        .pop()
        .map_or_else(T::unsaid, |(_, answer)| answer);
    answer.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
}

/// Sends what waits until nothing does.
async fn run<T: Transition>(lane: Arc<Lane<T>>, pool: Pool) {
    let _panics = IfItPanics(&lane);
    while let Some(set) = lane.next() {
        let sent = set.len();
        send(&pool, set).await;
        lane.gather(sent).await;
    }
}

async fn send<T: Transition>(pool: &Pool, set: Vec<Waiting<T>>) {
    let rows: Vec<&str> = set.iter().map(|one| one.row.as_str()).collect();
    let rows = format!("[{}]", rows.join(","));
    let answered = within(async {
        let mut db = pool.acquire().await?;
        let answered = T::send(&mut db, &rows, false).await;
        db.done(answered)
    });
    match answered.await {
        Ok(answered) => {
            let mut answers: Vec<Option<T::Answer>> = set.iter().map(|_| T::unsaid()).collect();
            for (place, answer) in answered {
                let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
                if let Some(slot) = answers.get_mut(place) {
                    *slot = answer;
                }
            }
            for (one, answer) in set.into_iter().zip(answers) {
                one.came(answer);
            }
        }
        // The set as a whole, such as a text that the database cannot hold: who is to blame turns out when each goes alone.
        Err(error) if !error.is_outage() => set.into_iter().for_each(|one| one.came(None)),
        Err(error) => {
            if error.is_of_unknown_outcome() {
                pool.lost_one();
            }
            let error = Arc::new(error);
            for one in set {
                let _ = one
                    .tell
                    .send(Came::Failed(StoreError::OfAll(Arc::clone(&error))));
            }
        }
    }
}

impl<T: Transition> Waiting<T> {
    /// Tells who waits; if they are gone, nobody needs to know.
    fn came(self, answer: Option<T::Answer>) {
        let _ = self.tell.send(match answer {
            Some(answer) => Came::Made(answer),
            None => Came::Alone(self.row),
        });
    }
}

impl<T: Transition> Lane<T> {
    /// Takes a place. True if nothing is under way, so that the caller has to send.
    fn wait(&self, one: Waiting<T>) -> Result<bool, StoreError> {
        let mut state = self.lock();
        if state.waiting.len() >= MAX_WAITING {
            return Err(Crowded::OfProcess.into());
        }
        state.waiting.push_back(one);
        if state.waiting.len() == MAX_ROWS {
            self.full.notify_waiters();
        }
        Ok(!std::mem::replace(&mut state.is_under_way, true))
    }

    /// What goes now, without those whose callers have given up; none, and the lane is empty, if nothing waits.
    fn next(&self) -> Option<Vec<Waiting<T>>> {
        let mut state = self.lock();
        let (mut set, mut bytes) = (Vec::new(), 0);
        while set.len() < MAX_ROWS
            && let Some(one) = state.waiting.pop_front()
        {
            if one.tell.is_closed() {
                continue;
            }
            bytes += one.row.len();
            if bytes > MAX_BYTES && !set.is_empty() {
                state.waiting.push_front(one);
                break;
            }
            set.push(one);
        }
        state.is_under_way = !set.is_empty();
        state.is_under_way.then_some(set)
    }

    /// Waits behind a set of so many for what goes together next; not for more than do.
    async fn gather(&self, sent: usize) {
        let pause = gather_after(sent);
        // Whoever rings from here on is heard.
        let full = self.full.notified();
        if !pause.is_zero() && self.lock().waiting.len() < MAX_ROWS {
            let _ = time::timeout(pause, full).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sender that panics leaves a lane on which others can go.
struct IfItPanics<'a, T: Transition>(&'a Lane<T>);

impl<T: Transition> Drop for IfItPanics<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.lock();
            state.is_under_way = false;
            // They are told that it failed.
            state.waiting.clear();
        }
    }
}
