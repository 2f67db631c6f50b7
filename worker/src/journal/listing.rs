//! The task list as those who follow a run are shown it: as the change itself tells it, or else read behind that, beside what the run goes on to do.
//! Clients are told of it before what the model says to the change.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use errand_core::events::Event;
use errand_store::{
    self as store, Pool,
    tasks::{self, Task},
};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::telling;
use crate::publisher::RunStream;

/// Tells of the list of one run's user: whole the first time, then only what changed.
pub(super) struct TaskListing(Arc<Shared>);

struct Shared {
    pool: Pool,
    user_id: String,
    stream: Arc<RunStream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The list as clients have it, once they have it.
    told: Option<Value>,
    /// It has changed since it was last read.
    is_stale: bool,
    is_reading: bool,
    /// What is told behind the list that is being read.
    behind: Vec<Event>,
    /// Reads, until it is stale no more.
    reader: Option<AbortOnDropHandle<()>>,
}

impl TaskListing {
    pub(super) fn new(pool: Pool, user_id: String, stream: Arc<RunStream>) -> Self {
        Self(Arc::new(Shared {
            pool,
            user_id,
            stream,
            state: Mutex::default(),
        }))
    }

    /// The list has changed: clients are told soon. Nobody waits for it, and changes meanwhile are told of together.
    pub(super) fn changed(&self) {
        let mut state = self.0.state();
        state.is_stale = true;
        if !mem::replace(&mut state.is_reading, true) {
            #[expect(
                clippy::disallowed_methods,
                reason = "a read that ends with the journal; a client that misses it looks at the list itself"
            )]
            let reader = tokio::spawn(read(Arc::clone(&self.0)));
            state.reader = Some(AbortOnDropHandle::new(reader));
        }
    }

    /// The list has changed, and is this now.
    pub(super) fn is(&self, list: &[Task]) {
        if self.0.state().is_reading {
            // What is being read may be older or newer.
            self.changed();
        } else {
            self.0.tell(Some(telling::task_list(list)));
        }
    }

    /// Streams an event behind the changes so far.
    pub(super) fn push_behind(&self, event: Event) {
        let mut state = self.0.state();
        if state.is_reading {
            // For as long as one statement may take, and no more than an answer may have.
            state.behind.push(event);
        } else {
            self.0.stream.push(event);
        }
    }

    /// Waits until clients are told of the changes so far, as long as one statement may take.
    pub(super) async fn told(&self) {
        let reader = self.0.state().reader.take();
        if let Some(reader) = reader {
            let _ = reader.await;
        }
        // Whoever waited here before may have gone, and the reader with them.
        self.0.read_no_more(&mut self.0.state());
    }
}

impl Drop for TaskListing {
    fn drop(&mut self) {
        self.0.state().reader = None;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is to be read.
    fn take_stale(&self) -> bool {
        mem::take(&mut self.state().is_stale)
    }

    /// Tells of the list, if it could be read and is as it was read. Returns whether it is, and the reading over.
    fn tell(&self, list: Option<Value>) -> bool {
        let mut state = self.state();
        if state.is_stale {
            return false;
        }
        // A client that misses it looks at the list itself.
        if let Some(list) = list {
            let before = state.told.replace(list.clone());
            self.stream
                .push(telling::tasks_event(before.as_ref(), list));
        }
        self.read_no_more(&mut state);
        true
    }

    fn read_no_more(&self, state: &mut State) {
        state.is_reading = false;
        for event in state.behind.drain(..) {
            self.stream.push(event);
        }
    }
}

async fn read(shared: Arc<Shared>) {
    let mut list = None;
    while shared.take_stale() || !shared.tell(list.take()) {
        let listed = store::within(tasks::live(&shared.pool, &shared.user_id)).await;
        list = listed.ok().map(|tasks| telling::task_list(&tasks));
    }
}
