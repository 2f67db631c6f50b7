//! AG-UI's `RunAgentInput`. Its clients send the whole history with each message; ours comes from the database, so all of it but
//! the last message of the user is skipped where it stands.

use std::{borrow::Cow, collections::HashMap, fmt};

use chrono_tz::Tz;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    ambient::{self, Context, Props, Wishes},
    check_text,
};
use crate::{accept::AcceptedRun, body, error::ApiError};

/// Characters of the name that a client gives a thread or a run.
const MAX_NAME: usize = 128;

/// As far as it concerns us. Fields that are unknown here are other front ends' business.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(crate) struct RunAgentInput<'a> {
    #[serde(default)]
    thread_id: Option<String>,
    #[serde(default)]
    run_id: Option<String>,
    #[serde(borrow, default)]
    messages: Option<Said<'a>>,
    /// Absent, null and empty mean the same.
    #[serde(borrow, default)]
    resume: Option<Vec<ResumeEntry<'a>>>,
    #[serde(borrow, default)]
    context: Option<Vec<Context<'a>>>,
    #[serde(borrow, default)]
    forwarded_props: Option<&'a RawValue>,
}

/// The content of the last message of the user among all messages, as it is written.
#[derive(Debug, Default)]
struct Said<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;

        impl<'de> Visitor<'de> for Messages {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Said<'de>, A::Error> {
                let mut last = Said::default();
                while let Some(message) = all.next_element::<Message<'de>>()? {
                    if message.role.as_deref() == Some("user") {
                        last = Said(message.content);
                    }
                }
                Ok(last)
            }
        }

        deserializer.deserialize_seq(Messages)
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "a message")]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A part of a content; those without text are skipped.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// AG-UI's answer to one interrupt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResumeEntry<'a> {
    interrupt_id: String,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl ResumeEntry<'_> {
    /// Rejected unless the answer says plainly that it is approved.
    fn approves(&self) -> bool {
        #[derive(Deserialize)]
        struct Approval<'a> {
            #[serde(borrow)]
            approved: &'a RawValue,
        }

        let payload = self.payload.map_or("", RawValue::get);
        let approved = serde_json::from_str::<Approval<'_>>(payload);
        let approved = approved.map_or(payload, |approval| approval.approved.get());
        self.status == "resolved" && approved == "true"
    }
}

/// What a client wants: its own names, and a message or decisions.
#[derive(Debug)]
pub(crate) struct AgentInput {
    pub(in super::super) thread: ThreadName,
    pub(in super::super) run: String,
    pub(in super::super) said: Saying,
    pub(in super::super) time_zone: Option<Tz>,
    pub(in super::super) wishes: Wishes,
}

#[derive(Debug)]
pub(in super::super) enum Saying {
    Text(String),
    Decisions(HashMap<String, bool>),
}

/// How a client calls its thread.
#[derive(Debug)]
pub(in super::super) enum ThreadName {
    /// By the conversation's id. As it is written.
    Id(Uuid, String),
    Name(String),
}

/// What a client calls its thread and its run, where it is not as we do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) thread: Option<String>,
    pub(crate) run: Option<String>,
}

impl<'a> RunAgentInput<'a> {
    /// Whether this is what the body is: a plain message has none of its fields.
    pub(crate) fn is_meant(&self) -> bool {
        self.thread_id.is_some() || self.messages.is_some()
    }

    /// # Errors
    /// A field is missing or of no use.
    pub(crate) fn read(self) -> Result<AgentInput, ApiError> {
        let thread = name("threadId", self.thread_id)?;
        let thread = match Uuid::parse_str(&thread) {
            Ok(id) => ThreadName::Id(id, thread),
            Err(_) => ThreadName::Name(thread),
        };
        let run = name("runId", self.run_id)?;
        let props = Props::read(self.forwarded_props);
        let time_zone = ambient::time_zone(&props, &self.context.unwrap_or_default())?;
        let resume = self.resume.unwrap_or_default();
        let said = if resume.is_empty() {
            Saying::Text(text(self.messages)?)
        } else {
            Saying::Decisions(decisions_of(&resume)?)
        };
        Ok(AgentInput {
            thread,
            run,
            said,
            time_zone,
            wishes: props.wishes(),
        })
    }
}

fn name(field: &str, name: Option<String>) -> Result<String, ApiError> {
    let name =
        name.filter(|name| (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains('\0'));
    name.ok_or_else(|| {
        let message =
            format!("{field} must be 1 to {MAX_NAME} characters, none of them the character NUL.");
        ApiError::invalid_field(field, message)
    })
}

/// The text of the last message of the user, which may be in parts.
fn text(messages: Option<Said<'_>>) -> Result<String, ApiError> {
    let refuse = |message: &str| ApiError::invalid_field("messages", message);
    let content = messages.and_then(|said| said.0).map(RawValue::get);
    let text = match content {
        Some(content) if content.starts_with('[') => {
            let parts: Vec<Part> = body::parse(content).map_err(|_| {
                refuse("The last message of the user has parts that cannot be read.")
            })?;
            let texts = parts.into_iter().filter_map(|part| part.text);
            Some(texts.collect())
        }
        Some(content) if content.starts_with('"') => {
            let text = body::parse(content);
            Some(text.map_err(|_| refuse("The last message of the user cannot be read."))?)
        }
        _ => None,
    };
    let text: String = text
        .filter(|text: &String| !text.is_empty())
        .ok_or_else(|| refuse("messages must hold a message of the user with text."))?;
    check_text(&text)?;
    Ok(text)
}

fn decisions_of(entries: &[ResumeEntry<'_>]) -> Result<HashMap<String, bool>, ApiError> {
    let mut each = HashMap::new();
    for entry in entries {
        let earlier = each.insert(entry.interrupt_id.clone(), entry.approves());
        if earlier.is_some() {
            let message = "resume answers the same interrupt twice.";
            return Err(ApiError::invalid_field("resume", message));
        }
    }
    Ok(each)
}

impl AgentInput {
    pub(in super::super) fn names(&self, accepted: &AcceptedRun) -> Names {
        let other = |written: &str, id: Uuid| {
            (written != id.to_string().as_str()).then(|| written.to_owned())
        };
        let (ThreadName::Id(_, thread) | ThreadName::Name(thread)) = &self.thread;
        Names {
            thread: other(thread, accepted.conversation_id),
            run: other(&self.run, accepted.run_id),
        }
    }
}

/// What makes two requests under one run id the same: the thread, by its id or its name, and the text.
pub(crate) fn request_hash(thread: &[u8], text: &str) -> Vec<u8> {
    Sha256::new()
        .chain_update(thread)
        .chain_update(text)
        .finalize()
        .to_vec()
}
