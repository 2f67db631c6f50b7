//! How long a process gathers what it sends in sets, behind a set in which several went.
//!
//! A set costs Postgres as much to begin as two or three of its members: of the work of a crowd it takes a fifth less if the sets are twice as large
//! (`load --in-flight 128`). So who comes in a crowd waits a moment for company, and who comes alone never does.

use std::time::Duration;

/// For each that went with the last set: at 32 in flight a longer time takes more than it brings.
const OF_EACH: Duration = Duration::from_micros(600);
/// At most: a turn waits for it up to five times.
const MOST: Duration = Duration::from_millis(10);

/// How long what comes is gathered behind a set of so many.
#[must_use]
pub fn gather_after(sent: usize) -> Duration {
    if sent < 2 {
        return Duration::ZERO;
    }
    u32::try_from(sent).map_or(MOST, |sent| (OF_EACH * sent).min(MOST))
}
