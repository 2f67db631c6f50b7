//! The conversations that one socket follows, each with a task that hands on what it is told.

use std::{collections::HashMap, panic::AssertUnwindSafe};

use futures::FutureExt;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    frames::Close,
    queue::{Queue, relay},
};
use crate::live::subscription::Subscription;

/// Conversations that one socket may follow.
pub(super) const MAX_THREADS: usize = 32;

/// They are followed until this is dropped.
#[derive(Default)]
pub(super) struct Threads(HashMap<Uuid, AbortOnDropHandle<()>>);

impl Threads {
    pub(super) fn contains(&self, thread_id: Uuid) -> bool {
        self.0
            .get(&thread_id)
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Whether this one may be followed, besides the others.
    pub(super) fn has_room_for(&self, thread_id: Uuid) -> bool {
        let others = self
            .0
            .iter()
            .filter(|(id, thread)| **id != thread_id && !thread.is_finished());
        others.count() < MAX_THREADS
    }

    /// Follows a conversation; whoever followed it before for this socket ends.
    pub(super) fn follow(&mut self, thread_id: Uuid, follower: Subscription, queue: Queue) {
        self.0.retain(|_, thread| !thread.is_finished());
        #[expect(
            clippy::disallowed_methods,
            reason = "one conversation of one socket, which is closed if it fails"
        )]
        let thread = tokio::spawn(async move {
            let relay = relay(follower, thread_id, queue.clone());
            if AssertUnwindSafe(relay).catch_unwind().await.is_err() {
                queue.close(Close::Failed).await;
            }
        });
        self.0.insert(thread_id, AbortOnDropHandle::new(thread));
    }

    pub(super) fn forget(&mut self, thread_id: Uuid) {
        self.0.remove(&thread_id);
    }
}
