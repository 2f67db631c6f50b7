//! Identifiers: UUIDv7 for rows, and the key of a tool call.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A new row id. UUIDv7 (RFC 9562): ids made later sort later, which keeps indexes compact.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Names one tool call for ever: the run, the step (the model's answer, from 1) and the call's place in it (from 0).
///
/// Unlike the model's own call id it stays the same when a worker dies and another repeats the call, which is
/// what makes the effect happen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallKey {
    /// The run.
    pub run_id: Uuid,
    /// The step within the run, from 1.
    pub step: i32,
    /// The call within the step, from 0.
    pub ordinal: i32,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run_id, self.step, self.ordinal)
    }
}
