//! Messages as clients send them: the plain chat body and AG-UI's input, checked and accepted.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::decisions;
use crate::{
    App,
    accept::{self, Accepted, Idempotency, OnBusy},
    auth::User,
    decide::{self, Wish},
    error::ApiError,
    request::{self, JsonBytes},
};

/// Characters of a message.
const MAX_MESSAGE: usize = 8000;

/// A message to the agent.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// What the user says, 1 to 8000 characters.
    #[schema(min_length = 1, max_length = 8000, pattern = "^[^\\u0000]+$")]
    message: String,
    /// The conversation to go on with; a new one is opened if absent.
    #[serde(default)]
    conversation_id: Option<Uuid>,
    /// Anything the client wants to keep with the message, such as `timestamp` and `source`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Map<String, Value>>,
    /// What to do if the conversation has a run that is not over.
    #[serde(default)]
    on_busy: OnBusy,
}

impl ChatRequest {
    fn check(&self) -> Result<(), ApiError> {
        check_text(&self.message)?;
        if self
            .metadata
            .iter()
            .flat_map(|metadata| metadata.iter())
            .any(|(name, value)| name.contains('\0') || has_nul(value))
        {
            return Err(ApiError::invalid_field(
                "metadata",
                "metadata must not contain the character NUL.",
            ));
        }
        Ok(())
    }

    /// What makes two requests the same: their content, whatever the order of fields.
    fn hash(&self) -> Vec<u8> {
        let mut canonical = serde_json::to_value(self).unwrap_or_default();
        canonical.sort_all_objects();
        Sha256::digest(canonical.to_string()).to_vec()
    }
}

/// Whether a text can be a message.
///
/// # Errors
/// It is empty, too long, or holds NUL, which Postgres cannot store.
pub(super) fn check_text(message: &str) -> Result<(), ApiError> {
    let length = message.chars().count();
    if !(1..=MAX_MESSAGE).contains(&length) {
        let message =
            format!("message must be 1 to {MAX_MESSAGE} characters; this one has {length}.");
        return Err(ApiError::invalid_field("message", message));
    }
    if message.contains('\0') {
        return Err(ApiError::invalid_field(
            "message",
            "message must not contain the character NUL.",
        ));
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Accepts a plain chat body as this run; returns the run, which is an earlier one if the key has begun it.
///
/// # Errors
/// The body is invalid, a limit is reached, or the database is down.
pub(super) async fn accept_chat(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    request: &ChatRequest,
    run_id: Uuid,
) -> Result<Accepted, ApiError> {
    request.check()?;
    let request_hash = request.hash();
    let key = request::idempotency_key(headers)?;
    let metadata = request.metadata.clone().map(Value::Object);
    let message = accept::Message {
        run_id,
        user_id: &user.id,
        conversation_id: request.conversation_id,
        open_if_absent: false,
        text: &request.message,
        metadata: metadata.as_ref(),
        on_busy: request.on_busy,
        idempotency: key.map(|key| Idempotency {
            key,
            request_hash: &request_hash,
        }),
    };
    accept::accept(app, &message).await
}

/// AG-UI's `RunAgentInput`, as far as it concerns us: the history comes from the database, so only the last message of the
/// user counts. Fields that are unknown here are other front ends' business.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunAgentInput {
    thread_id: String,
    run_id: String,
    messages: Vec<Value>,
    /// Absent, null and empty mean the same.
    #[serde(default)]
    resume: Option<Vec<ResumeEntry>>,
}

/// AG-UI's answer to one interrupt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResumeEntry {
    interrupt_id: String,
    status: String,
    #[serde(default)]
    payload: Value,
}

impl ResumeEntry {
    /// Rejected unless the answer says plainly that it is approved.
    fn approves(&self) -> bool {
        self.status == "resolved" && (self.payload == true || self.payload["approved"] == true)
    }
}

impl RunAgentInput {
    fn text(&self) -> Option<String> {
        let last = self
            .messages
            .iter()
            .rev()
            .find(|message| message["role"] == "user")?;
        match &last["content"] {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => Some(
                parts
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// The client makes both ids; the run's is also its idempotency key.
pub(super) async fn accept_agent_input(
    app: &App,
    user: &User,
    body: &JsonBytes,
) -> Result<Accepted, ApiError> {
    let input: RunAgentInput = body.parse()?;
    let id = |field: &str, text: &str| {
        Uuid::parse_str(text)
            .map_err(|_| ApiError::invalid_field(field, format!("{field} must be a UUID.")))
    };
    let (thread_id, run_id) = (
        id("threadId", &input.thread_id)?,
        id("runId", &input.run_id)?,
    );
    if let Some(entries) = input
        .resume
        .as_deref()
        .filter(|entries| !entries.is_empty())
    {
        return resume(app, user, entries, thread_id, run_id).await;
    }
    let text = input.text().ok_or_else(|| {
        ApiError::invalid_field(
            "messages",
            "messages must hold a message of the user with text.",
        )
    })?;
    check_text(&text)?;
    let key = run_id.to_string();
    let message = accept::Message {
        run_id,
        user_id: &user.id,
        conversation_id: Some(thread_id),
        open_if_absent: true,
        text: &text,
        metadata: None,
        on_busy: OnBusy::Enqueue,
        idempotency: Some(Idempotency {
            key: &key,
            request_hash: &request_hash(thread_id, &text),
        }),
    };
    accept::accept(app, &message).await
}

/// A decision in AG-UI's form; the interrupts' ids name the run that waits.
async fn resume(
    app: &App,
    user: &User,
    entries: &[ResumeEntry],
    thread_id: Uuid,
    child: Uuid,
) -> Result<Accepted, ApiError> {
    let unknown = || ApiError::invalid_field("resume", "resume names no interrupt of one run.");
    let mut runs = entries.iter().map(|entry| {
        let (run_id, _) = entry.interrupt_id.split_once('/')?;
        Uuid::parse_str(run_id).ok()
    });
    let run_id = runs.next().flatten().ok_or_else(unknown)?;
    if runs.any(|other| other != Some(run_id)) {
        return Err(unknown());
    }
    let each = entries
        .iter()
        .map(|entry| (entry.interrupt_id.clone(), entry.approves()))
        .collect();
    let wish = Wish {
        user_id: &user.id,
        run_id,
        conversation_id: Some(thread_id),
        decision: &decisions::decision(None, Some(each))?,
        child,
    };
    decide::decide(app, &wish).await
}

/// What makes two requests under one run id the same.
pub(super) fn request_hash(thread_id: Uuid, text: &str) -> Vec<u8> {
    Sha256::new()
        .chain_update(thread_id)
        .chain_update(text)
        .finalize()
        .to_vec()
}
