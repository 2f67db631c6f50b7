//! The effects of the five calls, each in the caller's transaction, and their results.

use errand_shared::{
    calendar::Now,
    store::{
        Connection, StoreError, settings,
        tasks::{self, Cursor, Fields, Full, Room, Stored, View},
    },
};
use serde_json::{Value, json};

use super::{
    calls::{AddTask, ListTasks, TaskRef, UpdateTask},
    check,
    contract::{DEFAULT_LIMIT, MAX_LIMIT},
    edit::{self, Done},
    error::ToolError,
    listing::Wanted,
    subject::{self, For},
};

/// Leaves the enclosing call with an error for the model.
macro_rules! valid {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

type Effect = Result<Result<Value, ToolError>, StoreError>;

pub(super) async fn add(db: &mut Connection, user: &str, call: AddTask) -> Effect {
    let now = settings::now(db, user).await?;
    let fields = valid!(edit::begin(call, &now));
    let room = tasks::lock_list(db).await?;
    valid!(room.admit(1, fields.bytes()).map_err(|what| {
        full(what).with_detail("title", json!(check::cut(&fields.title, 100)))
    }));
    let added = tasks::add(db, user, fields, false).await?;
    let message = format!("Added \"{}\"{}.", added.fields.title, when(&added, &now));
    Ok(Ok(
        json!({"success": true, "task_id": added.id, "message": message, "task": added.into_task(&now)}),
    ))
}

pub(super) async fn list(db: &mut Connection, user: &str, call: ListTasks) -> Effect {
    let now = settings::now(db, user).await?;
    let limit = call.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Ok(Err(check::field(
            "limit",
            format!("limit must be 1 to {MAX_LIMIT}."),
        )));
    }
    let tags = valid!(check::tags(call.tags.clone().unwrap_or_default()));
    let filter = valid!(wanted(&call).filter(&tags, View::Open, &now));
    let cursor = call.cursor.as_deref().filter(|text| !text.is_empty());
    let after = valid!(
        cursor
            .map(|text| Cursor::parse(filter.view, text).ok_or_else(foreign_cursor))
            .transpose()
    );
    let page = tasks::list(db, user, &filter, &now, after, limit).await?;
    let count = page.rows.len();
    let mut result =
        json!({"success": true, "tasks": page.rows, "count": count, "total": page.total});
    if let Some(next) = page.next {
        result["next_cursor"] = json!(next.to_string());
    }
    Ok(Ok(result))
}

fn wanted(call: &ListTasks) -> Wanted<'_> {
    Wanted {
        view: call.view.as_deref(),
        completed: call.completed,
        search: call.search.as_deref(),
        due_from: call.due_from.as_deref(),
        due_to: call.due_to.as_deref(),
        priority: call.priority.as_deref(),
    }
}

pub(super) async fn complete(db: &mut Connection, user: &str, call: TaskRef) -> Effect {
    let now = settings::now(db, user).await?;
    let room = tasks::lock_list(db).await?;
    let task = subject::of(db, user, &call.task_id, For::Change).await?;
    let task = valid!(task.and_then(subject::kept));
    let done = valid!(finish(db, user, room, task, &now).await?);
    let title = &done.task.fields.title;
    Ok(Ok(match done.next {
        Some(next) => json!({
            "success": true,
            "message": format!("\"{title}\" is done. It comes again: {}.", done.task.fields.due_in_words(&now, false)),
            "next_due": next.to_string(),
        }),
        None => json!({"success": true, "message": format!("\"{title}\" is done.")}),
    }))
}

pub(super) async fn delete(db: &mut Connection, user: &str, call: TaskRef) -> Effect {
    let room = tasks::lock_list(db).await?;
    let task = subject::of(db, user, &call.task_id, For::Change).await?;
    let task = Stored {
        is_deleted: true,
        ..valid!(task.and_then(subject::kept))
    };
    let task = tasks::put(db, user, room, task).await?;
    let message = format!(
        "Deleted \"{}\". For {} days update_task with restore: true brings it back.",
        task.fields.title,
        tasks::TRASH_DAYS
    );
    Ok(Ok(json!({"success": true, "message": message})))
}

pub(super) async fn update(db: &mut Connection, user: &str, call: UpdateTask) -> Effect {
    let now = settings::now(db, user).await?;
    let room = tasks::lock_list(db).await?;
    let before = valid!(subject::of(db, user, &call.task_id, For::Change).await?);
    let mut task = valid!(edit::change(&call, &before, &now));
    if task.is_deleted {
        return Ok(Err(ToolError::task_is_deleted(task.id)));
    }
    let more = match before.is_deleted {
        true => (1, task.fields.bytes()),
        false => (0, task.fields.bytes() - before.fields.bytes()),
    };
    valid!(room.admit(more.0, more.1).map_err(full));
    if call.completed == Some(false) {
        task.completed = false;
    }
    let done = match call.completed {
        Some(true) => valid!(finish(db, user, room, task, &now).await?),
        _ => Finished {
            task: tasks::put(db, user, room, task).await?,
            next: None,
        },
    };
    let task = done.task;
    let what = match (before.is_deleted, done.next) {
        (_, Some(_)) => "Completed once",
        (true, None) => "Restored",
        (false, None) => "Changed",
    };
    let message = format!("{what} \"{}\"{}.", task.fields.title, when(&task, &now));
    Ok(Ok(
        json!({"success": true, "message": message, "task": task.into_task(&now)}),
    ))
}

/// A task that was done, and when it is due again.
struct Finished {
    task: Stored,
    next: Option<chrono::NaiveDate>,
}

/// Stores that a task is done. One that comes again moves on, and what was done is kept beside it, in the same transaction.
async fn finish(
    db: &mut Connection,
    user: &str,
    room: Room,
    task: Stored,
    now: &Now,
) -> Result<Result<Finished, ToolError>, StoreError> {
    match edit::complete(task, now) {
        Done::All(task) => Ok(Ok(Finished {
            task: tasks::put(db, user, room, task).await?,
            next: None,
        })),
        Done::Once {
            finished,
            task,
            next,
        } => {
            valid!(room.admit(1, finished.bytes()).map_err(full));
            tasks::add(db, user, finished, true).await?;
            Ok(Ok(Finished {
                task: tasks::put(db, user, room, task).await?,
                next: Some(next),
            }))
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

fn foreign_cursor() -> ToolError {
    check::field(
        "cursor",
        "cursor must be the next_cursor of the page before, of the same view.",
    )
}

/// The list has no room: what a model can do about it.
fn full(what: Full) -> ToolError {
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
    ToolError::invalid(format!(
        "The list is full: it may have {limit}. Nothing was changed. Delete tasks that are no longer needed first, such as done ones; ask the user which."
    ))
    .with_details(details)
}
