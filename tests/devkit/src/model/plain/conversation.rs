//! What was said and done before: what "it" and "the second one" are about, which question a bare title answers, what "undo" takes back.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    clauses::bare,
    intent::{Deed, Wish, wishes},
    reply::{ASKED_BY, WHICH_ONE},
    tasks::Task,
    words::{start, text, whole, words},
};
use crate::model::{
    answer::Call,
    request::{self, Step},
};

/// What a task is called: by the user's words, or by what was said before.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Words(String),
    /// Ids, or lines that begin with a title; one of them alone or all.
    Mentioned(Vec<String>, Choice),
    /// All tasks of a view; `None` for the open ones.
    All(Option<&'static str>),
}

/// How many of what was mentioned are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    One,
    All,
}

/// The turns of the user, the last of which is to be answered.
pub(super) struct Conversation<'a> {
    turns: Vec<&'a [Value]>,
    pub(super) now: NaiveDateTime,
}

impl<'a> Conversation<'a> {
    pub(super) fn read(request: &'a Value) -> Self {
        let now = request::sent(request).and_then(|note| {
            let note = note.rsplit("tried again: ").next()?;
            NaiveDateTime::parse_from_str(note.split(", ").nth(1)?, "%Y-%m-%d %H:%M").ok()
        });
        Self {
            turns: request::turns(request),
            now: now.unwrap_or_else(|| Utc::now().naive_utc()),
        }
    }

    /// The wishes of the last message.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        self.wishes_of(self.turns.len().saturating_sub(1))
    }

    fn wishes_of(&self, turn: usize) -> Vec<Wish> {
        let message = self
            .turns
            .get(turn)
            .map(|turn| request::asked(turn))
            .unwrap_or_default();
        let asked = turn
            .checked_sub(1)
            .map(|before| said(self.turns[before]))
            .filter(|said| said.contains(WHICH_ONE));
        let Some(asked) = asked else {
            return wishes(&message, self.now, true);
        };
        let plain = wishes(&message, self.now, false);
        // The answer to a question is a target for the wish that raised it.
        let raised = self
            .wishes_of(turn - 1)
            .into_iter()
            .find_map(|wish| match wish {
                Wish::Change(readings) => readings
                    .into_iter()
                    .find(|(target, _)| asked.contains(&asked_by(target))),
                _ => None,
            });
        match raised {
            Some((_, deed)) if plain == [Wish::Unknown] => {
                vec![Wish::Change(vec![(text(bare(&words(&message))), deed)])]
            }
            _ => plain,
        }
    }

    /// What the user's words for a task refer to.
    pub(super) fn target(&self, wanted: &str, deed: &Deed) -> Target {
        let words = words(wanted);
        let fits = |patterns: &[&str]| {
            patterns
                .iter()
                .any(|pattern| whole(pattern, &words).is_some())
        };
        let (mut mentioned, is_list) = self.mentioned();
        if fits(&[
            "them|both|those|these",
            "all|both of them|those|these",
            "the|those|these both|two|three|tasks",
        ]) {
            return Target::Mentioned(mentioned, Choice::All);
        }
        let is_last = fits(&["the? last|latest one|task|item"]);
        if is_last || fits(&["it|that|this", "that|this|the one|task|item"]) {
            if is_last || !is_list {
                mentioned.drain(..mentioned.len().saturating_sub(1));
            }
            return Target::Mentioned(mentioned, Choice::One);
        }
        let nth = ["the? O one|task|item?", "the? number|no N", "N"]
            .iter()
            .find_map(|pattern| whole(pattern, &words));
        let nth = nth.and_then(|found| usize::try_from(found.numbers[0] - 1).ok());
        if let Some(mention) = nth.and_then(|nth| mentioned.into_iter().nth(nth)) {
            return Target::Mentioned(vec![mention], Choice::One);
        }
        all(&words, deed).unwrap_or_else(|| Target::Words(wanted.to_owned()))
    }

    /// What the last turn that was about tasks listed, or else changed, in that order; and whether it was a list.
    fn mentioned(&self) -> (Vec<String>, bool) {
        let mentions = |turn| {
            let lines: Vec<String> = said(turn)
                .lines()
                .filter_map(item)
                .map(str::to_owned)
                .collect();
            let is_list = !lines.is_empty();
            let ids = changes(turn)
                .iter()
                .map(|step| id(step).to_owned())
                .collect();
            (if is_list { lines } else { ids }, is_list)
        };
        self.before()
            .map(mentions)
            .find(|(mentions, _)| !mentions.is_empty())
            .unwrap_or_default()
    }

    fn before(&self) -> impl Iterator<Item = &'a [Value]> {
        let last = self.turns.len().saturating_sub(1);
        self.turns[..last].iter().rev().copied()
    }

    /// The calls that take back what the last turn with changes did, the last first.
    pub(super) fn undoing(&self) -> Vec<Call> {
        let Some(turn) = self.before().find(|turn| !changes(turn).is_empty()) else {
            return Vec::new();
        };
        let steps = request::calls(turn);
        let lists = steps
            .iter()
            .filter(|step| step.name == "list_tasks")
            .filter_map(|step| step.result.as_ref());
        let known: Vec<Task> = lists.flat_map(Task::all).collect();
        let was = |step: &Step| known.iter().find(|task| task.id() == id(step));
        changes(turn)
            .iter()
            .rev()
            .filter_map(|step| reverse(step, was(step)))
            .collect()
    }
}

