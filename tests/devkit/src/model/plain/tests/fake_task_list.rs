//! The other side of the conversation: a user, and a list that the tools work on.

use serde_json::{Value, json};

use super::super::decide;

/// A to-do list that executes the five tools, and the conversation so far. It is six in the evening of a Thursday.
#[derive(Default)]
pub(super) struct FakeTaskList {
    pub(super) tasks: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// The calls since the user spoke, in short.
    pub(super) called: Vec<String>,
}

const SENT: &str = "\n\n[Sent: Thursday, 2026-11-26 18:03, America/Los_Angeles]";
const TOOLS: &str = "add_task list_tasks complete_task delete_task update_task";

impl FakeTaskList {
    /// A list of these tasks: `+` before a done one, `-` before a deleted one, a date behind a bar.
    pub(super) fn with(tasks: &[&str]) -> Self {
        let mut list = Self::default();
        for task in tasks {
            let (title, due) = task.split_once(" | ").unwrap_or((task, ""));
            let title = title.trim_start_matches(['+', '-']);
            let due = Some(due).filter(|due| !due.is_empty());
            list.run("add_task", json!({"title": title, "due_date": due}));
            let last = list.tasks.last_mut().unwrap();
            last["completed"] = json!(task.starts_with('+'));
            last["deleted"] = json!(task.starts_with('-'));
        }
        list
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
            let (mut calls, mut results) = (Vec::new(), Vec::new());
            for call in &answer.calls {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                self.called.push(self.in_short(&call.name, &arguments));
                let result = self.run(&call.name, arguments).to_string();
                results.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
                let function = json!({"name": call.name, "arguments": call.arguments});
                calls.push(json!({"id": call.id, "type": "function", "function": function}));
            }
            message["tool_calls"] = json!(calls);
            self.messages.push(message);
            self.messages.append(&mut results);
        }
        panic!("{text:?} has no end: {:?}", self.called);
    }

    pub(super) fn request(&self) -> Value {
        let tools = TOOLS.split(' ');
        let tools = tools.map(|name| json!({"type": "function", "function": {"name": name}}));
        json!({"model": "stand-in", "messages": self.messages, "tools": tools.collect::<Value>()})
    }

    /// A call on one line: `add call Ann | 2026-11-27 friday 17:00`.
    fn in_short(&self, tool: &str, arguments: &Value) -> String {
        let id = &arguments["task_id"];
        let task = self.tasks.iter().find(|task| task["id"] == *id);
        let title = &task.unwrap_or(arguments)["title"];
        let mut fields = arguments.as_object().unwrap().clone();
        fields.retain(|name, value| name != "task_id" && (tool != "add_task" || value != title));
        let known = [
            "due_date", "weekday", "due_time", "repeat", "priority", "tags",
        ];
        let values = known.iter().filter_map(|name| fields.remove(*name));
        let mut words: Vec<String> = values.map(|value| value.to_string()).collect();
        words.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
        let tool = tool.replace("_tasks", "").replace("_task", "");
        let words = words.join(" ").replace('"', "");
        let line = match (title.as_str().unwrap_or_default(), words.as_str()) {
            (title @ "", _) | (title, "") => format!("{tool} {title}{words}"),
            (title, _) => format!("{tool} {title} | {words}"),
        };
        line.trim().to_owned()
    }

    fn run(&mut self, tool: &str, arguments: Value) -> Value {
        let view = arguments["view"].as_str().unwrap_or_default();
        let title = arguments["title"].as_str().unwrap_or_default();
        if tool == "list_tasks" {
            let tasks: Vec<&Value> = self.tasks.iter().filter(|task| fits(task, view)).collect();
            return json!({"success": true, "tasks": tasks, "total": tasks.len()});
        }
        if title.len() > 255 {
            return json!({"success": false, "error": {"message": "too long"}});
        }
        if tool == "add_task" {
            let id = format!("id-{}", self.tasks.len());
            let task = json!({"id": id, "completed": false, "deleted": false});
            self.tasks.push(task);
        }
        let given = |task: &Value| task["id"] == arguments["task_id"];
        let at = self.tasks.iter().position(given);
        let at = at.unwrap_or(self.tasks.len() - 1);
        let task = &mut self.tasks[at];
        for (name, value) in arguments.as_object().unwrap() {
            match name.as_str() {
                "task_id" => {}
                "restore" => task["deleted"] = json!(false),
                _ => task[name] = value.clone(),
            }
        }
        let due = task["due_date"].as_str().map(|date| format!("on {date}"));
        let when = due.as_ref().map(|due| format!(", due {due}"));
        let when = when.unwrap_or_default();
        task["due"] = json!(due);
        let title = task["title"].clone();
        let message = match tool {
            "add_task" => format!("Added {title}{when}."),
            "complete_task" => format!("{title} is done."),
            "delete_task" => format!("Deleted {title}. For 30 days it can be brought back."),
            _ => format!("Changed {title}{when}."),
        };
        task["completed"] = json!(task["completed"] == true || tool == "complete_task");
        task["deleted"] = json!(task["deleted"] == true || tool == "delete_task");
        json!({"success": true, "task_id": task["id"], "message": message, "task": task})
    }

    /// Titles of what is not deleted, with a plus before the completed ones.
    pub(super) fn titles(&self) -> Vec<String> {
        let kept = self.tasks.iter().filter(|task| task["deleted"] == false);
        let mark = |task: &Value| if task["completed"] == true { "+" } else { "" };
        kept.map(|task| format!("{}{}", mark(task), task["title"].as_str().unwrap()))
            .collect()
    }
}

fn fits(task: &Value, view: &str) -> bool {
    let due = task["due_date"].as_str().unwrap_or("9999");
    let is_due = match view {
        "today" => due <= "2026-11-26",
        "overdue" => due < "2026-11-26",
        _ => true,
    };
    let is_open = (view == "completed") == (task["completed"] == true);
    match view {
        "deleted" => task["deleted"] == true,
        _ => task["deleted"] == false && is_open && is_due,
    }
}
