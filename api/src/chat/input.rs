//! Messages as clients send them: the plain chat body, checked; and which of a body's two forms it has. Nothing in here touches anything.

use chrono_tz::Tz;
use icu_properties::{
    CodePointSetData, CodePointSetDataBorrowed, props::DefaultIgnorableCodePoint,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    accept::OnBusy,
    body::{self, MAX_BODY},
    error::ApiError,
    request,
};

pub(crate) mod agent;
mod ambient;
pub(crate) mod decision;

use agent::{AgentInput, RunAgentInput};

/// Characters of a message.
const MAX_MESSAGE: usize = 8000;
/// Bytes of the metadata, written as short as JSON can be.
const MAX_METADATA: usize = 64 * 1024;

/// A message to the agent.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"message": "add buy milk"}))]
pub(crate) struct ChatRequest {
    /// What the user says, 1 to 8000 characters, and not only such as cannot be seen.
    #[schema(min_length = 1, max_length = 8000, pattern = "^[^\\u0000]+$")]
    pub(super) message: String,
    /// The conversation to go on with; a new one is opened if absent.
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    pub(super) conversation_id: Option<Uuid>,
    /// Anything the client wants to keep with the message, such as `timestamp` and `source`; at most 64 KiB. `time_zone` is the
    /// user's time zone, by its name in IANA's data base; it goes before `X-Time-Zone`, and is remembered. With `auto_title: true` the model
    /// gives the conversation that the message begins a title, after its reply. With `ask_before_deleting: true` the turn waits for a
    /// decision before it deletes a task. `model` is the model that is to answer, where the installation allows a choice.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<serde_json::Map<String, Value>>,
    /// What to do if the conversation has a run that is not over.
    #[serde(default)]
    pub(super) on_busy: OnBusy,
}

impl ChatRequest {
    pub(super) fn check(&self) -> Result<(), ApiError> {
        check_text(&self.message)?;
        let size = serde_json::to_string(&self.metadata).map_or(0, |metadata| metadata.len());
        if size > MAX_METADATA {
            return Err(ApiError::field_too_large("metadata", MAX_METADATA));
        }
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

    /// The user's zone, if the metadata tell it.
    pub(super) fn time_zone(&self) -> Result<Option<Tz>, ApiError> {
        const FIELD: &str = "metadata.time_zone";
        let zone = self
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.get("time_zone"));
        match zone {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => request::known_zone(FIELD, name).map(Some),
            Some(_) => Err(request::unknown_zone(FIELD)),
        }
    }

    /// The model that is asked for, if one is.
    pub(super) fn model(&self) -> Option<&Value> {
        self.metadata.as_ref()?.get("model")
    }

    /// What makes two requests the same: their content, whatever the order of fields.
    pub(super) fn hash(&self) -> Vec<u8> {
        let mut canonical = serde_json::to_value(self).unwrap_or_default();
        canonical.sort_all_objects();
        Sha256::digest(canonical.to_string()).to_vec()
    }
}

/// Whether a text can be a message.
///
/// # Errors
/// It is empty, too long, without anything to see, or holds NUL, which Postgres cannot store.
pub(crate) fn check_text(message: &str) -> Result<(), ApiError> {
    check_readable("message", message, MAX_MESSAGE)
}

/// Whether the text of this field is something that people can read.
///
/// # Errors
/// As for a message, with another length.
pub(crate) fn check_readable(field: &str, text: &str, max: usize) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::invalid_field(field, message));
    let length = text.chars().count();
    if !(1..=max).contains(&length) {
        return refuse(format!(
            "{field} must be 1 to {max} characters; this one has {length}."
        ));
    }
    if text.contains('\0') {
        return refuse(format!("{field} must not contain the character NUL."));
    }
    if text.chars().all(is_invisible) {
        return refuse(format!(
            "{field} must hold something that can be read, not only spaces."
        ));
    }
    Ok(())
}

/// Whether nothing is to be seen of a character that stands alone: spaces, controls, and what Unicode says to show nothing for,
/// such as zero-width joiners, directions, fillers and variation selectors.
fn is_invisible(c: char) -> bool {
    const NOTHING: CodePointSetDataBorrowed<'_> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    // The blank pattern of Braille, and the marks around annotations.
    let others = matches!(c, '\u{2800}' | '\u{fff9}'..='\u{fffb}');
    c.is_whitespace() || c.is_control() || others || NOTHING.contains(c)
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

/// A body that is to be answered with events.
pub(crate) enum Form {
    Chat(ChatRequest),
    Agent(AgentInput),
}

/// Reads a body in either of its forms.
///
/// # Errors
/// It has neither; or it is too large for a plain one.
pub(crate) fn read_either(text: &str) -> Result<Form, ApiError> {
    let input: RunAgentInput<'_> = body::parse(text)?;
    if input.is_meant() {
        return input.read().map(Form::Agent);
    }
    if text.len() > MAX_BODY {
        return Err(ApiError::payload_too_large(MAX_BODY));
    }
    body::parse(text).map(Form::Chat)
}
