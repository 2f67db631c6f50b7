//! What a user may want to say next, from what the turn's calls came to. No model is asked and no message is looked into: each is something that
//! the list allows now, so it costs nothing and can be done.

use std::collections::HashMap;

use errand_store::read::history::{RecordedCall, RecordedStep};
use serde::Serialize;
use serde_json::Value;

/// How many are offered.
const MOST: usize = 3;
/// Characters of a title that a suggestion repeats; one that is longer is not repeated at all, as a part of it may be another's.
const MAX_TITLE: usize = 60;
/// Tasks that can be chosen from.
const MAX_CHOICES: usize = 4;

/// One suggestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowUp {
    /// What it is, for clients with words of their own: `restore`, `undo`, `schedule`, `left_today`, `choose`, `reschedule_overdue`, `first`.
    pub id: &'static str,
    /// The message to send, in English.
    pub message: String,
    /// The task that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
}

/// What a turn has done so far, as far as suggestions go by it.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    /// Titles of tasks that calls have told of, by id.
    titles: HashMap<String, String>,
    /// Tasks that were added without a date.
    undated: Vec<String>,
    deleted: Vec<String>,
    changes: usize,
    completed: usize,
    /// The last page of the list, and whether it was searched for.
    listed: Option<(Vec<Value>, bool)>,
}

impl Deeds {
    /// Takes note of what a step has done.
    pub(super) fn see(&mut self, step: &RecordedStep) {
        for call in &step.calls {
            if let Some(result) = &call.result
                && result["success"] == true
            {
                self.see_call(call, result);
            }
        }
    }

    fn see_call(&mut self, call: &RecordedCall, result: &Value) {
        let arguments = call.asked.object().unwrap_or_default();
        let task_id = arguments.get("task_id").and_then(Value::as_str);
        if call.asked.name == "list_tasks" {
            let tasks = result["tasks"].as_array().cloned().unwrap_or_default();
            tasks.iter().for_each(|task| self.name(task));
            let is_search = arguments.get("search").is_some_and(Value::is_string);
            self.listed = Some((tasks, is_search));
            return;
        }
        self.changes += 1;
        let task = &result["task"];
        self.name(task);
        match (call.asked.name.as_str(), task_id) {
            ("add_task", _) if task["due_date"].is_null() => {
                self.undated.extend(task["id"].as_str().map(str::to_owned));
            }
            ("complete_task", _) => self.completed += 1,
            ("delete_task", Some(id)) => self.deleted.push(id.to_owned()),
            _ => {}
        }
    }

    fn name(&mut self, task: &Value) {
        if let (Some(id), Some(title)) = (task["id"].as_str(), task["title"].as_str()) {
            self.titles.insert(id.to_owned(), title.to_owned());
        }
    }

    /// What may be said next, the likeliest first.
    pub(super) fn follow_ups(&self) -> Vec<FollowUp> {
        let mut all = match self.changes {
            0 => self.behind_a_look(),
            _ => self.behind_a_change(),
        };
        all.truncate(MOST);
        all
    }

    fn behind_a_change(&self) -> Vec<FollowUp> {
        let mut all = Vec::new();
        match self.deleted.as_slice() {
            [] => {}
            [one] => all.push(self.about(one, "restore", |title| format!("Bring “{title}” back"))),
            _ => all.push(Some(plain("restore", "Bring back what was deleted"))),
        }
        if let ([one], 1) = (self.undated.as_slice(), self.changes) {
            all.push(self.about(one, "schedule", |title| {
                format!("Make “{title}” due tomorrow")
            }));
        }
        if self.completed > 0 {
            all.push(Some(plain("left_today", "What is left for today?")));
        }
        if self.deleted.is_empty() {
            all.push(Some(plain("undo", "Undo that")));
        }
        all.into_iter().flatten().collect()
    }

    fn behind_a_look(&self) -> Vec<FollowUp> {
        let Some((tasks, is_search)) = &self.listed else {
            return Vec::new();
        };
        // What was looked for fits several, and nothing was done: one of them has to be chosen.
        if *is_search && (2..=MAX_CHOICES).contains(&tasks.len()) {
            let choices = tasks.iter().filter_map(|task| task["id"].as_str());
            let choices = choices.map(|id| self.about(id, "choose", |title| format!("“{title}”")));
            return choices.flatten().collect();
        }
        let open = || tasks.iter().filter(|task| task["completed"] == false);
        let is_overdue = |task: &Value| {
            let due = task["due"].as_str();
            due.is_some_and(|due| due.contains("overdue"))
        };
        let overdue = open()
            .any(is_overdue)
            .then(|| plain("reschedule_overdue", "Move what is overdue to tomorrow"));
        let first = (open().count() > 2).then(|| plain("first", "What should I do first?"));
        overdue.into_iter().chain(first).collect()
    }

