//! What was said and done before: what "it" and "the second one" are, which question a bare title answers, what "undo" takes back.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::clauses::bare;
use super::intent::{Wish, wishes};
use super::reply::{UNKNOWN, WHICH_ONE, quoted};
use super::tasks::Task;
use super::words::{text, whole, words};
use crate::model::answer::Call;
use crate::model::request::{self, Step};

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
        let (turns, now) = (
            request::turns(request),
            now.unwrap_or(Utc::now().naive_utc()),
        );
        Self { turns, now }
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
        let is_answer = asked.contains(WHICH_ONE);
        let mut plain = wishes(&message, self.now, !is_answer);
        if is_answer && plain == [Wish::Say(UNKNOWN)] {
            // The answer to a question is a target for the wish that raised it.
            for wish in self.wishes_of(before) {
                match wish {
                    Wish::Change(wanted, tool, fields) if asked.contains(&quoted(&wanted)) => {
                        plain = vec![Wish::Change(text(bare(&words(&message))), tool, fields)];
                    }
                    _ => {}
                }
            }
        }
        plain
    }

    /// What "it", "the second one" or "both" is about: ids, or lines that begin with a title, of which all or one is meant; `None` if
    /// the words are no such reference.
    pub(super) fn mentions(&self, wanted: &str) -> Option<(Vec<String>, bool)> {
        let words = words(wanted);
        let is = |pattern: &str| whole(pattern, &words).is_some();
        let mut turns = self.before().map(mentioned);
        let last = turns.find(|(mentions, _)| !mentions.is_empty());
        let (mut mentions, is_list) = last.unwrap_or_default();
        if is("them|both|those|these") || is("all|both of them|those|these") {
            return Some((mentions, true));
        }
        let nth = whole("the? O one|task|item?", &words).map(|found| found.numbers[0]);
        let is_it = is("it|that|this") || is("that|this|the one|task|item");
        match (nth, mentions.len()) {
            (None, _) if !is_it => return None,
            (None, _) if is_list => {}
            (Some(nth @ 1..), _) => {
                mentions = mentions
                    .into_iter()
                    .skip(nth as usize - 1)
                    .take(1)
                    .collect()
            }
            (_, count) => drop(mentions.drain(..count.saturating_sub(1))),
        }
        Some((mentions, false))
    }

    fn before(&self) -> impl Iterator<Item = &'a [Value]> {
        self.turns.iter().rev().skip(1).copied()
    }

    /// The calls that take back what the last turn with changes did, the last first.
    pub(super) fn undoing(&self) -> Vec<Call> {
        let turn = self
            .before()
            .find(|turn| !changes(turn).is_empty())
            .unwrap_or_default();
        let known: Vec<Task> = request::calls(turn).iter().flat_map(Task::all).collect();
        let mut calls = Vec::new();
        for step in changes(turn).iter().rev() {
            let was = known.iter().find(|task| task.id() == id(step));
            calls.extend(reverse(step, was.map_or(&Value::Null, |task| &task.value)));
        }
        calls
    }
}

/// The call that takes back another one. What is known of the task is from before.
fn reverse(step: &Step, was: &Value) -> Option<Call> {
    let (tool, mut arguments) = match step.name.as_str() {
        "add_task" => ("delete_task", json!({})),
        "delete_task" => ("update_task", json!({"restore": true})),
        "complete_task" if step.answer("next_due").is_null() => {
            ("update_task", json!({"completed": false}))
        }
        _ if step.arguments["restore"] == true => ("delete_task", json!({})),
        _ if step.arguments["completed"] == false => ("complete_task", json!({})),
        _ if was.is_null() => return None,
        _ => {
            let fields = [
                "title",
                "description",
                "due_date",
                "due_time",
                "priority",
                "tags",
                "repeat",
            ];
            let (set, unset): (Vec<&str>, Vec<&str>) =
                fields.iter().partition(|field| !was[*field].is_null());
            let mut old = json!({"clear": unset});
            set.iter()
                .for_each(|field| old[*field] = was[*field].clone());
            ("update_task", old)
        }
    };
    arguments["task_id"] = json!(id(step));
    Some(Call::new(tool, &arguments))
}

/// What a turn listed, or else changed, in that order; and whether it was a list.
fn mentioned(turn: &[Value]) -> (Vec<String>, bool) {
    let reply = said(turn);
    let lines = reply.lines().filter_map(|line| line.strip_prefix("- "));
    let lines = lines.map(|line| line.trim_start_matches("[ ] ").trim_start_matches("[x] "));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    let ids = changes(turn)
        .iter()
        .map(|step| id(step).to_owned())
        .collect();
    if lines.is_empty() {
        (ids, false)
    } else {
        (lines, true)
    }
}

/// The successful changes of a turn.
fn changes(turn: &[Value]) -> Vec<Step> {
    let mut steps = request::calls(turn);
    steps.retain(|step| step.succeeded() && step.name != "list_tasks");
    steps
}

/// The id of the task that a call was about.
fn id(step: &Step) -> &str {
    let given = step.arguments["task_id"].as_str();
    given
        .or(step.answer("task_id").as_str())
        .unwrap_or_default()
}

/// The last words of the assistant in a turn.
fn said(turn: &[Value]) -> String {
    let last = turn.iter().rfind(|message| message["role"] == "assistant");
    last.map(request::content).unwrap_or_default()
}
