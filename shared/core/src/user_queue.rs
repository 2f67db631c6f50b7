//! Queues by user: of one user's work this process does only so much at a time, and the rest waits in memory.
//!
//! What a user's own work would wait for anyway (a lock, a slow query) it waits for here, before it takes a connection, a
//! buffer or anything else that others need. So one user's crowd costs the others nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much may be done and may wait.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What is done for one user at the same time; at least 1.
    pub at_once: usize,
    /// What may wait behind that, of one user.
    pub waiting_of_one: usize,
    /// What may wait or be done in this process, of all users.
    pub total: usize,
    /// How long it may wait.
    pub patience: Duration,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// Too much of this user's own waits already, or it has waited for too long.
    #[error("too many requests of one user at the same time")]
    OfUser,
    /// Too much waits in this process.
    #[error("too many requests at the same time")]
    OfProcess,
}

/// The queues of one kind of work. Holds nothing about a user who has nothing here.
#[derive(Debug)]
pub struct UserQueue {
    bounds: Bounds,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    users: HashMap<String, Queue>,
    total: usize,
}

#[derive(Debug)]
struct Queue {
    turns: Arc<Semaphore>,
    members: usize,
}

/// A user's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    permit: Option<OwnedSemaphorePermit>,
    queue: &'a UserQueue,
    user_id: &'a str,
}

impl UserQueue {
    /// No queues yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            queues: Mutex::default(),
        }
    }

    /// Waits for the user's turn, in order of arrival.
    ///
    /// # Errors
    /// There is no place, or the turn did not come in time.
    pub async fn enter<'a>(&'a self, user_id: &'a str) -> Result<Turn<'a>, Crowded> {
        let turns = self.join(user_id)?;
        // From here on the place is given up however this ends.
        let mut turn = Turn {
            permit: None,
            queue: self,
            user_id,
        };
        match tokio::time::timeout(self.bounds.patience, turns.acquire_owned()).await {
            Ok(Ok(permit)) => turn.permit = Some(permit),
            Ok(Err(_)) | Err(_) => return Err(Crowded::OfUser),
        }
        Ok(turn)
    }

    fn join(&self, user_id: &str) -> Result<Arc<Semaphore>, Crowded> {
        let Bounds {
            at_once,
            waiting_of_one,
            total,
            ..
        } = self.bounds;
        let mut queues = self.lock();
        if queues.total >= total {
            return Err(Crowded::OfProcess);
        }
        let queue = queues
            .users
            .entry(user_id.to_owned())
            .or_insert_with(|| Queue {
                turns: Arc::new(Semaphore::new(at_once)),
                members: 0,
            });
        // Whoever finds an empty queue is let in, so no queue without members stays behind.
        if queue.members >= at_once + waiting_of_one {
            return Err(Crowded::OfUser);
        }
        queue.members += 1;
        let turns = Arc::clone(&queue.turns);
        queues.total += 1;
        Ok(turns)
    }

    fn leave(&self, user_id: &str) {
        let mut queues = self.lock();
        queues.total -= 1;
        if let Some(queue) = queues.users.get_mut(user_id) {
            queue.members -= 1;
            if queue.members == 0 {
                queues.users.remove(user_id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Turn<'a> {
    /// Whose turn it is.
    pub fn user_id(&self) -> &'a str {
        self.user_id
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // First the turn, then the place: the queue is still there for who is next.
        self.permit.take();
        self.queue.leave(self.user_id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn queue(patience: Duration) -> UserQueue {
        UserQueue::new(Bounds {
            at_once: 2,
            waiting_of_one: 1,
            total: 5,
            patience,
        })
    }

    #[tokio::test]
    async fn a_user_fills_their_own_queue_and_no_other() {
        let queue = queue(Duration::from_secs(60));
        let held = (
            queue.enter("ada").await.unwrap(),
            queue.enter("ada").await.unwrap(),
        );
        let third = queue.enter("ada");
        tokio::pin!(third);
        assert!(timeout(Duration::ZERO, &mut third).await.is_err());
        assert_eq!(queue.enter("ada").await.unwrap_err(), Crowded::OfUser);
        let other = queue.enter("bob").await.unwrap();
        assert_eq!(other.user_id(), "bob");
        let last = queue.enter("eve").await.unwrap();
        assert_eq!(queue.enter("joe").await.unwrap_err(), Crowded::OfProcess);
        drop(held);
        drop(third.await.unwrap());
        drop((other, last));
        assert!(queue.lock().users.is_empty());
        assert_eq!(queue.lock().total, 0);
    }

    #[tokio::test]
    async fn who_waits_for_too_long_or_gives_up_leaves_no_trace() {
        let queue = queue(Duration::from_millis(10));
        let held = (
            queue.enter("ada").await.unwrap(),
            queue.enter("ada").await.unwrap(),
        );
        assert_eq!(queue.enter("ada").await.unwrap_err(), Crowded::OfUser);
        {
            let given_up = timeout(Duration::ZERO, queue.enter("ada"));
            assert!(given_up.await.is_err());
        }
        drop(held);
        assert!(queue.lock().users.is_empty());
        assert_eq!(queue.lock().total, 0);
    }
}