    /// A suggestion about this task, if it can be named.
    fn about(
        &self,
        task_id: &str,
        id: &'static str,
        message: impl Fn(&str) -> String,
    ) -> Option<FollowUp> {
        let title = self.titles.get(task_id)?;
        (title.chars().count() <= MAX_TITLE).then(|| FollowUp {
            id,
            message: message(title),
            task_id: Some(task_id.to_owned()),
        })
    }
}

fn plain(id: &'static str, message: &str) -> FollowUp {
    FollowUp {
        id,
        message: message.to_owned(),
        task_id: None,
    }
}

#[cfg(test)]
mod tests {
    use errand_store::lifecycle::RequestedCall;
    use serde_json::{Map, json};
    use uuid::Uuid;

    use super::*;

    fn after(calls: &[(&str, Value, Value)]) -> Vec<String> {
        let call = |(name, arguments, result): &(&str, Value, Value)| RecordedCall {
            asked: RequestedCall {
                id: String::new(),
                name: (*name).to_owned(),
                arguments: arguments.to_string(),
                extra: Map::new(),
                is_unclear: false,
            },
            result: Some(result.clone()),
            approved: None,
        };
        let mut deeds = Deeds::default();
        deeds.see(&RecordedStep {
            run_id: Uuid::nil(),
            told_by: Uuid::nil(),
            step: 1,
            content: String::new(),
            calls: calls.iter().map(call).collect(),
            model: None,
            extra: Map::new(),
        });
        let all = deeds.follow_ups().into_iter();
        all.map(|follow_up| format!("{}: {}", follow_up.id, follow_up.message))
            .collect()
    }

    fn task(id: &str, due: &str) -> Value {
        json!({"id": id, "title": format!("task {id}"), "completed": false, "due": due})
    }

    fn added(id: &str, title: &str, due_date: Option<&str>) -> (&'static str, Value, Value) {
        let task = json!({"id": id, "title": title, "due_date": due_date});
        (
            "add_task",
            json!({"title": title}),
            json!({"success": true, "task": task}),
        )
    }

    #[test]
    fn they_go_by_what_was_done() {
        let listed = |arguments: Value, tasks: &[Value]| {
            (
                "list_tasks",
                arguments,
                json!({"success": true, "tasks": tasks}),
            )
        };
        let done = |name, id: &str| (name, json!({"task_id": id}), json!({"success": true}));
        let three = [task("a", "overdue by 3 days"), task("b", ""), task("c", "")];
        let two = listed(json!({"search": "dentist"}), &three[..2]);
        for (calls, expected) in [
            (vec![], vec![]),
            (
                vec![added("a", "buy milk", None)],
                vec!["schedule: Make “buy milk” due tomorrow", "undo: Undo that"],
            ),
            (
                vec![added("a", "buy milk", Some("2026-11-27"))],
                vec!["undo: Undo that"],
            ),
            (
                vec![added("a", &"x".repeat(61), None)],
                vec!["undo: Undo that"],
            ),
            (
                vec![added("a", "a", None), added("b", "b", None)],
                vec!["undo: Undo that"],
            ),
            (
                vec![two.clone(), done("delete_task", "a")],
                vec!["restore: Bring “task a” back"],
            ),
            (vec![done("delete_task", "unknown")], vec![]),
            (
                vec![done("delete_task", "a"), done("delete_task", "b")],
                vec!["restore: Bring back what was deleted"],
            ),
            (
                vec![done("complete_task", "a")],
                vec!["left_today: What is left for today?", "undo: Undo that"],
            ),
            (vec![two], vec!["choose: “task a”", "choose: “task b”"]),
            (
                vec![listed(json!({}), &three)],
                vec![
                    "reschedule_overdue: Move what is overdue to tomorrow",
                    "first: What should I do first?",
                ],
            ),
            (vec![listed(json!({}), &three[1..])], vec![]),
            (
                vec![("add_task", json!({}), json!({"success": false}))],
                vec![],
            ),
        ] {
            assert_eq!(after(&calls), expected, "{calls:?}");
        }
    }
}
