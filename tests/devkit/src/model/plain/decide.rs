//! The next answer of the plain model: which tools to call now, or what to say. Must not read English.
//!
//! It is made anew from the beginning for every request: a call that has its result is passed, the first that has none is made.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::details::{self, Fields};
use super::intent::Wish;
use super::reply;
use super::tasks::{self, Task};
use crate::model::answer::{Answer, Call};
use crate::model::request::{self, Step};

/// How many pages of the list are read to find a task.
const PAGES: usize = 10;
/// Calls of one answer, and changes of one turn at most.
const BATCH: usize = 100;
const MAX_CHANGES: usize = 400;

/// A view of the list; none is that of all open tasks.
type View = Option<&'static str>;
/// The tasks that may be meant, for each of the words for one.
type Targets = Vec<(String, Vec<Task>)>;

/// Answers a Chat Completions request from its messages and tools alone.
pub fn decide(request: &Value) -> Answer {
    let steps = request::steps(request).into_iter();
    let conversation = Conversation::read(request);
    let views = HashMap::new();
    let turn = Turn {
        request,
        conversation,
        steps,
        views,
    };
    turn.answer().map_or_else(|answer| answer, Answer::text)
}

/// The turn to be answered, and what has come of its calls so far.
struct Turn<'a> {
    request: &'a Value,
    conversation: Conversation<'a>,
    steps: std::vec::IntoIter<Step>,
    views: HashMap<View, Vec<Task>>,
}

impl Turn<'_> {
    /// The last words; as an error, an answer before that.
    fn answer(mut self) -> Result<String, Answer> {
        let wishes = self.conversation.wishes();
        let (mut calls, mut remarks) = (Vec::new(), Vec::new());
        for wish in &wishes {
            match wish {
                Wish::Add(fields) => calls.push(Call::new("add_task", &json!(fields))),
                Wish::Undo => match self.conversation.undoing() {
                    none if none.is_empty() => {
                        remarks.push("There is nothing to take back.".into())
                    }
                    undoing => calls.extend(undoing),
                },
                Wish::Change(wanted, tool, fields) => {
                    for (part, found) in self.targets(wanted, tool, fields)? {
                        match found.as_slice() {
                            [] => remarks.push(reply::not_found(&part)),
                            [task] => match self.change(task, tool, fields) {
                                Ok(call) => calls.push(call),
                                Err(remark) => remarks.push(remark),
                            },
                            several => {
                                let lines: Vec<String> = several.iter().map(reply::line).collect();
                                remarks.push(reply::which_one(&part, &lines));
                            }
                        }
                    }
                }
                Wish::Choose(wanted, titles) => {
                    let lines: Vec<String> =
                        titles.iter().map(|title| format!("- {title}")).collect();
                    remarks.push(reply::which_one(wanted, &lines));
                }
                Wish::Say(text) => remarks.push((*text).to_owned()),
                Wish::List(_) => {}
            }
        }
        if calls.len() > MAX_CHANGES {
            remarks.push(format!(
                "That is much at once: I did the first {MAX_CHANGES}."
            ));
            calls.truncate(MAX_CHANGES);
        }
        let mut parts = reply::done(&self.call(&calls)?);
        parts.append(&mut remarks);
        // Lists are shown as they are after the changes.
        for wish in &wishes {
            if let Wish::List(question) = wish {
                let queries = question.queries.iter();
                let calls: Vec<Call> = queries
                    .map(|query| Call::new("list_tasks", query))
                    .collect();
                parts.push(reply::list(question, &self.call(&calls)?));
            }
        }
        Ok(parts.join("\n\n"))
    }

    fn targets(&mut self, wanted: &str, tool: &str, fields: &Fields) -> Result<Targets, Answer> {
        let views: &[View] = match fields.keys().next().map(String::as_str) {
            Some("restore") => &[Some("deleted")],
            Some("completed") => &[Some("completed"), None],
            _ => &[None, Some("completed")],
        };
        if let Some(view) = tasks::all(wanted) {
            let mut all = self.view(view.or(views[0]))?;
            if tool == "delete_task" && view.is_none() {
                all.extend(self.view(Some("completed"))?);
            }
            let each = all.into_iter().map(|task| (wanted.to_owned(), vec![task]));
            let targets: Targets = each.collect();
            let is_none = targets.is_empty();
            return Ok(if is_none {
                vec![(wanted.to_owned(), Vec::new())]
            } else {
                targets
            });
        }
        // "Milk and bread" may be two.
        let parts = wanted
            .split(" and ")
            .flat_map(|part| part.split([',', ';']));
        let parts: Vec<&str> = parts
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let whole = self.find(wanted, views)?;
        let is_one = parts.len() < 2 || matches!(whole.as_slice(), [task] if task.covers(wanted));
        if is_one {
            return Ok(vec![(wanted.to_owned(), whole)]);
        }
        let mut targets = Targets::new();
        for part in parts.into_iter().take(BATCH) {
            targets.push((part.to_owned(), self.find(part, views)?));
        }
        Ok(targets)
    }

    /// The tasks that are meant in the first of these views in which there are any.
    fn find(&mut self, wanted: &str, views: &[View]) -> Result<Vec<Task>, Answer> {
        for view in views {
            let found = tasks::find(&self.view(*view)?, wanted);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The call that changes a task, or why there is none.
    fn change(&self, task: &Task, tool: &str, fields: &Fields) -> Result<Call, String> {
        let is_done = task.value["completed"] == true;
        let title = reply::quoted(task.title());
        let mut fields = details::finish(fields.clone(), self.conversation.now, &task.value);
        if is_done && tool == "complete_task" {
            return Err(format!("{title} was done already."));
        }
        if !is_done && fields.contains_key("completed") {
            return Err(format!("{title} is still open."));
        }
        if fields.is_empty() && tool == "update_task" {
            return Err(format!(
                "What should change about {title}? Say when it is due, for example."
            ));
        }
        fields.insert("task_id".to_owned(), task.value["id"].clone());
        Ok(Call::new(tool, &json!(fields)))
    }

    /// The results of these calls, or the answer that makes those which have none.
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Step>, Answer> {
        let had: Vec<Step> = self.steps.by_ref().take(calls.len()).collect();
        let next: Vec<Call> = calls[had.len()..].iter().take(BATCH).cloned().collect();
        match next.first().map(|call| &call.name) {
            None => Ok(had),
            Some(tool) if request::offers(self.request, tool) => Err(Answer::calls(next)),
            Some(tool) => Err(Answer::text(format!(
                "I need the tool `{tool}` for that, and it is not offered to me."
            ))),
        }
    }

    fn view(&mut self, view: View) -> Result<Vec<Task>, Answer> {
        if let Some(tasks) = self.views.get(&view) {
            return Ok(tasks.clone());
        }
        let mut query = view.map_or(json!({}), |view| json!({"view": view}));
        let mut tasks = Vec::new();
        for _ in 0..PAGES {
            for step in self.call(&[Call::new("list_tasks", &query)])? {
                if !step.succeeded() {
                    return Err(Answer::text(reply::failed(&step)));
                }
                tasks.extend(Task::all(&step));
                query["cursor"] = step.answer("next_cursor").clone();
            }
            if query["cursor"].is_null() {
                break;
            }
        }
        self.views.insert(view, tasks.clone());
        Ok(tasks)
    }
}
