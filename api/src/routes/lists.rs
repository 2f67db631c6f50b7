//! The list of tasks, in pages.

use axum::extract::State;
use errand_shared::store::{
    self,
    tasks::{self, Filter, Listed, MAX_SEARCH, Task},
};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    auth::User,
    error::{ApiError, ErrorBody},
    request::{PageParams, Params},
};

/// A page of tasks, the first added first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TaskPage {
    tasks: Vec<Task>,
    /// Tasks that match, on all pages.
    total: i64,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// Which tasks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskParams {
    /// Only done ones, or only open ones.
    completed: Option<bool>,
    /// Only those with this text in title or description, in any case.
    #[param(max_length = 255)]
    search: Option<String>,
}

/// # Errors
/// It is too long, or holds what no text of the database can.
pub(super) fn check_search(text: &str) -> Result<(), ApiError> {
    if text.contains('\0') {
        let message = "search must not contain the character NUL.";
        return Err(ApiError::invalid_field("search", message));
    }
    if text.chars().count() > MAX_SEARCH {
        let message = format!("search must be at most {MAX_SEARCH} characters.");
        return Err(ApiError::invalid_field("search", message));
    }
    Ok(())
}

/// The user's tasks. They can only be read here: the agent's tools change them.
#[utoipa::path(
    get,
    path = "/api/{user_id}/tasks",
    tag = "tasks",
    params(("user_id" = String, Path, description = "The user; must be the token's `sub`"), TaskParams, PageParams),
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
    Params(which): Params<TaskParams>,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<TaskPage>, ApiError> {
    let search = which.search.as_deref().filter(|text| !text.is_empty());
    if let Some(text) = search {
        check_search(text)?;
    }
    let (after, limit) = (page.cursor(|text| text.parse().ok())?, page.limit()?);
    let filter = Filter {
        completed: which.completed,
        search,
    };
    let turn = app.reads.enter(&user.id).await?;
    let Listed { rows, next, total } = store::within(async {
        let mut db = turn.begin().await?;
        tasks::list(&mut db, &user.id, filter, after, limit).await
    })
    .await?;
    Ok(axum::Json(TaskPage {
        tasks: rows,
        total,
        next_cursor: next.map(|id| id.to_string()),
    }))
}
