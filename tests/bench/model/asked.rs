//! What the model reads of a request, and what is wished for in it.

use std::borrow::Cow;

use anyhow::{Context, Result};
use errand_devkit::model::request;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::Pace;

#[derive(Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(borrow)]
    pub(super) messages: Vec<Said<'a>>,
}

/// A message. What earlier ones say is passed over.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// What the model is to do.
pub(super) enum Wish {
    /// To call this tool with these arguments.
    Call(&'static str, Value),
    /// To tell the time in every token.
    Stamps(Pace),
    /// To say something.
    Words,
}

impl Asked<'_> {
    pub(super) fn wish(&self) -> Result<Wish> {
        let last = self.messages.last().context("no messages")?;
        if last.role != "user" {
            return Ok(Wish::Words);
        }
        let content: Value = serde_json::from_str(last.content.map_or("null", RawValue::get))?;
        let said = request::content(&json!({"role": "user", "content": content}));
        if let Ok(pace) = said.parse() {
            return Ok(Wish::Stamps(pace));
        }
        let (name, mut arguments) = match said.split_once(' ') {
            Some(("add", title)) => ("add_task", json!({"title": title})),
            Some(("list", _)) => ("list_tasks", json!({"limit": 20})),
            _ => return Ok(Wish::Words),
        };
        // The other stack's model passes the user's id on, and its list has no limit.
        if let Some(user) = self.user_id()? {
            if let Some(fields) = arguments.as_object_mut() {
                fields.shift_remove("limit");
            }
            arguments["user_id"] = json!(user);
        }
        Ok(Wish::Call(name, arguments))
    }

    /// The user's id, if the instructions end with it.
    fn user_id(&self) -> Result<Option<String>> {
        let first = self.messages.first().filter(|first| first.role == "system");
        let raw = first
            .and_then(|first| first.content)
            .map_or("", RawValue::get);
        let Some((_, id)) = raw.rsplit_once("user_id: ") else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_str(&format!("\"{id}"))?))
    }
}
