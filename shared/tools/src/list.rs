//! `list_tasks`: a page of the list.

use errand_store::{
    Connection, Pool, StoreError,
    tasks::{self, Cursor, Filter, Listed, Paged, View},
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

/// The page that is asked for. The outer error is the store's.
pub(super) async fn list(
    db: &mut Connection,
    user: &str,
    call: &ListTasks,
    calendar: &Calendar,
) -> Result<Result<Value, ToolError>, StoreError> {
    let asked = match Asked::of(call, calendar) {
        Ok(asked) => asked,
        Err(error) => return Ok(Err(error)),
    };
    let Asked {
        filter,
        after,
        limit,
    } = &asked;
    let listed = tasks::list(db, user, filter, &calendar.now, *after, *limit).await?;
    Ok(Ok(result(listed)))
}

/// As [`list`], in one round trip. None if the user's calendar is another by now: then `calendar` is that one.
pub(super) async fn page(
    pool: &Pool,
    user: &str,
    call: &ListTasks,
    calendar: &mut Calendar,
) -> Result<Option<Result<Value, ToolError>>, StoreError> {
    let asked = match Asked::of(call, calendar) {
        Ok(asked) => asked,
        Err(error) => return Ok(Some(Err(error))),
    };
    let Asked {
        filter,
        after,
        limit,
    } = &asked;
    let (zone, now) = (calendar.zone(), &calendar.now);
    let paged = tasks::page(pool, user, zone, filter, now, *after, *limit).await?;
    Ok(match paged {
        Paged::Listed(listed) => Some(Ok(result(listed))),
        Paged::Moved(zone) => {
            *calendar = Calendar::of(zone);
            None
        }
    })
}

/// What is asked for, checked.
struct Asked<'a> {
    filter: Filter<'a>,
    after: Option<Cursor>,
    limit: i64,
}

impl<'a> Asked<'a> {
    fn of(call: &'a ListTasks, calendar: &Calendar) -> Result<Self, ToolError> {
        let limit = call.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(check::field(
                "limit",
                format!("limit must be 1 to {MAX_LIMIT}."),
            ));
        }
        let tags = check::tags(call.tags.clone().unwrap_or_default())?;
        let filter = wanted(call).filter(tags, View::Open, &calendar.now)?;
        let cursor = call.cursor.as_deref().filter(|text| !text.is_empty());
        let after = cursor.map(|text| Cursor::parse(filter.view, text).ok_or_else(foreign_cursor));
        Ok(Self {
            after: after.transpose()?,
            filter,
            limit,
        })
    }
}

fn result(listed: Listed) -> Value {
    let count = listed.rows.len();
    let mut result =
        json!({"success": true, "tasks": listed.rows, "count": count, "total": listed.total});
    if let Some(next) = listed.next {
        result["next_cursor"] = json!(next.to_string());
    }
    result
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
