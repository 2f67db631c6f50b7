//! AG-UI events: what clients of a stream see of a run.
//!
//! Each is stored under (run, seq) before it is sent; seq counts from 1 without gaps. The types and their fields are AG-UI's,
//! unmodified.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::pending::PendingCall;

mod question;
pub mod too_large;
mod usage;

pub use usage::{TokenUsage, Usage};

/// Bytes of an event as JSON text, at most: whoever makes one keeps to it, so that a client of a socket can be sent any event in
/// one frame. What does not fit is shown shortened, and is whole in `GET …/runs/{id}`.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// The run began. Always the first.
    RunStarted {
        /// The conversation.
        thread_id: Uuid,
        /// The run.
        run_id: Uuid,
        /// The run that it goes on from: one that waited for a decision, or failed, or was cancelled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_run_id: Option<Uuid>,
        /// [`PROTOCOL_VERSION`]; none if an earlier version of ours told of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        protocol_version: Option<String>,
    },
    /// The model begins to talk.
    TextMessageStart {
        /// The message.
        message_id: Uuid,
        /// Always `assistant`.
        role: String,
    },
    /// More text.
    TextMessageContent {
        /// The message.
        message_id: Uuid,
        /// The text, never empty.
        delta: String,
    },
    /// The text is whole, or was cut short.
    TextMessageEnd {
        /// The message.
        message_id: Uuid,
    },
    /// The model asks for a tool.
    ToolCallStart {
        /// The call: its key as text.
        tool_call_id: String,
        /// The tool.
        tool_call_name: String,
    },
    /// Arguments of the call, as JSON text.
    ToolCallArgs {
        /// The call.
        tool_call_id: String,
        /// More of the text.
        delta: String,
    },
    /// The arguments are whole.
    ToolCallEnd {
        /// The call.
        tool_call_id: String,
    },
    /// What the tool returned.
    ToolCallResult {
        /// A message of its own.
        message_id: Uuid,
        /// The call.
        tool_call_id: String,
        /// The structured output as JSON text.
        content: String,
        /// Always `tool`.
        role: String,
    },
    /// The task list as it is now: `{"tasks": [...]}`.
    StateSnapshot {
        /// The state.
        snapshot: Value,
    },
    /// How the task list changed since: a JSON Patch (RFC 6902).
    StateDelta {
        /// The patch.
        delta: Value,
    },
    /// What AG-UI has no event for.
    Custom {
        /// What it is: one of ours begins with `errand.`.
        name: String,
        /// As the name has it.
        value: Value,
    },
    /// The run completed, was cancelled, or waits for a decision. Nothing follows.
    RunFinished {
        /// The conversation.
        thread_id: Uuid,
        /// The run.
        run_id: Uuid,
        /// How.
        outcome: RunOutcome,
        /// What its own calls of models took.
        #[serde(flatten)]
        usage: Usage,
    },
    /// The run failed. Nothing follows. Earlier versions also told so of one that was cancelled, with that code.
    RunError {
        /// For people.
        message: String,
        /// A stable code.
        code: String,
        /// What its own calls of models took.
        #[serde(flatten)]
        usage: Usage,
    },
}

/// The version of AG-UI that these events are of.
pub const PROTOCOL_VERSION: &str = "1.0";

/// How a run finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunOutcome {
    /// With a reply.
    Success,
    /// Somebody stopped it.
    Cancelled,
    /// It waits: the decision about these starts a run of its own.
    Interrupt {
        /// What is to be decided, all of it together.
        interrupts: Vec<Interrupt>,
    },
}

/// A tool call that needs approval, in AG-UI's form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Interrupt {
    /// What a decision names: the call's key as text.
    pub id: String,
    /// Always `tool_call`.
    pub reason: String,
    /// For people: what the call would do.
    pub message: String,
    /// The call, as the events name it.
    pub tool_call_id: String,
    /// JSON Schema of an answer.
    #[schema(value_type = Object)]
    pub response_schema: Value,
    /// `toolName` and `parameters` of the call, and what it would do: `task` (`id`, `title`), if it is about one, and `changes`
    /// (`field`, `old`, `new`), with long texts cut.
    #[schema(value_type = Object)]
    pub metadata: Value,
}

impl From<&PendingCall> for Interrupt {
    fn from(call: &PendingCall) -> Self {
        let id = call.key.to_string();
        let mut metadata = json!({"toolName": call.tool_name, "parameters": call.parameters});
        if let Some(effect) = &call.effect {
            if let Some(task) = &effect.task {
                metadata["task"] = json!(task);
            }
            metadata["changes"] = json!(effect.changes);
        }
        Self {
            reason: "tool_call".to_owned(),
            message: question::of(&call.tool_name, call.effect.as_ref()),
            tool_call_id: id.clone(),
            id,
            response_schema: json!({
                "type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"],
            }),
            metadata,
        }
    }
}

impl Event {
    /// The run began.
    #[must_use]
    pub fn run_started(thread_id: Uuid, run_id: Uuid, parent_run_id: Option<Uuid>) -> Self {
        Self::RunStarted {
            thread_id,
            run_id,
            parent_run_id,
            protocol_version: Some(PROTOCOL_VERSION.to_owned()),
        }
    }

    /// Tells in the last event of a run what the run took.
    pub fn set_usage(&mut self, took: Usage) {
        if let Self::RunFinished { usage, .. } | Self::RunError { usage, .. } = self {
            *usage = took;
        }
    }

    /// Whether nothing may follow.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::RunFinished { .. } | Self::RunError { .. })
    }
}

/// What the events of a run have left open: the next attempt, or the end of the run, closes it first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Open {
    /// The run has been announced.
    pub started: bool,
    /// A message without its end.
    pub message: Option<Uuid>,
    /// Calls without their end.
    pub calls: Vec<String>,
    /// Calls whose result was sent.
    pub answered: Vec<String>,
}

impl Open {
    /// Takes note of an event.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::RunStarted { .. } => self.started = true,
            // A run that failed and was requeued is announced again.
            Event::RunError { .. } => self.started = false,
            Event::TextMessageStart { message_id, .. } => self.message = Some(*message_id),
            Event::TextMessageEnd { .. } => self.message = None,
            Event::ToolCallStart { tool_call_id, .. } => self.calls.push(tool_call_id.clone()),
            Event::ToolCallEnd { tool_call_id } => self.calls.retain(|call| call != tool_call_id),
            Event::ToolCallResult { tool_call_id, .. } => self.answered.push(tool_call_id.clone()),
            _ => {}
        }
    }

    /// The events that close what is open; afterwards nothing is.
    pub fn close(&mut self) -> Vec<Event> {
        let mut closing = Vec::new();
        if let Some(message_id) = self.message.take() {
            closing.push(Event::TextMessageEnd { message_id });
        }
        closing.extend(
            std::mem::take(&mut self.calls)
                .into_iter()
                .map(|tool_call_id| Event::ToolCallEnd { tool_call_id }),
        );
        closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_look_as_ag_ui_has_them() {
        let event = Event::ToolCallStart {
            tool_call_id: "k".to_owned(),
            tool_call_name: "add_task".to_owned(),
        };
        let json = serde_json::to_value(&event).expect("plain data");
        assert_eq!(
            json,
            serde_json::json!({"type": "TOOL_CALL_START", "toolCallId": "k", "toolCallName": "add_task"})
        );
    }
}
