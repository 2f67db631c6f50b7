//! Who wants to hear that a user's tasks changed: each socket, and each stream of a run, told soon and never waited for.
//!
//! What is told is that something changed, and nothing of it: whoever hears it reads the rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_core::hints::{Owner, TaskChange};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// One socket or stream is told no more often than this; what changes meanwhile is told together. It is the larger part of the 100 ms in
/// which a change is heard of, however many came before it.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets and streams of this process, by user.
#[derive(Default)]
pub(crate) struct TaskWatch(Mutex<HashMap<Owner, Watchers>>);

/// Those of one user: streams by their run, which hear of it from others only; sockets hear of everything.
type Watchers = HashMap<Option<Uuid>, watch::Sender<()>>;

/// A place among those who hear, until it is dropped.
pub(crate) struct Watching {
    watch: Arc<TaskWatch>,
    owner: Owner,
    run_id: Option<Uuid>,
    changes: watch::Receiver<()>,
    quiet_until: Instant,
}

impl TaskWatch {
    /// Hears of this user's changes from now on.
    pub(crate) fn watch(self: &Arc<Self>, user_id: &str) -> Watching {
        self.enter(user_id, None)
    }

    /// Hears of this user's changes from now on, but of those that this run makes: its events tell of them.
    pub(crate) fn watch_beside(self: &Arc<Self>, user_id: &str, run_id: Uuid) -> Watching {
        self.enter(user_id, Some(run_id))
    }

    fn enter(self: &Arc<Self>, user_id: &str, run_id: Option<Uuid>) -> Watching {
        let owner = Owner::of(user_id);
        let mut users = self.lock();
        let sender = users.entry(owner).or_default().entry(run_id).or_default();
        Watching {
            watch: Arc::clone(self),
            owner,
            run_id,
            changes: sender.subscribe(),
            quiet_until: Instant::now(),
        }
    }

    /// Tasks changed.
    pub(crate) fn hear_of(&self, change: TaskChange) {
        if let Some(user) = self.lock().get(&change.owner) {
            let concerned = user
                .iter()
                .filter(|(run_id, _)| run_id.is_none() || **run_id != change.run_id);
            concerned.for_each(|(_, watchers)| watchers.send_replace(()));
        }
    }

    /// Anything may have been missed.
    pub(crate) fn hear_of_all(&self) {
        for watchers in self.lock().values().flat_map(HashMap::values) {
            watchers.send_replace(());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Watchers>> {
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
        let Some(user) = users.get_mut(&self.owner) else {
            return;
        };
        // This one is still counted.
        if user
            .get(&self.run_id)
            .is_some_and(|watchers| watchers.receiver_count() <= 1)
        {
            user.remove(&self.run_id);
        }
        if user.is_empty() {
            users.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    async fn hears(watching: &mut Watching) -> bool {
        timeout(PAUSE * 2, watching.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_run_hears_of_others_and_a_socket_of_everything() {
        let watch = Arc::new(TaskWatch::default());
        let (run, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut socket = watch.watch("ada");
        let mut stream = watch.watch_beside("ada", run);
        let mut bobs = watch.watch("bob");
        for (run_id, is_heard) in [(Some(run), false), (Some(other), true), (None, true)] {
            let owner = Owner::of("ada");
            watch.hear_of(TaskChange { owner, run_id });
            assert!(hears(&mut socket).await, "{run_id:?}");
            assert_eq!(hears(&mut stream).await, is_heard, "{run_id:?}");
        }
        assert!(!hears(&mut bobs).await);
        watch.hear_of_all();
        assert!(hears(&mut bobs).await);
        drop((socket, stream, bobs));
        assert!(watch.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_was_told_just_now_is_told_again_in_a_moment() {
        let watch = Arc::new(TaskWatch::default());
        let mut socket = watch.watch("ada");
        let change = TaskChange {
            owner: Owner::of("ada"),
            run_id: None,
        };
        watch.hear_of(change);
        socket.changed().await;
        let told = Instant::now();
        for _ in 0..3 {
            watch.hear_of(change);
        }
        socket.changed().await;
        assert!(told.elapsed() >= PAUSE);
        assert!(!hears(&mut socket).await, "it was told together");
    }
}
