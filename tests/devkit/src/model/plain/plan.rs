//! From wishes about tasks to changes of tasks, once the list is known. A function of both and nothing else, so it
//! comes out the same when it is made again after the tools have run.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::intent::Intent;
use super::reply;
use super::titles::{self, Found, Task};

/// A tool call that changes one task.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
    /// What to say when it worked.
    pub(super) deed: String,
    /// What it was, for saying that it did not work.
    pub(super) title: String,
}

/// What to change, and what to say about wishes that change nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) remarks: Vec<String>,
}

impl Plan {
    pub(super) fn make(wishes: &[Intent], tasks: &[Task]) -> Self {
        let mut plan = Self::default();
        for wish in wishes {
            match wish {
                Intent::Rename(text) => plan.rename(text, tasks),
                _ => plan.apply(wish, tasks),
            }
        }
        plan
    }

    fn apply(&mut self, wish: &Intent, tasks: &[Task]) {
        let Some(target) = wish.target() else { return };
        let reopening = matches!(wish, Intent::Reopen(_));
        if let Some(chosen) = all_of(wish, target, tasks) {
            if chosen.is_empty() {
                self.remarks.push("There is no such task.".into());
            }
            for task in chosen {
                self.change(wish, task);
            }
            return;
        }
        for (part, found) in titles::find_each(tasks, target, reopening) {
            match found {
                Found::One(task) => self.change(wish, task),
                Found::Several(tasks) => self.remarks.push(reply::which_one(&tasks)),
                Found::None => self.remarks.push(reply::not_found(&part, tasks)),
            }
        }
    }

    fn change(&mut self, wish: &Intent, task: &Task) {
        let title = &task.title;
        let id = &task.id;
        let (tool, arguments, deed) = match wish {
            Intent::Complete(_) if task.completed => {
                return self.remarks.push(format!("**{title}** was done already."));
            }
            Intent::Reopen(_) if !task.completed => {
                return self.remarks.push(format!("**{title}** is still open."));
            }
            Intent::Complete(_) => (
                "complete_task",
                json!({"task_id": id}),
                format!("Well done! **{title}** is ticked off."),
            ),
            Intent::Delete(_) => (
                "delete_task",
                json!({"task_id": id}),
                format!("I've deleted **{title}**."),
            ),
            Intent::Reopen(_) => (
                "update_task",
                json!({"task_id": id, "completed": false}),
                format!("**{title}** is open again."),
            ),
            Intent::Describe { note, .. } => (
                "update_task",
                json!({"task_id": id, "description": note}),
                format!("I've added the note to **{title}**."),
            ),
            _ => return,
        };
        // "The milk and the oat milk" may well be one task.
        if self
            .changes
            .iter()
            .all(|c| c.tool != tool || c.arguments != arguments)
        {
            self.changes.push(Change {
                tool,
                arguments,
                deed,
                title: title.clone(),
            });
        }
    }

    fn rename(&mut self, text: &str, tasks: &[Task]) {
        let splits = text
            .match_indices(" to ")
            .map(|(at, _)| (&text[..at], &text[at + 4..]));
        // Of several ways to read it, the one that names a task best; of equals, the first.
        let best = splits.min_by_key(|(old, _)| Reverse(titles::fit(tasks, old)));
        let Some((old, new)) = best else {
            return self.remarks.push("What should the new title be?".into());
        };
        let (old, new) = (
            old.trim_matches(['"', ' ', '*']),
            new.trim_matches(['"', ' ', '*']),
        );
        match titles::find(tasks, old, false) {
            Found::One(task) => self.changes.push(Change {
                tool: "update_task",
                arguments: json!({"task_id": task.id, "title": new}),
                deed: format!("I've renamed *{}* to **{new}**.", task.title),
                title: task.title.clone(),
            }),
            Found::Several(tasks) => self.remarks.push(reply::which_one(&tasks)),
            Found::None => self.remarks.push(reply::not_found(old, tasks)),
        }
    }
}

/// The tasks meant by "everything" or "all done tasks"; `None` when the target is a title.
fn all_of<'a>(wish: &Intent, target: &str, tasks: &'a [Task]) -> Option<Vec<&'a Task>> {
    const FILLERS: [&str; 9] = [
        "task", "tasks", "item", "items", "of", "them", "the", "my", "list",
    ];
    let lower = target.to_lowercase();
    let mut words = lower.split_whitespace();
    words
        .next()
        .filter(|first| ["everything", "all", "every"].contains(first))?;
    let mut state = match wish {
        Intent::Complete(_) => Some(false),
        Intent::Reopen(_) => Some(true),
        _ => None,
    };
    for word in words.filter(|word| !FILLERS.contains(word)) {
        state = Some(match word {
            "done" | "completed" | "finished" | "complete" => true,
            "open" | "remaining" | "undone" => false,
            _ => return None,
        });
    }
    Some(
        tasks
            .iter()
            .filter(|task| state.is_none_or(|state| task.completed == state))
            .collect(),
    )
}
