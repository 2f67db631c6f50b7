//! How long work waits before it is done, for who measures it.

use std::{sync::OnceLock, time::Duration};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A connection of the pool.
    Connection,
    /// The user's turn in this process, before a connection is taken.
    Turn,
    /// The user's lock in the database, with the round trip that takes it; of a transition that could not go with others, all of it.
    UserLock,
}

impl Wait {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Connection, Self::Turn, Self::UserLock];

    /// Its name, as a label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Turn => "turn",
            Self::UserLock => "user_lock",
        }
    }
}

type Observe = Box<dyn Fn(Wait, Duration) + Send + Sync>;

/// Who measures, if anybody.
#[derive(Default)]
pub(crate) struct Waits(OnceLock<Observe>);

impl Waits {
    /// The first one to say so measures.
    pub(crate) fn measured_by(&self, observe: Observe) {
        let _ = self.0.set(observe);
    }

    pub(crate) fn waited(&self, wait: Wait, took: Duration) {
        if let Some(observe) = self.0.get() {
            observe(wait, took);
        }
    }
}
