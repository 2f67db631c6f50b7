//! The other side of the conversation: a user, and a list that the tools work on.

use serde_json::{Value, json};

use super::super::decide;
use crate::model::answer::{Answer, Call};

/// A to-do list that executes the five tools, and the conversation so far. It is six in the evening of a Thursday.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) tasks: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// The calls since the user spoke, in short.
    pub(super) called: Vec<String>,
    pub(super) page: Option<usize>,
}

const SENT: &str = "\n\n[Sent: Thursday, 2026-11-26 18:03, America/Los_Angeles]";

impl Desk {
    /// A list of these tasks: `+` before a done one, `-` before a deleted one, a date behind a bar.
    pub(super) fn with(tasks: &[&str]) -> Self {
        let mut desk = Self::default();
        for task in tasks {
            let (title, due) = task
                .split_once(" | ")
                .map_or((*task, None), |(title, due)| (title, Some(due)));
            let title = title.trim_start_matches(['+', '-']);
            desk.run("add_task", &json!({"title": title, "due_date": due}));
            let last = desk.tasks.last_mut().unwrap();
            last["completed"] = json!(task.starts_with('+'));
            last["deleted"] = json!(task.starts_with('-'));
        }
        desk
    }

    /// Lets the model answer a message, running its tools, and returns its last words.
    pub(super) fn say(&mut self, text: &str) -> String {
        let content = format!("{text}{SENT}");
        self.messages
            .push(json!({"role": "user", "content": content}));
        self.called.clear();
        for _ in 0..16 {
            let answer = decide(&self.request());
            if answer.calls.is_empty() {
                self.messages
                    .push(json!({"role": "assistant", "content": answer.text}));
                return answer.text;
            }
            self.carry_out(&answer);
        }
        panic!("{text:?} has no end: {:?}", self.called);
    }

    pub(super) fn request(&self) -> Value {
        let names = [
            "add_task",
            "list_tasks",
            "complete_task",
            "delete_task",
            "update_task",
        ];
        let tools = names.map(|name| json!({"type": "function", "function": {"name": name}}));
        json!({"model": "stand-in", "messages": self.messages, "tools": tools})
    }

    fn carry_out(&mut self, answer: &Answer) {
        let function = |c: &Call| json!({"name": c.name, "arguments": c.arguments});
        let call = |c: &Call| json!({"id": c.id, "type": "function", "function": function(c)});
        let calls: Vec<Value> = answer.calls.iter().map(call).collect();
        self.messages
            .push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        for call in &answer.calls {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            self.called.push(self.in_short(&call.name, &arguments));
            let result = self.run(&call.name, &arguments).to_string();
            self.messages
                .push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
        }
    }

    /// A call on one line: `add call Ann | 2026-11-27 friday 17:00`.
    fn in_short(&self, tool: &str, arguments: &Value) -> String {
        let named = |task: &&Value| task["id"] == arguments["task_id"];
        let task = self.tasks.iter().find(named).unwrap_or(arguments);
        let title = task["title"].as_str().unwrap_or_default();
        let plain = [
            "due_date", "weekday", "due_time", "repeat", "priority", "tags",
        ];
        let mut fields = arguments.as_object().unwrap().clone();
        fields.retain(|name, _| name != "task_id" && !(tool == "add_task" && name == "title"));
        let mut words: Vec<String> = Vec::new();
        words.extend(
            plain
                .iter()
                .filter_map(|name| Some(fields.remove(*name)?.to_string())),
        );
        words.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
        let tool = tool.replace("_tasks", "").replace("_task", "");
        let bar = if title.is_empty() || words.is_empty() {
            ""
        } else {
            "| "
        };
        let line = format!("{tool} {title} {bar}{}", words.join(" "));
        line.replace('"', "").replace("  ", " ").trim().to_owned()
    }

