//! The database's clock, as far as a process knows it: by it a statement can say until when it may take effect.
//!
//! What was sent to a database that is frozen is read when it wakes, long after its sender has given up; the clock of another machine
//! would not do to tell.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

/// What the database's clock showed last, and when that was read here.
#[derive(Default)]
pub(crate) struct DbClock(Mutex<Option<(DateTime<Utc>, Instant)>>);

impl DbClock {
    /// The database has just said what time it is.
    pub(crate) fn observe(&self, time: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// What it shows after this time, or a little less; none if it was never read.
    pub(crate) fn after(&self, time: Duration) -> Option<DateTime<Utc>> {
        let (shown, read) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(shown + read.elapsed() + time)
    }
}
