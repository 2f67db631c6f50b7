//! The bulkhead: of one user's messages this process accepts one at a time.
//!
//! The database makes acceptance serial for each user anyway. Waiting for that here and not on a connection keeps a
//! user's herd from holding all connections, so that the others go by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// How long a message may wait behind others of its user; a platform's router gives up after 30 s.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages that may wait in this process, of all users.
const MAX_IN_LINE: usize = 20_000;
/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who is in line. Holds nothing about a user who is not.
#[derive(Default)]
pub(crate) struct Bulkhead(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    users: HashMap<String, Line>,
    waiting: usize,
}

struct Line {
    turn: Arc<Semaphore>,
    waiting: usize,
}

/// A user's turn, until it is dropped.
pub(crate) struct Turn<'a> {
    permit: Option<OwnedSemaphorePermit>,
    bulkhead: &'a Bulkhead,
    user_id: &'a str,
}

impl Bulkhead {
    /// Waits for the user's turn.
    ///
    /// # Errors
    /// 429 if too many of the user's messages came before; 503 if too many messages wait here.
    pub(crate) async fn enter<'a>(&'a self, user_id: &'a str) -> Result<Turn<'a>, ApiError> {
        let turn = self.join(user_id)?;
        // From here on the place is given up however this ends.
        let mut place = Turn {
            permit: None,
            bulkhead: self,
            user_id,
        };
        let Ok(Ok(permit)) = tokio::time::timeout(PATIENCE, turn.acquire_owned()).await else {
            let message = "Too many messages at the same time.".to_owned();
            return Err(ApiError::rate_limited(message, RETRY_AFTER));
        };
        place.permit = Some(permit);
        Ok(place)
    }

    fn join(&self, user_id: &str) -> Result<Arc<Semaphore>, ApiError> {
        let mut lines = self.lock();
        if lines.waiting >= MAX_IN_LINE {
            return Err(ApiError::unavailable("Too many messages at the same time."));
        }
        lines.waiting += 1;
        let line = lines
            .users
            .entry(user_id.to_owned())
            .or_insert_with(|| Line {
                turn: Arc::new(Semaphore::new(1)),
                waiting: 0,
            });
        line.waiting += 1;
        Ok(Arc::clone(&line.turn))
    }

    fn leave(&self, user_id: &str) {
        let mut lines = self.lock();
        lines.waiting -= 1;
        if let Some(line) = lines.users.get_mut(user_id) {
            line.waiting -= 1;
            if line.waiting == 0 {
                lines.users.remove(user_id);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // First the turn, then the place: the line is still there for who is next.
        self.permit.take();
        self.bulkhead.leave(self.user_id);
    }
}