/// The words behind which a question names the user's own.
pub(super) fn asked_by(target: &str) -> String {
    format!("{ASKED_BY}\u{201c}{target}\u{201d}")
}

/// The tasks meant by "everything" or "all done tasks"; `None` when the words are a title.
fn all(words: &[super::words::Word], deed: &Deed) -> Option<Target> {
    let rest = &words[start("everything|all|every", words)?.len..];
    let mut view = match deed {
        Deed::Reopen => Some("completed"),
        Deed::Restore => Some("deleted"),
        _ => None,
    };
    for word in rest {
        match &*word.low {
            "task" | "tasks" | "item" | "items" | "of" | "them" | "the" | "my" | "list"
            | "open" | "remaining" => {}
            "done" | "completed" | "finished" => view = Some("completed"),
            "deleted" => view = Some("deleted"),
            "overdue" | "late" => view = Some("overdue"),
            _ => return None,
        }
    }
    Some(Target::All(view))
}

/// The call that takes back another one; what is known of the task is from before.
fn reverse(step: &Step, was: Option<&Task>) -> Option<Call> {
    let id = id(step);
    let update = |fields: Map<String, Value>| {
        let mut arguments = Map::from_iter([("task_id".to_owned(), json!(id))]);
        arguments.extend(fields);
        Some(Call::new("update_task", &Value::Object(arguments)))
    };
    let one = |field: &str, value: Value| update(Map::from_iter([(field.to_owned(), value)]));
    match step.name.as_str() {
        "add_task" => Some(Call::new("delete_task", &json!({"task_id": id}))),
        "delete_task" => one("restore", json!(true)),
        "complete_task"
            if step
                .result
                .as_ref()
                .is_some_and(|result| result["next_due"].is_string()) =>
        {
            one("due_date", was?.value["due_date"].clone())
        }
        "complete_task" => one("completed", json!(false)),
        _ if step.arguments["restore"] == true => {
            Some(Call::new("delete_task", &json!({"task_id": id})))
        }
        _ if step.arguments["completed"] == false => {
            Some(Call::new("complete_task", &json!({"task_id": id})))
        }
        _ => update(before(&step.arguments, &was?.value)),
    }
}

/// The arguments that bring back the fields which these ones changed.
fn before(arguments: &Value, was: &Value) -> Map<String, Value> {
    let mut changed: Vec<&str> = arguments
        .as_object()
        .map(|fields| fields.keys().map(String::as_str).collect())
        .unwrap_or_default();
    changed.extend(
        arguments["clear"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    if changed
        .iter()
        .any(|field| ["due_date", "due_time", "repeat"].contains(field))
    {
        changed.extend(["due_date", "due_time", "repeat"]);
    }
    let (mut fields, mut clear) = (Map::new(), Vec::new());
    for field in [
        "title",
        "description",
        "due_date",
        "due_time",
        "priority",
        "tags",
        "repeat",
    ] {
        let is_set = !was[field].is_null() && was[field] != json!([]);
        match changed.contains(&field) {
            true if is_set => drop(fields.insert(field.to_owned(), was[field].clone())),
            true => clear.push(field),
            false => {}
        }
    }
    if !clear.is_empty() {
        fields.insert("clear".to_owned(), json!(clear));
    }
    fields
}

/// The successful changes of a turn.
fn changes(turn: &[Value]) -> Vec<Step> {
    request::calls(turn)
        .into_iter()
        .filter(|step| step.succeeded() && step.name != "list_tasks")
        .collect()
}

/// The id of the task that a call was about.
fn id(step: &Step) -> &str {
    let added = step
        .result
        .as_ref()
        .and_then(|result| result["task_id"].as_str());
    step.arguments["task_id"]
        .as_str()
        .or(added)
        .unwrap_or_default()
}

/// The last words of the assistant in a turn.
fn said(turn: &[Value]) -> String {
    let last = turn.iter().rfind(|message| message["role"] == "assistant");
    last.map(request::content).unwrap_or_default()
}

/// An item of a list in Markdown.
fn item(line: &str) -> Option<&str> {
    let item = line.strip_prefix("- ")?;
    Some(item.trim_start_matches("[ ] ").trim_start_matches("[x] "))
}
