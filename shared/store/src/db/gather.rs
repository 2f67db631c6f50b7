//! How long a process gathers what it sends in sets, behind a set in which several went.
//!
//! A set costs Postgres as much to begin as two or three of its members: of the work of a crowd it takes a fifth less if the sets are twice as large
//! (`load --in-flight 128`). So who comes in a crowd waits a moment for company, and who comes alone never does.

use std::time::Duration;

/// For each that was together: at 32 in flight a longer time takes more than it brings.
const OF_EACH: Duration = Duration::from_micros(600);
/// At most: a turn waits for it up to five times.
const MOST: Duration = Duration::from_millis(10);

/// How long what comes is gathered behind so many that went in one set, or that were at work at the same time: 10 ms at most, not at all behind one.
#[must_use]
pub fn gather_after(together: usize) -> Duration {
    match u32::try_from(together) {
        Ok(0 | 1) => Duration::ZERO,
        Ok(together) => OF_EACH.saturating_mul(together).min(MOST),
        Err(_) => MOST,
    }
}
