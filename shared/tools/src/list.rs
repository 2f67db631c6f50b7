//! `list_tasks`: a page of the list, read in the caller's transaction.

use errand_store::{
    Connection, StoreError,
    tasks::{self, Cursor, View},
};
use serde_json::{Value, json};

use super::{
    calls::ListTasks,
    check,
    contract::{DEFAULT_LIMIT, MAX_LIMIT},
    error::ToolError,
    listing::Wanted,
    plan::Calendar,
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

/// The page that is asked for. The outer error is the store's.
pub(super) async fn list(
    db: &mut Connection,
    user: &str,
    call: &ListTasks,
    calendar: &Calendar,
) -> Result<Result<Value, ToolError>, StoreError> {
    let limit = call.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Ok(Err(check::field(
            "limit",
            format!("limit must be 1 to {MAX_LIMIT}."),
        )));
    }
    let now = &calendar.now;
    let tags = valid!(check::tags(call.tags.clone().unwrap_or_default()));
    let filter = valid!(wanted(call).filter(&tags, View::Open, now));
    let cursor = call.cursor.as_deref().filter(|text| !text.is_empty());
    let after = valid!(
        cursor
            .map(|text| Cursor::parse(filter.view, text).ok_or_else(foreign_cursor))
            .transpose()
    );
    let page = tasks::list(db, user, &filter, now, after, limit).await?;
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

fn foreign_cursor() -> ToolError {
    check::field(
        "cursor",
        "cursor must be the next_cursor of the page before, of the same view.",
    )
}