    fn run(&mut self, tool: &str, arguments: &Value) -> Value {
        match tool {
            "add_task" => {
                let id = format!("id-{}", self.tasks.len());
                let mut task = json!({"id": id, "description": null, "completed": false, "deleted": false, "priority": "p4", "tags": []});
                set(&mut task, arguments);
                self.tasks.push(task.clone());
                json!({"success": true, "task_id": id, "message": format!("Added {}.", about(&task)), "task": task})
            }
            "list_tasks" => self.list(arguments),
            _ => self.change(tool, arguments),
        }
    }

    fn list(&self, arguments: &Value) -> Value {
        let search = arguments["search"].as_str().unwrap_or_default();
        let view = arguments["view"]
            .as_str()
            .unwrap_or(if arguments["completed"] == true {
                "completed"
            } else {
                "open"
            });
        let fits = |t: &&Value| {
            let due = t["due_date"].as_str();
            let in_view = match view {
                "deleted" => return t["deleted"] == true,
                "completed" => t["completed"] == true,
                "today" => due.is_some_and(|due| due <= "2026-11-26"),
                "overdue" => due.is_some_and(|due| due < "2026-11-26"),
                _ => true,
            };
            t["deleted"] == false
                && in_view
                && (view == "completed") == (t["completed"] == true)
                && t["title"].as_str().unwrap().contains(search)
        };
        let all: Vec<&Value> = self.tasks.iter().filter(fits).collect();
        let from: usize = arguments["cursor"]
            .as_str()
            .map_or(0, |c| c.parse().unwrap());
        let to = self
            .page
            .map_or(all.len(), |page| all.len().min(from + page));
        let next = (to < all.len()).then(|| to.to_string());
        json!({"success": true, "tasks": all[from..to], "count": to - from, "total": all.len(), "next_cursor": next})
    }

    fn change(&mut self, tool: &str, arguments: &Value) -> Value {
        let id = &arguments["task_id"];
        let Some(task) = self.tasks.iter_mut().find(|task| task["id"] == *id) else {
            return json!({"success": false, "error": {"type": "resource_not_found", "message": "no such task", "details": {}}});
        };
        let message = match tool {
            "complete_task" if !task["repeat"].is_null() => {
                let message = "\"x\" is done. It comes again: Mon, 30 Nov 2026, in 4 days.";
                return json!({"success": true, "message": message, "next_due": "2026-11-30"});
            }
            "complete_task" => {
                task["completed"] = json!(true);
                format!("{} is done.", task["title"])
            }
            "delete_task" => {
                task["deleted"] = json!(true);
                format!(
                    "Deleted {}. For 30 days it can be brought back.",
                    task["title"]
                )
            }
            _ => {
                set(task, arguments);
                format!("Changed {}.", about(task))
            }
        };
        json!({"success": true, "message": message, "task": task})
    }

    /// Titles of what is not deleted, with a plus before the completed ones.
    pub(super) fn titles(&self) -> Vec<String> {
        let mark = |t: &Value| if t["completed"] == true { "+" } else { "" };
        let kept = self.tasks.iter().filter(|t| t["deleted"] == false);
        kept.map(|t| format!("{}{}", mark(t), t["title"].as_str().unwrap()))
            .collect()
    }
}

fn about(task: &Value) -> String {
    let due = task["due_date"]
        .as_str()
        .map(|date| format!(", due on {date}"));
    format!("{}{}", task["title"], due.unwrap_or_default())
}

fn set(task: &mut Value, arguments: &Value) {
    for (field, value) in arguments.as_object().unwrap() {
        match field.as_str() {
            "task_id" => {}
            "restore" => task["deleted"] = json!(false),
            "clear" => value
                .as_array()
                .unwrap()
                .iter()
                .for_each(|field| task[field.as_str().unwrap()] = Value::Null),
            _ => task[field] = value.clone(),
        }
    }
    task["due"] = match task["due_date"].as_str() {
        Some(date) => json!(format!("on {date}")),
        None => json!("no due date"),
    };
}
