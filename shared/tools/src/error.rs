//! A tool's errors, as the model reads them: a type, a short message, what would be valid.

use serde_json::{Value, json};

/// Characters of a message.
const MAX_MESSAGE: usize = 220;

/// The call was understood and could not be done.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError {
    kind: &'static str,
    message: String,
    details: Value,
}

impl ToolError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: "invalid_parameters",
            message: message.into(),
            details: json!({}),
        }
    }

    pub(super) fn task_not_found(task_id: impl ToString) -> Self {
        Self {
            kind: "resource_not_found",
            message: "No task with this task_id is on the list; find it with list_tasks, a deleted one in its view deleted."
                .to_owned(),
            details: json!({"task_id": task_id.to_string()}),
        }
    }

    pub(super) fn task_is_deleted(task_id: impl ToString) -> Self {
        Self {
            kind: "resource_not_found",
            message: "This task was deleted. update_task with restore: true brings it back first."
                .to_owned(),
            details: json!({"task_id": task_id.to_string(), "deleted": true}),
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self {
            kind: "unauthorized_access",
            message: "user_id is not the authenticated user.".to_owned(),
            details: json!({}),
        }
    }

    pub(super) fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// With one detail more.
    pub(super) fn with_detail(mut self, name: &str, value: Value) -> Self {
        if let Some(details) = self.details.as_object_mut() {
            details.insert(name.to_owned(), value);
        }
        self
    }

    /// The message, for people and models.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// More about it: the field, what would be valid.
    #[must_use]
    pub fn details(&self) -> &Value {
        &self.details
    }

    /// The structured output of a call that failed.
    pub(super) fn to_json(&self) -> Value {
        let message: String = self.message.chars().take(MAX_MESSAGE).collect();
        json!({"success": false, "error": {"type": self.kind, "message": message, "details": self.details}})
    }
}
