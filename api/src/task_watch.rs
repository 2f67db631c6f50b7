//! Who wants to hear that a user's tasks changed: each socket, told now and then and never waited for.
//!
//! What is told is that something changed, and nothing of it: whoever hears it reads the rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::hints::Owner;
use tokio::{sync::watch, time::Instant};

/// One socket is told no more often than this; what changes meanwhile is told together.
const PAUSE: Duration = Duration::from_millis(300);

/// The sockets of this process, by user.
#[derive(Default)]
pub(crate) struct TaskWatch(Mutex<HashMap<Owner, watch::Sender<()>>>);

/// A place among those who hear, until it is dropped.
pub(crate) struct Watching {
    watch: Arc<TaskWatch>,
    owner: Owner,
    changes: watch::Receiver<()>,
    quiet_until: Instant,
}

impl TaskWatch {
    /// Hears of this user's changes from now on.
    pub(crate) fn watch(self: &Arc<Self>, user_id: &str) -> Watching {
        let owner = Owner::of(user_id);
        let changes = self.lock().entry(owner).or_default().subscribe();
        Watching {
            watch: Arc::clone(self),
            owner,
            changes,
            quiet_until: Instant::now(),
        }
    }

    /// The tasks of this user changed.
    pub(crate) fn hear_of(&self, owner: Owner) {
        if let Some(user) = self.lock().get(&owner) {
            user.send_replace(());
        }
    }

    /// Anything may have been missed.
    pub(crate) fn hear_of_all(&self) {
        for user in self.lock().values() {
            user.send_replace(());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    /// Waits for a change that has not been told, and until it may be. Given up in between it loses nothing.
    pub(crate) async fn changed(&mut self) {
        tokio::time::sleep_until(self.quiet_until).await;
        if self.changes.changed().await.is_err() {
            // The sender lives as long as this place.
            std::future::pending().await
        }
        self.quiet_until = Instant::now() + PAUSE;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut users = self.watch.lock();
        // This one is still counted.
        if users
            .get(&self.owner)
            .is_some_and(|user| user.receiver_count() <= 1)
        {
            users.remove(&self.owner);
        }
    }
}
