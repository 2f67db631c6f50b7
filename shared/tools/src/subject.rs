//! The task that a call is about.

use errand_store::{
    Connection, StoreError,
    tasks::{self, Candidates, Stored},
};
use serde_json::json;

use super::{check, error::ToolError};

/// Tasks that are named where one has to be chosen.
const MAX_CANDIDATES: i64 = 5;

/// The task of this id, perhaps one in the trash, in the caller's transaction.
pub(super) async fn of(
    db: &mut Connection,
    user: &str,
    task_id: &str,
) -> Result<Result<Stored, ToolError>, StoreError> {
    let Some(id) = check::canonical(task_id) else {
        return unclear(db, user, task_id).await.map(Err);
    };
    let task = tasks::find(db, user, id).await?;
    Ok(task.ok_or_else(|| ToolError::task_not_found(id)))
}

/// As it is, if it is not in the trash.
pub(super) fn kept(task: Stored) -> Result<Stored, ToolError> {
    match task.is_deleted {
        false => Ok(task),
        true => Err(ToolError::task_is_deleted(task.id)),
    }
}

/// An id that is none is answered with the tasks that may be meant: which of them is, is for the model to say.
pub(super) async fn unclear(
    db: &mut Connection,
    user: &str,
    task_id: &str,
) -> Result<ToolError, StoreError> {
    let found = tasks::candidates(db, user, task_id, MAX_CANDIDATES).await?;
    Ok(which_of(task_id, found))
}

fn which_of(task_id: &str, found: Candidates) -> ToolError {
    let shown = check::cut(task_id, 60);
    if found.tasks.is_empty() {
        let message = "task_id must be a UUID as list_tasks gives it, in lower case and with hyphens; no title has this text either.";
        return ToolError::invalid(message)
            .with_details(json!({"field": "task_id", "candidates": []}));
    }
    let count = found.total;
    let tasks: Vec<_> = found
        .tasks
        .into_iter()
        .map(|task| json!({"task_id": task.id, "title": check::cut(&task.title, 100), "completed": task.completed}))
        .collect();
    let message = match count {
        1 => format!(
            "\"{shown}\" is no task_id. One task may be meant: see candidates, and call again with its task_id."
        ),
        _ => format!(
            "\"{shown}\" is no task_id, and {count} tasks may be meant: see candidates. Call again with the task_id of the one that is meant, or ask the user."
        ),
    };
    ToolError::invalid(message)
        .with_details(json!({"field": "task_id", "candidates": tasks, "total": count}))
}
