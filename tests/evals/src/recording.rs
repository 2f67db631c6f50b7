//! What a model answered, in a form that can be played again on another day and with other ids: tasks are named, dates are relative.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    cases::{Case, Turn},
    clock::Clock,
    state::{Beginning, Task},
};

/// Characters of an answer's text that are kept: nobody judges them.
const MAX_TEXT: usize = 500;

/// The answers of a model, case by case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The model's name.
    pub model: String,
    /// By the name of the case, each time that it was played.
    pub cases: BTreeMap<String, Vec<Attempt>>,
}

/// A case that was played: for each turn the answers, the last of which has no calls.
pub type Attempt = Vec<Vec<Answer>>;

/// One answer of the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

/// A call, with `$name` as its `task_id`, dates as [`Clock::date`] has them, `auto` for the weekday of its date, and `$next` for the cursor
/// that the last list came with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub tool: String,
    /// An object, or the text that was none.
    pub arguments: Value,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no recording.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes a file, in which a case is a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = format!("{{\"model\": {},\n\"cases\": {{", json!(self.model));
        for (n, (name, attempts)) in self.cases.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            text += &format!(
                "{comma}\n{}: {}",
                json!(name),
                serde_json::to_string(attempts)?
            );
        }
        text += "\n}}\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

/// The calls of a turn's solution. An argument of an `add_task` or a `task_id` that is a list stands for several calls.
pub(crate) fn solution(turn: &Turn) -> Vec<Call> {
    let mut calls = Vec::new();
    for (tool, arguments) in turn.solution.iter().flatten() {
        let listed = ["task_id", "title"]
            .into_iter()
            .find(|name| arguments.get(*name).is_some_and(Value::is_array));
        let several = listed.and_then(|name| Some((name, arguments[name].as_array()?)));
        let Some((name, values)) = several else {
            calls.push(Call {
                tool: tool.clone(),
                arguments: Value::Object(arguments.clone()),
            });
            continue;
        };
        calls.extend(values.iter().map(|value| {
            let mut arguments = arguments.clone();
            arguments.insert(name.to_owned(), value.clone());
            Call {
                tool: tool.clone(),
                arguments: Value::Object(arguments),
            }
        }));
    }
    calls
}

/// Arguments as they came, in the form that can be played again.
pub(crate) struct Names<'a> {
    pub(crate) case: &'a Case,
    pub(crate) beginning: &'a Beginning,
    /// The tasks before the turn: a task is called as the model knew it.
    pub(crate) before: &'a [Task],
    /// The tasks after the turn.
    pub(crate) now: &'a [Task],
    pub(crate) clock: &'a Clock,
}

impl Names<'_> {
    /// An answer as the worker has recorded it: `content`, and `tool_calls` with `name` and `arguments` each.
    pub(crate) fn answer(&self, content: &str, tool_calls: &Value) -> Answer {
        let calls = tool_calls.as_array().into_iter().flatten();
        Answer {
            text: content.chars().take(MAX_TEXT).collect(),
            calls: calls
                .map(|call| Call {
                    tool: call["name"].as_str().unwrap_or_default().to_owned(),
                    arguments: self.arguments(call["arguments"].as_str().unwrap_or_default()),
                })
                .collect(),
        }
    }

    fn arguments(&self, text: &str) -> Value {
        let Ok(mut arguments) = serde_json::from_str::<Map<String, Value>>(text) else {
            return Value::String(text.to_owned());
        };
        let dated = arguments.get("due_date").is_some_and(Value::is_string);
        for (name, value) in &mut arguments {
            let Some(text) = value.as_str() else { continue };
            let named = match name.as_str() {
                "task_id" => self.task(text),
                "due_date" | "due_from" | "due_to" => self.date(text),
                "weekday" if dated => Some("auto".to_owned()),
                "cursor" => Some("$next".to_owned()),
                "repeat" => self.rule(text),
                _ => None,
            };
            if let Some(named) = named {
                *value = Value::String(named);
            }
        }
        Value::Object(arguments)
    }

    fn task(&self, id: &str) -> Option<String> {
        let id: Uuid = id.parse().ok()?;
        let name = self.beginning.name(id);
        let title = || {
            let mut tasks = self.before.iter().chain(self.now);
            tasks
                .find(|task| task.id == id)
                .map(|task| task.title.as_str())
        };
        Some(format!("${}", name.or_else(title)?))
    }

    /// As the case names the date, if it does.
    fn date(&self, text: &str) -> Option<String> {
        let date = text.parse().ok()?;
        let named = self
            .case
            .dates()
            .into_iter()
            .find(|named| self.clock.date(named).is_ok_and(|named| named == date));
        Some(named.map_or_else(|| self.clock.relative(date), str::to_owned))
    }

    /// The last day of a rule.
    fn rule(&self, text: &str) -> Option<String> {
        let (before, behind) = text.split_once("UNTIL=")?;
        let (day, rest) = behind.split_at_checked(8)?;
        let date = chrono::NaiveDate::parse_from_str(day, "%Y%m%d").ok()?;
        Some(format!(
            "{before}UNTIL={{{}:basic}}{rest}",
            self.clock.relative(date)
        ))
    }
}
