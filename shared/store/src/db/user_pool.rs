//! A pool that is entered by user: work for a user waits for that user's turn first, and takes a connection only then.
//!
//! The user's lock is taken here and nowhere else, so nothing of one user can hold the connections that others need
//! while it waits for that lock.

use std::time::Instant;

use errand_core::user_queue::{Bounds, Crowded, Turn, UserQueue};

use super::{isolation, waits::Wait};
use crate::{Pool, StoreError, Transaction, lifecycle};

/// A pool and the queue in front of it.
#[derive(Debug)]
pub struct UserPool {
    pool: Pool,
    queue: UserQueue,
}

/// A user's turn at the pool, until it is dropped.
#[derive(Debug)]
pub struct UserTurn<'a> {
    pool: &'a Pool,
    turn: Turn<'a>,
}

impl UserPool {
    /// As many connections of the pool for each user as `bounds` has turns at once.
    pub fn new(pool: Pool, bounds: Bounds) -> Self {
        Self {
            pool,
            queue: UserQueue::new(bounds),
        }
    }

    /// Waits for the user's turn; takes no connection yet. The wait is bounded by the queue, and what is done then has to be
    /// bounded by [`crate::within`].
    ///
    /// # Errors
    /// There is no place.
    pub async fn enter<'a>(&'a self, user_id: &'a str) -> Result<UserTurn<'a>, Crowded> {
        let begun = Instant::now();
        let turn = self.queue.enter(user_id).await;
        self.pool.waited(Wait::Turn, begun);
        let turn = turn?;
        Ok(UserTurn {
            pool: &self.pool,
            turn,
        })
    }
}

impl UserTurn<'_> {
    /// The pool, for work of one statement.
    pub(crate) fn pool(&self) -> &Pool {
        self.pool
    }

    /// Begins a transaction that acts for the user.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        isolation::begin_for(self.pool, self.turn.user_id()).await
    }

    /// Begins a transaction that acts for the user and holds the user's lock: acceptance, admission and limits of one user
    /// are serial, across all processes.
    ///
    /// # Errors
    /// The database is unreachable, or the lock was not free within 4 s.
    pub async fn lock(&self) -> Result<Transaction, StoreError> {
        let mut tx = self.pool.begin().await?;
        let begun = Instant::now();
        let locked = lifecycle::lock_user(&mut tx, self.turn.user_id()).await;
        self.pool.waited(Wait::UserLock, begun);
        locked?;
        Ok(tx)
    }
}
