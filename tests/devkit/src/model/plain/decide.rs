//! The next answer of the plain model: which tools to call now, or what to say. Must not read English.
//!
//! It is made anew from the beginning for every request: a call that has its result is passed, the first that has none is made.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::details::{self, Fields};
use super::intent::Wish;
use super::reply;
use super::tasks::{self, Task};
use crate::model::answer::{Answer, Call};
use crate::model::request::{self, Step};

/// Changes of one turn at most.
const MAX_CHANGES: usize = 100;

/// Answers a Chat Completions request from its messages and tools alone.
pub fn decide(request: &Value) -> Answer {
    let turn = Turn {
        request,
        conversation: Conversation::read(request),
        steps: request::steps(request).into_iter(),
        views: HashMap::new(),
    };
    let beside = Conversation::title(request).or_else(|| Conversation::notes(request));
    let answer = beside.map_or_else(|| turn.answer(), Ok);
    answer.map_or_else(|answer| answer, Answer::text)
}

/// The turn to be answered, and what has come of its calls so far.
struct Turn<'a> {
    request: &'a Value,
    conversation: Conversation<'a>,
    steps: std::vec::IntoIter<Step>,
    views: HashMap<&'static str, Vec<Task>>,
}

impl Turn<'_> {
    /// The last words; as an error, an answer before that.
    fn answer(mut self) -> Result<String, Answer> {
        let wishes = self.conversation.wishes();
        let (mut calls, mut remarks) = (Vec::new(), Vec::new());
        let mut changed = HashSet::new();
        for wish in &wishes {
            match wish {
                Wish::Add(fields) => calls.push(Call::new("add_task", &json!(fields))),
                Wish::Undo => match self.conversation.undoing() {
                    none if none.is_empty() => remarks.push(reply::NO_UNDO.into()),
                    undoing => calls.extend(undoing),
                },
                Wish::Change(wanted, tool, fields) => {
                    let found = self.targets(wanted, fields)?;
                    match found.as_slice() {
                        [] => remarks.push(reply::not_found(wanted)),
                        [_, _, ..] if tasks::all(wanted).is_none() => {
                            remarks.push(reply::which_one(wanted, &found));
                        }
                        // "Fish and chips" may be one task.
                        tasks => calls.extend(tasks.iter().filter_map(|task| {
                            let call = self.change(task, tool, fields);
                            changed.insert(call.arguments.clone()).then_some(call)
                        })),
                    }
                }
                Wish::Say(text) => remarks.push((*text).to_owned()),
                Wish::List(_) => {}
            }
        }
        if calls.len() > MAX_CHANGES {
            remarks.push(reply::TOO_MANY.into());
            calls.truncate(MAX_CHANGES);
        }
        let mut parts = reply::done(&self.call(&calls)?);
        parts.append(&mut remarks);
        // Lists are shown as they are after the changes.
        for wish in &wishes {
            if let Wish::List(question) = wish {
                let steps = self.call(&[Call::new("list_tasks", &question.query)])?;
                parts.extend(steps.iter().map(|step| reply::list(question, step)));
            }
        }
        Ok(parts.join("\n\n"))
    }

    /// The tasks that the words for one may mean.
    fn targets(&mut self, wanted: &str, fields: &Fields) -> Result<Vec<Task>, Answer> {
        let view = match fields.keys().next().map(String::as_str) {
            Some("restore") => "deleted",
            Some("completed") => "completed",
            _ => "",
        };
        if ["it", "that", "this", "that one", "this one"].contains(&wanted) {
            return Ok(self.conversation.it());
        }
        match tasks::all(wanted) {
            Some("") => self.view(view),
            Some(all) => self.view(all),
            None => Ok(tasks::find(&self.view(view)?, wanted)),
        }
    }

    fn change(&self, task: &Task, tool: &str, fields: &Fields) -> Call {
        let mut fields = details::finish(fields.clone(), self.conversation.now, &task.value);
        fields.insert("task_id".to_owned(), task.value["id"].clone());
        Call::new(tool, &json!(fields))
    }

    /// The results of these calls, or the answer that makes those which have none.
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Step>, Answer> {
        let had: Vec<Step> = self.steps.by_ref().take(calls.len()).collect();
        let next = &calls[had.len()..];
        match next.first().map(|call| &call.name) {
            None => Ok(had),
            Some(tool) if request::offers(self.request, tool) => Err(Answer::calls(next.to_vec())),
            Some(tool) => Err(Answer::text(format!(
                "I need the tool `{tool}` for that, and it is not offered to me."
            ))),
        }
    }

    /// The tasks of a view; the open ones if it has no name.
    fn view(&mut self, view: &'static str) -> Result<Vec<Task>, Answer> {
        if let Some(tasks) = self.views.get(view) {
            return Ok(tasks.clone());
        }
        let mut query = json!({"limit": 200});
        if !view.is_empty() {
            query["view"] = json!(view);
        }
        let steps = self.call(&[Call::new("list_tasks", &query)])?;
        if let Some(step) = steps.iter().find(|step| !step.succeeded()) {
            return Err(Answer::text(reply::failed(step)));
        }
        let tasks: Vec<Task> = steps.iter().flat_map(Task::listed).collect();
        self.views.insert(view, tasks.clone());
        Ok(tasks)
    }
}
