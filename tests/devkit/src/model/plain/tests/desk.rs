//! The other side of the conversation: a user, and a list that the tools work on.

use serde_json::{Value, json};

use super::super::decide;
use crate::model::answer::{Answer, Call};

/// A to-do list that executes the five tools, and the conversation so far.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) tasks: Vec<Value>,
    made: usize,
    pub(super) messages: Vec<Value>,
    /// The tools called since the user spoke.
    pub(super) called: Vec<String>,
    pub(super) page: Option<usize>,
}

impl Desk {
    pub(super) fn with(titles: &[&str]) -> Self {
        let mut desk = Self::default();
        for title in titles {
            let (title, done) = title
                .strip_prefix('+')
                .map_or((*title, false), |title| (title, true));
            desk.run("add_task", &json!({"title": title}));
            desk.tasks[desk.made - 1]["completed"] = json!(done);
        }
        desk
    }

    /// Lets the model answer a message, running its tools, and returns its last words.
    pub(super) fn say(&mut self, text: &str) -> String {
        self.messages.push(json!({"role": "user", "content": text}));
        self.called.clear();
        for _ in 0..20 {
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
        let tools: Vec<Value> = names
            .iter()
            .map(|n| json!({"type": "function", "function": {"name": n}}))
            .collect();
        json!({"model": "stand-in", "messages": self.messages, "tools": tools})
    }

    fn carry_out(&mut self, answer: &Answer) {
        let function = |c: &Call| json!({"name": c.name, "arguments": c.arguments});
        let call = |c: &Call| json!({"id": c.id, "type": "function", "function": function(c)});
        let calls: Vec<Value> = answer.calls.iter().map(call).collect();
        self.messages
            .push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        for call in &answer.calls {
            let arguments = serde_json::from_str(&call.arguments).unwrap();
            let result = self.run(&call.name, &arguments).to_string();
            self.called.push(call.name.clone());
            self.messages
                .push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
        }
    }

    fn run(&mut self, tool: &str, arguments: &Value) -> Value {
        match tool {
            "add_task" => {
                self.made += 1;
                let id = format!("id-{}", self.made);
                let description = arguments["description"].as_str().unwrap_or_default();
                let task = json!({"id": id, "title": arguments["title"], "description": description, "completed": false});
                self.tasks.push(task);
                json!({"success": true, "task_id": id, "message": "added"})
            }
            "list_tasks" => self.list(arguments),
            _ => self.change(tool, arguments),
        }
    }

    fn list(&self, arguments: &Value) -> Value {
        let search = arguments["search"].as_str().unwrap_or_default();
        let state = |t: &&Value| {
            arguments["completed"].is_null() || t["completed"] == arguments["completed"]
        };
        let fits = |t: &&Value| state(t) && t["title"].as_str().unwrap().contains(search);
        let all: Vec<&Value> = self.tasks.iter().filter(fits).collect();
        let from: usize = arguments["cursor"]
            .as_str()
            .map_or(0, |c| c.parse().unwrap());
        let to = self
            .page
            .map_or(all.len(), |page| all.len().min(from + page));
        let next = (to < all.len()).then(|| to.to_string());
        json!({"success": true, "tasks": all[from..to], "count": to - from, "next_cursor": next})
    }

    fn change(&mut self, tool: &str, arguments: &Value) -> Value {
        let Some(at) = self
            .tasks
            .iter()
            .position(|t| t["id"] == arguments["task_id"])
        else {
            return json!({"success": false, "error": {"type": "not_found", "message": "no such task"}});
        };
        match tool {
            "complete_task" => self.tasks[at]["completed"] = json!(true),
            "delete_task" => drop(self.tasks.remove(at)),
            _ => {
                for (field, value) in arguments
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(field, _)| *field != "task_id")
                {
                    self.tasks[at][field] = value.clone();
                }
            }
        }
        json!({"success": true, "task_id": arguments["task_id"], "message": "changed"})
    }

    /// Titles, with a plus before the completed ones.
    pub(super) fn titles(&self) -> Vec<String> {
        let mark = |t: &Value| if t["completed"] == true { "+" } else { "" };
        self.tasks
            .iter()
            .map(|t| format!("{}{}", mark(t), t["title"].as_str().unwrap()))
            .collect()
    }
}
