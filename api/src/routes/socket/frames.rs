//! The frames of the socket: what a client may say, and what it is told.

use std::collections::HashMap;

use errand_core::json::{self, KeyError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{accept::OnBusy, body, error::ApiError, live::subscription::Delivery};

/// Why a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    Malformed = 4400,
    Unauthenticated = 4401,
    TooMany = 4429,
    TooBig = 1009,
    Failed = 1011,
    Restart = 1012,
    TooSlow = 1013,
}

/// A frame of the client.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) method: String,
    #[serde(default)]
    pub(super) params: Value,
    /// Why it is to be refused, though it is clear which call it is.
    #[serde(skip)]
    pub(super) ambiguous: Option<KeyError>,
    /// Of its frame.
    #[serde(skip)]
    pub(super) bytes: usize,
}

impl Call {
    /// A call; none if it cannot be said which.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let ambiguous = json::check_keys(text).err();
        let call: Self = serde_json::from_str(text).ok()?;
        Some(Self {
            ambiguous,
            bytes: text.len(),
            ..call
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RunStart {
    pub(super) message: String,
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    pub(super) thread_id: Option<Uuid>,
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    pub(super) run_id: Option<Uuid>,
    #[serde(default)]
    pub(super) on_busy: OnBusy,
    #[serde(default)]
    pub(super) time_zone: Option<String>,
    /// The model is to give the conversation that this message begins a title.
    #[serde(default)]
    pub(super) auto_title: bool,
    /// The turn is to wait for a decision before it deletes a task.
    #[serde(default)]
    pub(super) ask_before_deleting: bool,
    /// The model that is to answer, where the installation allows a choice.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// Where the turn belongs to in a trace of the client (W3C Trace Context).
    #[serde(default)]
    pub(super) traceparent: Option<String>,
}

impl RunStart {
    /// The options as the message's metadata has them; none if there are none.
    pub(super) fn metadata(&self) -> Option<Value> {
        let options = [
            ("auto_title", self.auto_title),
            ("ask_before_deleting", self.ask_before_deleting),
        ];
        let options = options.into_iter().filter(|(_, is_wanted)| *is_wanted);
        let mut options: Map<String, Value> = options
            .map(|(name, _)| (name.to_owned(), Value::Bool(true)))
            .collect();
        if let Some(model) = &self.model {
            options.insert("model".to_owned(), Value::from(model.as_str()));
        }
        (!options.is_empty()).then_some(Value::Object(options))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subscribe {
    #[serde(deserialize_with = "body::uuid")]
    pub(super) thread_id: Uuid,
    pub(super) after: Option<AfterParams>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AfterParams {
    #[serde(deserialize_with = "body::uuid")]
    pub(super) run_id: Uuid,
    pub(super) seq: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Thread {
    #[serde(deserialize_with = "body::uuid")]
    pub(super) thread_id: Uuid,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RunRef {
    #[serde(deserialize_with = "body::uuid")]
    pub(super) run_id: Uuid,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RunDecide {
    #[serde(deserialize_with = "body::uuid")]
    pub(super) run_id: Uuid,
    #[serde(default)]
    pub(super) approve: Option<bool>,
    #[serde(default)]
    pub(super) decisions: Option<HashMap<String, bool>>,
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    pub(super) new_run_id: Option<Uuid>,
    #[serde(default)]
    pub(super) time_zone: Option<String>,
    #[serde(default)]
    pub(super) traceparent: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RunRetry {
    pub(super) run_id: Uuid,
    /// The run that is to go on; made by the client, it is also the idempotency key.
    #[serde(default)]
    pub(super) new_run_id: Option<Uuid>,
    #[serde(default)]
    pub(super) time_zone: Option<String>,
    #[serde(default)]
    pub(super) traceparent: Option<String>,
}

/// The user's tasks changed, wherever: read them again.
pub(super) const TASKS_CHANGED: &str = r#"{"type":"tasks.changed"}"#;

/// The answer to a call.
pub(super) fn answer(id: &str, result: Result<Value, ApiError>) -> String {
    let mut frame = match result {
        Ok(fields) => fields,
        Err(error) => json!({"error": error.code(), "message": error.message()}),
    };
    let kind = if frame.get("error").is_some() {
        "error"
    } else {
        "success"
    };
    frame["type"] = json!(kind);
    frame["id"] = json!(id);
    frame.to_string()
}

/// What a follower is told, as a frame.
pub(super) fn told(thread_id: Uuid, told: &Delivery) -> String {
    let frame = match told {
        Delivery::ResyncRequired => json!({"type": "resync_required", "threadId": thread_id}),
        Delivery::Event(event) => json!({
            "type": "event", "threadId": thread_id, "runId": event.run_id, "seq": event.seq, "event": event.event,
        }),
        Delivery::Queued { run_id, position } => {
            json!({"type": "run.queued", "threadId": thread_id, "runId": run_id, "position": position})
        }
        Delivery::Attempt { run_id, attempt } => {
            json!({"type": "run.attempt", "threadId": thread_id, "runId": run_id, "attempt": attempt})
        }
    };
    frame.to_string()
}
