//! The other side of the conversation: a user, and a list that the tools work on.

use serde_json::{Map, Value, json};

use super::super::decide;

/// A to-do list that executes the five tools, and the conversation so far. It is six in the evening of a Thursday.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) tasks: Vec<Map<String, Value>>,
    pub(super) messages: Vec<Value>,
    /// The calls since the user spoke, in short.
    pub(super) called: Vec<String>,
    pub(super) page: Option<usize>,
}

const SENT: &str = "\n\n[Sent: Thursday, 2026-11-26 18:03, America/Los_Angeles]";
const TOOLS: &str = "add_task list_tasks complete_task delete_task update_task";

impl Desk {
    /// A list of these tasks: `+` before a done one, `-` before a deleted one, a date behind a bar.
    pub(super) fn with(tasks: &[&str]) -> Self {
        let mut desk = Self::default();
        for task in tasks {
            let (title, due) = task.split_once(" | ").unwrap_or((task, ""));
            let due = Some(due).filter(|due| !due.is_empty());
            let title = title.trim_start_matches(['+', '-']);
            desk.run("add_task", &json!({"title": title, "due_date": due}));
            let last = desk.tasks.last_mut().unwrap();
            last.insert("completed".into(), json!(task.starts_with('+')));
            last.insert("deleted".into(), json!(task.starts_with('-')));
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
            let mut message = json!({"role": "assistant", "content": answer.text});
            if answer.calls.is_empty() {
                assert_ne!(answer.text, "", "{text}");
                self.messages.push(message);
                return answer.text;
            }
            let mut results = Vec::new();
            for call in &answer.calls {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                self.called.push(self.in_short(&call.name, &arguments));
                let result = self.run(&call.name, &arguments).to_string();
                results.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
            }
            let calls = answer.calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": call.id, "type": "function", "function": function})
            });
            message["tool_calls"] = calls.collect();
            self.messages.push(message);
            self.messages.append(&mut results);
        }
        panic!("{text:?} has no end: {:?}", self.called);
    }

    pub(super) fn request(&self) -> Value {
        let tools = TOOLS
            .split(' ')
            .map(|name| json!({"type": "function", "function": {"name": name}}));
        json!({"model": "stand-in", "messages": self.messages, "tools": tools.collect::<Value>()})
    }

    /// A call on one line: `add call Ann | 2026-11-27 friday 17:00`.
    fn in_short(&self, tool: &str, arguments: &Value) -> String {
        let task = self
            .tasks
            .iter()
            .find(|task| task["id"] == arguments["task_id"]);
        let title = task
            .map_or(&arguments["title"], |task| &task["title"])
            .as_str()
            .unwrap_or_default();
        let mut fields = arguments.as_object().unwrap().clone();
        fields.retain(|name, value| name != "task_id" && !(tool == "add_task" && value == title));
        let mut words = Vec::new();
        for name in [
            "due_date", "weekday", "due_time", "repeat", "priority", "tags",
        ] {
            words.extend(fields.remove(name).map(|value| value.to_string()));
        }
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
        if tool == "list_tasks" {
            return self.list(arguments);
        }
        if arguments["title"]
            .as_str()
            .is_some_and(|title| title.len() > 255)
        {
            return json!({"success": false, "error": {"message": "too long"}});
        }
        if tool == "add_task" {
            let task = json!({"id": format!("id-{}", self.tasks.len()), "completed": false, "deleted": false, "priority": "p4", "tags": []});
            self.tasks.push(task.as_object().unwrap().clone());
        }
        let last = self.tasks.len() - 1;
        let at = self
            .tasks
            .iter()
            .position(|task| task["id"] == arguments["task_id"])
            .unwrap_or(last);
        let task = &mut self.tasks[at];
        if tool == "complete_task" && task.contains_key("repeat") {
            let message = "\"x\" is done. It comes again: Mon, 30 Nov 2026, in 4 days.";
            return json!({"success": true, "message": message, "next_due": "2026-11-30"});
        }
        let mut fields = arguments.as_object().unwrap().clone();
        for field in fields
            .remove("clear")
            .iter()
            .filter_map(Value::as_array)
            .flatten()
        {
            task.remove(field.as_str().unwrap());
        }
        fields.retain(|name, value| name != "task_id" && !value.is_null());
        match tool {
            "complete_task" => fields = Map::from_iter([("completed".into(), json!(true))]),
            "delete_task" => fields = Map::from_iter([("deleted".into(), json!(true))]),
            _ if fields.remove("restore").is_some() => {
                fields.insert("deleted".into(), json!(false));
            }
            _ => {}
        }
        task.extend(fields);
        let due = task
            .get("due_date")
            .and_then(Value::as_str)
            .map(|date| format!("on {date}"));
        let when = due
            .as_ref()
            .map(|due| format!(", due {due}"))
            .unwrap_or_default();
        task.insert("due".into(), json!(due));
        let title = task["title"].clone();
        let message = match tool {
            "add_task" => format!("Added {title}{when}."),
            "complete_task" => format!("{title} is done."),
            "delete_task" => format!("Deleted {title}. For 30 days it can be brought back."),
            _ => format!("Changed {title}{when}."),
        };
        json!({"success": true, "task_id": task["id"], "message": message, "task": task})
    }

    fn list(&self, arguments: &Value) -> Value {
        let done = if arguments["completed"] == true {
            "completed"
        } else {
            "open"
        };
        let view = arguments["view"].as_str().unwrap_or(done);
        let search = arguments["search"].as_str().unwrap_or_default();
        let fits = |task: &&Map<String, Value>| {
            let due = task
                .get("due_date")
                .and_then(Value::as_str)
                .unwrap_or("9999");
            let is_due = due
                <= match view {
                    "today" => "2026-11-26",
                    "overdue" => "2026-11-25",
                    _ => "9999",
                };
            let is_open =
                (view == "completed") == (task["completed"] == true) && task["deleted"] == false;
            (if view == "deleted" {
                task["deleted"] == true
            } else {
                is_open && is_due
            }) && task["title"].as_str().unwrap().contains(search)
        };
        let all: Vec<_> = self.tasks.iter().filter(fits).collect();
        let from: usize = arguments["cursor"]
            .as_str()
            .map_or(0, |cursor| cursor.parse().unwrap());
        let to = self
            .page
            .map_or(all.len(), |page| all.len().min(from + page));
        let next = (to < all.len()).then(|| to.to_string());
        json!({"success": true, "tasks": all[from..to], "count": to - from, "total": all.len(), "next_cursor": next})
    }

    /// Titles of what is not deleted, with a plus before the completed ones.
    pub(super) fn titles(&self) -> Vec<String> {
        let kept = self.tasks.iter().filter(|task| task["deleted"] == false);
        let mark = |task: &Map<String, Value>| if task["completed"] == true { "+" } else { "" };
        kept.map(|task| format!("{}{}", mark(task), task["title"].as_str().unwrap()))
            .collect()
    }
}
