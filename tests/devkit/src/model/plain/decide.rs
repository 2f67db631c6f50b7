//! The next answer of the plain model: which tools to call now, or what to say. Must not read English.
//!
//! It is made anew from the beginning for every request: a call that has its result is passed, the first that has none is made.

use std::{collections::HashMap, slice};

use serde_json::{Map, Value, json};

use super::{
    conversation::{Choice, Conversation, Target, asked_by},
    details,
    intent::{Deed, Wish},
    reply,
    tasks::{self, Found, Task},
};
use crate::model::{
    answer::{Answer, Call},
    request::{self, Step},
};

/// How many pages of the list are read to find a task.
const PAGES: usize = 10;
/// Calls of one answer, and changes of one turn at most.
const BATCH: usize = 100;
const MAX_CHANGES: usize = 400;

/// Answers a Chat Completions request from its messages and tools alone.
pub fn decide(request: &Value) -> Answer {
    let steps = request::steps(request);
    let mut tools = Tools {
        request,
        steps: steps.iter(),
        views: HashMap::new(),
    };
    match answer(&Conversation::read(request), &mut tools) {
        Ok(text) => Answer::text(text),
        Err(answer) => answer,
    }
}

fn answer(conversation: &Conversation<'_>, tools: &mut Tools<'_>) -> Result<String, Answer> {
    let wishes = conversation.wishes();
    let (mut changes, mut remarks) = (Vec::new(), Vec::new());
    for wish in &wishes {
        match wish {
            Wish::Add(arguments) => {
                let title = arguments["title"].as_str().unwrap_or_default().to_owned();
                changes.push((Call::new("add_task", &json!(arguments)), title));
            }
            Wish::Change(readings) => {
                change(readings, conversation, tools, &mut changes, &mut remarks)?
            }
            Wish::Undo => {
                let undoing = conversation.undoing();
                if undoing.is_empty() {
                    remarks.push("There is nothing that I could take back.".to_owned());
                }
                changes.extend(undoing.into_iter().map(|call| (call, String::new())));
            }
            _ => {}
        }
    }
    if changes.len() > MAX_CHANGES {
        remarks.push(format!(
            "That were {} things at once; I did the first {MAX_CHANGES}.",
            changes.len()
        ));
        changes.truncate(MAX_CHANGES);
    }
    let (calls, titles): (Vec<Call>, Vec<String>) = changes.into_iter().unzip();
    let done: Vec<(Step, String)> = tools.call(&calls)?.into_iter().zip(titles).collect();
    let mut parts = vec![reply::done(&done)];
    parts.append(&mut remarks);
    // Lists are shown as they are after the changes.
    for wish in &wishes {
        if let Wish::List(question) = wish {
            let calls: Vec<Call> = question
                .queries
                .iter()
                .map(|query| Call::new("list_tasks", query))
                .collect();
            parts.push(reply::list(question, &tools.call(&calls)?));
        }
        parts.extend(reply::talk(wish).map(str::to_owned));
    }
    parts.retain(|part| !part.is_empty());
    Ok(parts.join("\n\n"))
}

/// Adds the calls for what is to be done with a task, or a remark on why there are none.
fn change(
    readings: &[(String, Deed)],
    conversation: &Conversation<'_>,
    tools: &mut Tools<'_>,
    changes: &mut Vec<(Call, String)>,
    remarks: &mut Vec<String>,
) -> Result<(), Answer> {
    let Some((mut wanted, mut deed)) = readings.first().map(|(wanted, deed)| (wanted, deed)) else {
        remarks.push("What should the new title be?".to_owned());
        return Ok(());
    };
    if readings.len() > 1 {
        // The one that names a task best; of equals, the first.
        let open = tools.view(None)?;
        for (other, its) in readings {
            if tasks::fit(&open, other) > tasks::fit(&open, wanted) {
                (wanted, deed) = (other, its);
            }
        }
    }
    for (part, found) in targets(wanted, deed, conversation, tools)? {
        match found {
            Found::One(task) => match call(deed, &task, conversation) {
                // "The milk and the oat milk" may well be one task.
                Ok(call)
                    if changes.iter().any(|(other, _)| {
                        (&other.name, &other.arguments) == (&call.name, &call.arguments)
                    }) => {}
                Ok(call) => changes.push((call, task.title().to_owned())),
                Err(remark) => remarks.push(remark),
            },
            Found::Several(tasks) => remarks.push(reply::which_one(&asked_by(&part), &tasks)),
            Found::None => remarks.push(reply::not_found(&part, &tools.view(None)?)),
        }
    }
    Ok(())
}

