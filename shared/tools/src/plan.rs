//! What a call comes to: the arguments, the task that they are about and the calendar decide what is to be made of the list, and the result. No I/O.

use errand_core::calendar::{Now, zone_or_utc};
use errand_store::tasks::{self, Change, Fields, Full, Stored};
use serde_json::{Value, json};

use super::{
    calls::{AddTask, Edit, UpdateTask},
    check,
    edit::{self, Done},
    error::ToolError,
    subject,
};

/// A call that can be made.
#[derive(Debug)]
pub(super) struct Plan {
    /// What becomes of the list.
    pub(super) change: Change,
    /// What the caller is answered. The times of a task in it are the database's to say.
    pub(super) result: Value,
    /// The title that an error about the whole list names.
    title: Option<String>,
}

/// The user's calendar.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    /// The zone that is remembered of the user.
    zone: Option<String>,
    pub(super) now: Now,
}

impl Calendar {
    pub(super) fn of(zone: Option<String>) -> Self {
        Self {
            now: Now::at(chrono::Utc::now(), zone_or_utc(zone.as_deref())),
            zone,
        }
    }

    /// The zone by which it is.
    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    fn change(&self) -> Change {
        Change::in_zone(self.zone.as_deref())
    }
}

impl Plan {
    fn of(change: Change, result: Value) -> Self {
        Self {
            change,
            result,
            title: None,
        }
    }

    /// What it comes to if the list has no room: what a model can do about it.
    pub(super) fn without_room(&self, what: Full) -> ToolError {
        let (limit, details) = match what {
            Full::Tasks => (
                format!("{} tasks, done ones included", tasks::MAX_TASKS),
                json!({"max_tasks": tasks::MAX_TASKS}),
            ),
            Full::Bytes => (
                format!("{} MiB of text", tasks::MAX_BYTES >> 20),
                json!({"max_bytes": tasks::MAX_BYTES}),
            ),
        };
        let full = ToolError::invalid(format!(
            "The list is full: it may have {limit}. Nothing was changed. Delete tasks that are no longer needed first, such as done ones; ask the user which."
        ))
        .with_details(details);
        match &self.title {
            Some(title) => full.with_detail("title", json!(check::cut(title, 100))),
            None => full,
        }
    }
}

/// What a call comes to, with the task that it is about, if it is about one.
pub(super) fn plan(
    call: &Edit,
    task: Option<Stored>,
    calendar: &Calendar,
) -> Result<Plan, ToolError> {
    let found = |task_id: &str| task.ok_or_else(|| ToolError::task_not_found(task_id));
    match call {
        Edit::Add(call) => add(call, calendar),
        Edit::Complete(call) => complete(found(&call.task_id)?, calendar),
        Edit::Delete(call) => delete(found(&call.task_id)?, calendar),
        Edit::Update(call) => update(call, found(&call.task_id)?, calendar),
    }
}

fn add(call: &AddTask, calendar: &Calendar) -> Result<Plan, ToolError> {
    let now = &calendar.now;
    let task = Stored::new(edit::begin(call, now)?, false);
    let title = task.fields.title.clone();
    let message = format!("Added \"{title}\"{}.", when(&task, now));
    let change = calendar.change().adding(&task);
    let result = json!({"success": true, "task_id": task.id, "message": message, "task": task.into_task(now)});
    Ok(Plan {
        change,
        result,
        title: Some(title),
    })
}

fn complete(task: Stored, calendar: &Calendar) -> Result<Plan, ToolError> {
    let seen = subject::kept(task)?;
    let (change, task, next) = finish(calendar, &seen, seen.clone());
    let title = &task.fields.title;
    let result = match next {
        Some(next) => json!({
            "success": true,
            "message": format!("\"{title}\" is done. It comes again: {}.", task.fields.due_in_words(&calendar.now, false)),
            "next_due": next.to_string(),
        }),
        None => json!({"success": true, "message": format!("\"{title}\" is done.")}),
    };
    Ok(Plan::of(change, result))
}

fn delete(task: Stored, calendar: &Calendar) -> Result<Plan, ToolError> {
    let seen = subject::kept(task)?;
    let task = Stored {
        is_deleted: true,
        ..seen.clone()
    };
    let message = format!(
        "Deleted \"{}\". For {} days update_task with restore: true brings it back.",
        task.fields.title,
        tasks::TRASH_DAYS
    );
    Ok(Plan::of(
        calendar.change().putting(&task, &seen),
        json!({"success": true, "message": message}),
    ))
}

fn update(call: &UpdateTask, seen: Stored, calendar: &Calendar) -> Result<Plan, ToolError> {
    let now = &calendar.now;
    let mut task = subject::kept(edit::change(call, &seen, now)?)?;
    if call.completed == Some(false) {
        task.completed = false;
    }
    let (change, task, next) = match call.completed {
        Some(true) => finish(calendar, &seen, task),
        _ => (calendar.change().putting(&task, &seen), task, None),
    };
    let what = match (seen.is_deleted, next) {
        (_, Some(_)) => "Completed once",
        (true, None) => "Restored",
        (false, None) => "Changed",
    };
    let message = format!("{what} \"{}\"{}.", task.fields.title, when(&task, now));
    Ok(Plan::of(
        change,
        json!({"success": true, "message": message, "task": task.into_task(now)}),
    ))
}

/// A task is done. One that comes again moves on, and what was done is kept beside it: the change, the task as it is to be, and when it is due next.
fn finish(
    calendar: &Calendar,
    seen: &Stored,
    task: Stored,
) -> (Change, Stored, Option<chrono::NaiveDate>) {
    match edit::complete(task, &calendar.now) {
        Done::All(task) => (calendar.change().putting(&task, seen), task, None),
        Done::Once {
            finished,
            task,
            next,
        } => {
            let change = calendar.change().putting(&task, seen);
            let change = change.adding(&Stored::new(finished, true));
            (change, task, Some(next))
        }
    }
}

/// When a task is due, as the end of a sentence; nothing if it has no date.
fn when(task: &Stored, now: &Now) -> String {
    match task.fields {
        Fields { due: None, .. } => String::new(),
        _ => format!(", due {}", task.fields.due_in_words(now, task.completed)),
    }
}
