//! Calls that wait for their user's decision, and what they would do.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::CallKey;

/// A call that needs approval.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingCall {
    /// Its key in the run that waits.
    pub key: CallKey,
    /// The tool.
    pub tool_name: String,
    /// The arguments as the model gave them.
    pub parameters: Value,
    /// What it would do; none if an earlier version asked.
    pub effect: Option<Effect>,
}

/// What a call would do, as it is when its user is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// The task that it is about, if there is one.
    pub task: Option<Subject>,
    /// What would become of its fields, or what those of a new task would be.
    pub changes: Vec<FieldChange>,
}

/// A task that a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
}

/// What would become of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// What it is; null if it is empty.
    pub old: Value,
    /// What it would be; null if it would be emptied.
    pub new: Value,
}
