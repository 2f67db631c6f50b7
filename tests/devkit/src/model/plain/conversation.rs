//! What was said and done before: what "it" is, which question a bare title answers, what "undo" takes back.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::clauses::bare;
use super::intent::{Wish, wishes};
use super::reply::{UNKNOWN, WHICH_ONE, quoted};
use super::tasks::Task;
use super::words::{text, words};
use crate::model::answer::Call;
use crate::model::request::{self, Step};

/// How the worker begins when it asks for the title of a conversation.
const TITLE: &str = "Give the conversation a title";
/// How it begins when it asks for notes on the older part of one.
const NOTES: &str = "Write notes on the older part of a conversation";
/// Characters of notes, and of what is taken from each message.
const MAX_NOTES: usize = 1_500;
const MAX_NOTE: usize = 80;

/// The turns of the user, the last of which is to be answered.
pub(super) struct Conversation<'a> {
    turns: Vec<&'a [Value]>,
    pub(super) now: NaiveDateTime,
}

impl<'a> Conversation<'a> {
    pub(super) fn read(request: &'a Value) -> Self {
        let sent = request::sent(request).unwrap_or_default();
        let last = sent.rsplit("tried again: ").next().unwrap_or_default();
        let moment = last.split(", ").nth(1).unwrap_or_default();
        let now = NaiveDateTime::parse_from_str(moment, "%Y-%m-%d %H:%M");
        Self {
            turns: request::turns(request),
            now: now.unwrap_or(Utc::now().naive_utc()),
        }
    }

    /// The first words of what a conversation began with, if its title is asked for.
    pub(super) fn title(request: &Value) -> Option<String> {
        let system = request::content(request::messages(request).first()?);
        let has_tools = request["tools"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        if has_tools || !system.starts_with(TITLE) {
            return None;
        }
        let asked = request::last_user(request);
        let said = asked
            .strip_prefix("The user: ")?
            .split("\n\nThe reply: ")
            .next()?;
        let words = said.split("\n\n[Sent: ").next()?.split_whitespace();
        Some(words.take(5).collect::<Vec<_>>().join(" "))
    }

    /// The beginnings of what the user has said, if notes on it are asked for; the last ones.
    pub(super) fn notes(request: &Value) -> Option<String> {
        let system = request::content(request::messages(request).first()?);
        if !system.starts_with(NOTES) {
            return None;
        }
        let shown: Value = serde_json::from_str(&request::last_user(request)).ok()?;
        let said = shown["turns"].as_array()?.iter().rev();
        let said = said.filter_map(|turn| turn["user"].as_str());
        let mut notes = Vec::new();
        let mut length = 0;
        for text in said {
            let note: String = text.chars().take(MAX_NOTE).collect();
            length += note.chars().count() + 2;
            if length > MAX_NOTES {
                break;
            }
            notes.push(note);
        }
        notes.reverse();
        Some(format!("The user has said: {}.", notes.join("; ")))
    }

    /// The wishes of the last message.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        self.wishes_of(&self.turns)
    }

    fn wishes_of(&self, turns: &[&[Value]]) -> Vec<Wish> {
        let Some((last, before)) = turns.split_last() else {
            return vec![Wish::Say(UNKNOWN)];
        };
        let message = request::asked(last);
        let asked = before.last().map(|turn| said(turn)).unwrap_or_default();
        let is_answer = asked.lines().any(|line| line.starts_with(WHICH_ONE));
        let plain = wishes(&message, self.now, !is_answer);
        if !is_answer || plain != [Wish::Say(UNKNOWN)] {
            return plain;
        }
        // The answer to a question is a target for the wish that raised it.
        let is_raiser = |wish: &Wish| matches!(wish, Wish::Change(wanted, ..) if asked.contains(&quoted(wanted)));
        match self.wishes_of(before).into_iter().find(is_raiser) {
            Some(Wish::Change(_, tool, fields)) => {
                vec![Wish::Change(text(bare(&words(&message))), tool, fields)]
            }
            _ => plain,
        }
    }

    /// What was done in the turns before, the last first.
    fn before(&self) -> impl Iterator<Item = Vec<Step>> {
        let turns = self.turns.iter().rev().skip(1);
        turns.map(|turn| request::calls(turn))
    }

    /// The tasks that "it" may be: the one that was changed last, or those that were listed since.
    pub(super) fn it(&self) -> Vec<Task> {
        let tasks = |steps: Vec<Step>| match steps.iter().rfind(|step| is_change(step)) {
            Some(step) => vec![Task::changed(step)],
            None => steps.iter().flat_map(Task::listed).collect(),
        };
        let mut turns = self.before().map(tasks);
        turns.find(|tasks| !tasks.is_empty()).unwrap_or_default()
    }

    /// The calls that take back what the last turn with changes did, the last first.
    pub(super) fn undoing(&self) -> Vec<Call> {
        let mut turns = self.before();
        let steps = turns.find(|steps| steps.iter().any(is_change));
        let steps = steps.unwrap_or_default();
        let changes = steps.iter().rev().filter(|step| is_change(step));
        changes.filter_map(reverse).collect()
    }
}

fn is_change(step: &Step) -> bool {
    step.succeeded() && step.name != "list_tasks"
}

/// The call that takes back another one, if there is one.
fn reverse(step: &Step) -> Option<Call> {
    let id = &step.arguments["task_id"];
    let (tool, arguments) = match step.name.as_str() {
        "add_task" => ("delete_task", json!({"task_id": step.answer("task_id")})),
        "delete_task" => ("update_task", json!({"task_id": id, "restore": true})),
        "complete_task" if step.answer("next_due").is_null() => {
            ("update_task", json!({"task_id": id, "completed": false}))
        }
        _ => return None,
    };
    Some(Call::new(tool, &arguments))
}

/// The last words of the assistant in a turn.
fn said(turn: &[Value]) -> String {
    let last = turn.iter().rfind(|message| message["role"] == "assistant");
    last.map(request::content).unwrap_or_default()
}
