//! The next answer of the plain model: which tools to call now, or what to say. Must not read English; that is
//! done in `intent.rs`.

use serde_json::{Value, json};

use super::intent::{Intent, Which};
use super::plan::Plan;
use super::reference;
use super::reply;
use super::titles::Task;
use crate::model::answer::{Answer, Call};
use crate::model::request::{self, Step};

/// How many pages of the list are read to find a task.
const PAGES: usize = 10;

/// Answers a Chat Completions request from its messages and tools alone.
pub fn decide(request: &Value) -> Answer {
    let wishes = reference::wishes(request);
    let steps = request::steps(request);
    let done = Progress::read(&steps, wishes.iter().any(|wish| wish.target().is_some()));
    let plan = Plan::make(&wishes, &done.tasks());
    let calls = next_calls(&wishes, &done, &plan);
    if let Some(missing) = calls
        .iter()
        .find(|call| !request::offers(request, &call.name))
    {
        return Answer::text(format!(
            "I would need the tool `{}` for that, and it is not offered to me.",
            missing.name
        ));
    }
    if !calls.is_empty() {
        return Answer::calls(calls);
    }
    Answer::text(conclusion(&wishes, &done, &plan))
}

/// What has been done since the user spoke, sorted by purpose.
struct Progress<'a> {
    wants_lookup: bool,
    adds: Vec<&'a Step>,
    /// The pages of the list in which targets are looked up.
    lookup: Vec<&'a Step>,
    changes: Vec<&'a Step>,
    /// Lists read to be shown.
    shown: Vec<&'a Step>,
}

impl<'a> Progress<'a> {
    fn read(steps: &'a [Step], wants_lookup: bool) -> Self {
        let mut progress = Self {
            wants_lookup,
            adds: vec![],
            lookup: vec![],
            changes: vec![],
            shown: vec![],
        };
        for step in steps {
            let further_page = step.arguments["cursor"].is_string();
            match step.name.as_str() {
                "add_task" => progress.adds.push(step),
                "list_tasks" if wants_lookup && (progress.lookup.is_empty() || further_page) => {
                    progress.lookup.push(step)
                }
                "list_tasks" => progress.shown.push(step),
                _ => progress.changes.push(step),
            }
        }
        progress
    }

    fn tasks(&self) -> Vec<Task> {
        self.lookup
            .iter()
            .filter_map(|step| step.result.as_ref())
            .flat_map(Task::all)
            .collect()
    }

    fn lookup_failed(&self) -> Option<&Step> {
        self.lookup.iter().copied().find(|step| !step.succeeded())
    }

    fn next_page(&self) -> Option<&str> {
        let last = self.lookup.last().filter(|_| self.lookup.len() < PAGES)?;
        last.result.as_ref()?["next_cursor"].as_str()
    }
}

fn next_calls(wishes: &[Intent], done: &Progress<'_>, plan: &Plan) -> Vec<Call> {
    let mut calls = Vec::new();
    if done.adds.is_empty() {
        calls.extend(wishes.iter().flat_map(adds));
    }
    if done.wants_lookup && done.lookup.is_empty() {
        calls.push(Call::new("list_tasks", &json!({})));
    } else if let Some(cursor) = done.next_page() {
        calls.push(Call::new("list_tasks", &json!({"cursor": cursor})));
    }
    if !calls.is_empty() || done.lookup_failed().is_some() {
        return calls;
    }
    if done.changes.is_empty() && !plan.changes.is_empty() {
        return plan
            .changes
            .iter()
            .map(|change| Call::new(change.tool, &change.arguments))
            .collect();
    }
    // Shown lists come last, so that they show what has been done.
    if done.shown.is_empty() {
        wishes.iter().filter_map(listing).collect()
    } else {
        Vec::new()
    }
}

fn adds(wish: &Intent) -> Vec<Call> {
    let Intent::Add {
        titles,
        description,
    } = wish
    else {
        return Vec::new();
    };
    let arguments = |title: &String| match description {
        Some(description) => json!({"title": title, "description": description}),
        None => json!({"title": title}),
    };
    titles
        .iter()
        .map(|title| Call::new("add_task", &arguments(title)))
        .collect()
}

fn listing(wish: &Intent) -> Option<Call> {
    let Intent::List { which, search } = wish else {
        return None;
    };
    let mut arguments = match which {
        Which::Open => json!({"completed": false}),
        Which::Done => json!({"completed": true}),
        Which::All => json!({}),
    };
    if let Some(search) = search {
        arguments["search"] = json!(search);
    }
    Some(Call::new("list_tasks", &arguments))
}

fn conclusion(wishes: &[Intent], done: &Progress<'_>, plan: &Plan) -> String {
    let mut parts = Vec::new();
    if !done.adds.is_empty() {
        parts.push(reply::added(&done.adds));
    }
    if let Some(failed) = done.lookup_failed() {
        parts.push(reply::failed("read your list", failed));
    } else {
        for (change, step) in plan.changes.iter().zip(&done.changes) {
            let sorry = || reply::failed(&format!("change **{}**", change.title), step);
            parts.push(if step.succeeded() {
                change.deed.clone()
            } else {
                sorry()
            });
        }
        parts.extend(plan.remarks.iter().cloned());
    }
    let questions = wishes
        .iter()
        .filter(|wish| matches!(wish, Intent::List { .. }));
    parts.extend(
        questions
            .zip(&done.shown)
            .map(|(question, step)| reply::list(question, step)),
    );
    parts.extend(wishes.iter().filter_map(reply::talk).map(str::to_owned));
    parts.join("\n\n")
}
