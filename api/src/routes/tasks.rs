//! The list of tasks, in pages.

use axum::extract::State;
use chrono::Utc;
use errand_core::calendar::Now;
use errand_store::{
    self as store, settings,
    tasks::{self, Cursor, Listed, Task, View},
};
use errand_tools::listing::{self, Wanted};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    auth::User,
    error::{ApiError, ErrorBody},
    request::{self, PageParams, Params},
};

/// A page of tasks. Deleted ones are only in their own view.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TaskPage {
    tasks: Vec<Task>,
    /// Tasks that match, on all pages.
    total: i64,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// Which tasks: the filters of `list_tasks`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskParams {
    /// `today` (due today or overdue), `overdue`, `upcoming` (the next 7 days), `undated`, `completed` or `deleted`. Open tasks come
    /// overdue first, then by date and time, priority and age; done and deleted ones the latest first. All but the deleted ones, in
    /// the order they were added, if neither this nor `completed` is given.
    #[param(pattern = "^(today|overdue|upcoming|undated|completed|deleted)?$")]
    view: Option<String>,
    /// Only done ones, or only open ones.
    #[serde(default, deserialize_with = "request::given")]
    completed: Option<bool>,
    /// Only those with this text in title or description, in any case.
    #[param(max_length = 255)]
    search: Option<String>,
    /// Only those due on this date (YYYY-MM-DD) or later.
    due_from: Option<String>,
    /// Only those due on this date or earlier.
    due_to: Option<String>,
    /// Only those with this tag, in any case. May be given up to 10 times: with all of them.
    #[serde(default)]
    #[param(max_items = 10)]
    tags: Vec<String>,
    /// Only those of this priority: `p1` (the highest) to `p4`.
    priority: Option<String>,
}

impl TaskParams {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            view: self.view.as_deref(),
            completed: self.completed,
            search: self.search.as_deref(),
            due_from: self.due_from.as_deref(),
            due_to: self.due_to.as_deref(),
            priority: self.priority.as_deref(),
        }
    }
}

/// The user's tasks. They can only be read here: the tools change them.
///
/// Which day it is decides `X-Time-Zone` of the request, or else the zone that is remembered of the user.
#[utoipa::path(
    get,
    path = "/api/{user_id}/tasks",
    tag = "tasks",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("X-Time-Zone" = Option<String>, Header, description = "The user's time zone, by its IANA name"),
        TaskParams,
        PageParams
    ),
    responses(
        (status = 200, description = "A page", body = TaskPage),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn tasks(
    State(app): State<App>,
    user: User,
    headers: HeaderMap,
    Params(which): Params<TaskParams>,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<TaskPage>, ApiError> {
    let zone = request::time_zone(&headers)?;
    let limit = page.limit()?;
    let tags = listing::tags(which.tags.clone())?;
    let _searches = match which.search.as_deref() {
        None | Some("") => None,
        Some(_) => Some(app.searches.enter(&user.id).await?),
    };
    let turn = app.reads.enter(&user.id).await?;
    let listed = store::within(async {
        let mut db = turn.begin().await?;
        let now = match zone {
            Some(zone) => Now::at(Utc::now(), zone),
            None => settings::now(&mut db, &user.id).await?,
        };
        let filter = which.wanted().filter(tags, View::All, &now)?;
        let after = page.cursor(|text| Cursor::parse(filter.view, text))?;
        let listed = tasks::list(&mut db, &user.id, &filter, &now, after, limit).await;
        Ok::<_, ApiError>(db.done(listed).await?)
    });
    let Listed { rows, next, total } = listed.await?;
    Ok(axum::Json(TaskPage {
        tasks: rows,
        total,
        next_cursor: next.map(|next| next.to_string()),
    }))
}