/// The tasks that are meant, each with the words for it. "Milk and bread" may be two.
fn targets(
    wanted: &str,
    deed: &Deed,
    conversation: &Conversation<'_>,
    tools: &mut Tools<'_>,
) -> Result<Vec<(String, Found)>, Answer> {
    let views: &[Option<&str>] = match deed {
        Deed::Reopen => &[Some("completed"), None],
        Deed::Restore => &[Some("deleted")],
        _ => &[None, Some("completed")],
    };
    let target = conversation.target(wanted, deed);
    let mut look = |wanted: &str, find: &dyn Fn(&[Task]) -> Found| {
        for view in views {
            match find(&tools.view(*view)?) {
                Found::None => {}
                found => return Ok((wanted.to_owned(), found)),
            }
        }
        Ok((wanted.to_owned(), Found::None))
    };
    match target {
        Target::All(view) => {
            let mut all = tools.view(view)?;
            if view.is_none() && *deed == Deed::Delete {
                all.extend(tools.view(Some("completed"))?);
            }
            Ok(all
                .into_iter()
                .map(|task| (wanted.to_owned(), Found::One(task)))
                .collect())
        }
        Target::Mentioned(mentions, choice) => {
            let mut found = Vec::new();
            for mention in &mentions {
                found.push(look(wanted, &|tasks| {
                    tasks::mentioned(tasks, mention)
                        .cloned()
                        .map_or(Found::None, Found::One)
                })?);
            }
            match (found.len(), choice) {
                (0, _) => Ok(vec![(wanted.to_owned(), Found::None)]),
                (2.., Choice::One) => Ok(vec![(
                    wanted.to_owned(),
                    Found::Several(found.into_iter().filter_map(one).collect()),
                )]),
                _ if found
                    .iter()
                    .any(|(_, found)| matches!(found, Found::One(_))) =>
                {
                    Ok(found
                        .into_iter()
                        .filter(|(_, found)| matches!(found, Found::One(_)))
                        .collect())
                }
                _ => Ok(found),
            }
        }
        Target::Words(wanted) => {
            let whole = look(&wanted, &|tasks| tasks::find(tasks, &wanted))?;
            let parts: Vec<&str> = wanted
                .split(" and ")
                .flat_map(|part| part.split([',', ';']))
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect();
            let is_covered =
                matches!(&whole.1, Found::One(task) if tasks::is_covered(task, &wanted));
            if is_covered || parts.len() < 2 {
                return Ok(vec![whole]);
            }
            parts
                .into_iter()
                .take(BATCH)
                .map(|part| look(part, &|tasks| tasks::find(tasks, part)))
                .collect()
        }
    }
}

fn one((_, found): (String, Found)) -> Option<Task> {
    match found {
        Found::One(task) => Some(task),
        _ => None,
    }
}

/// The call that does it, or why there is none.
fn call(deed: &Deed, task: &Task, conversation: &Conversation<'_>) -> Result<Call, String> {
    let title = task.title();
    let is_done = task.value["completed"] == true;
    let due = task.value["due_date"]
        .as_str()
        .and_then(|date| date.parse().ok());
    let mut arguments = Map::from_iter([("task_id".to_owned(), json!(task.id()))]);
    let tool = match deed {
        Deed::Complete if is_done => return Err(format!("**{title}** was done already.")),
        Deed::Reopen if !is_done => return Err(format!("**{title}** is still open.")),
        Deed::Complete => "complete_task",
        Deed::Delete => "delete_task",
        _ => "update_task",
    };
    match deed {
        Deed::Complete | Deed::Delete => {}
        Deed::Reopen => drop(arguments.insert("completed".to_owned(), json!(false))),
        Deed::Restore => drop(arguments.insert("restore".to_owned(), json!(true))),
        Deed::Shift(count, unit) => {
            let date = details::later(due.unwrap_or(conversation.now.date()), *count, *unit);
            arguments.extend(details::dated(date.ok_or("That is too far away.")?));
        }
        Deed::Set(details, others) => {
            let mut fields = details.arguments(conversation.now, due.is_some());
            if let (Some(new), Some(old)) = (fields.get_mut("tags"), task.value["tags"].as_array())
            {
                let old: Vec<Value> = old
                    .iter()
                    .filter(|tag| !details.tags.iter().any(|new| *tag == new))
                    .cloned()
                    .collect();
                *new = old
                    .into_iter()
                    .chain(details.tags.iter().map(|tag| json!(tag)))
                    .collect();
            }
            fields.extend(others.clone());
            if fields.is_empty() {
                return Err(format!(
                    "What should change about **{title}**? You can say *move it to Friday*, for example."
                ));
            }
            arguments.extend(fields);
        }
    }
    Ok(Call::new(tool, &Value::Object(arguments)))
}

/// The tools, with the results that they have had.
struct Tools<'a> {
    request: &'a Value,
    steps: slice::Iter<'a, Step>,
    views: HashMap<Option<&'static str>, Vec<Task>>,
}

impl Tools<'_> {
    /// The results of these calls, or the answer that makes those which have none.
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Step>, Answer> {
        let had: Vec<Step> = self.steps.by_ref().take(calls.len()).cloned().collect();
        let next = &calls[had.len()..];
        let Some(call) = next.first() else {
            return Ok(had);
        };
        if !request::offers(self.request, &call.name) {
            return Err(Answer::text(format!(
                "I would need the tool `{}` for that, and it is not offered to me.",
                call.name
            )));
        }
        Err(Answer::calls(next.iter().take(BATCH).cloned().collect()))
    }

    /// The tasks of a view; `None` is the one of all open tasks.
    fn view(&mut self, view: Option<&'static str>) -> Result<Vec<Task>, Answer> {
        if let Some(tasks) = self.views.get(&view) {
            return Ok(tasks.clone());
        }
        let (mut tasks, mut query) = (
            Vec::new(),
            view.map_or(json!({}), |view| json!({"view": view})),
        );
        for _ in 0..PAGES {
            let step = self.call(&[Call::new("list_tasks", &query)])?.remove(0);
            if !step.succeeded() {
                return Err(Answer::text(reply::failed("read your list", &step)));
            }
            let result = step.result.unwrap_or_default();
            tasks.extend(Task::all(&result));
            match result["next_cursor"].as_str() {
                Some(cursor) => query["cursor"] = json!(cursor),
                None => break,
            }
        }
        self.views.insert(view, tasks.clone());
        Ok(tasks)
    }
}
