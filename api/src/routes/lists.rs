//! The lists a user may read: conversations, their messages, tasks. All are paged.

use axum::extract::{Path, State};
use chrono::{DateTime, Datelike, Utc};
use errand_shared::store::{
    self, Page, conversations, messages, settings,
    tasks::{self, Cursor, Filter, Listed, MAX_SEARCH, Task, View},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    App,
    auth::User,
    error::{ApiError, ErrorBody},
    request::{PageParams, Params, foreign_cursor},
};

/// A conversation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ConversationView {
    id: Uuid,
    /// The beginning of its first message.
    title: String,
    created_at: DateTime<Utc>,
    /// When its last message was accepted.
    updated_at: DateTime<Utc>,
}

/// A page of conversations, the last used first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConversationPage {
    conversations: Vec<ConversationView>,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// A message.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MessageView {
    id: Uuid,
    conversation_id: Uuid,
    run_id: Uuid,
    /// `user` or `assistant`.
    role: String,
    content: String,
    /// True for a reply that a cancel cut short; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    created_at: DateTime<Utc>,
}

/// A page of messages, the oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessagePage {
    messages: Vec<MessageView>,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// A page of tasks, the first added first. Deleted ones are not among them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TaskPage {
    tasks: Vec<Task>,
    /// Tasks that match, on all pages.
    total: i64,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The user's conversations.
#[utoipa::path(
    get,
    path = "/api/{user_id}/conversations",
    tag = "conversations",
    params(("user_id" = String, Path, description = "The user; must be the token's `sub`"), PageParams),
    responses(
        (status = 200, description = "A page", body = ConversationPage),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn conversations(
    State(app): State<App>,
    user: User,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<ConversationPage>, ApiError> {
    let (after, limit) = (page.cursor(conversation_cursor)?, page.limit()?);
    let turn = app.reads.enter(&user.id).await?;
    let Page { rows, next } = store::within(async {
        let mut db = turn.begin().await?;
        conversations::list(&mut db, &user.id, after, limit).await
    })
    .await?;
    let view = |row: conversations::Conversation| ConversationView {
        id: row.id,
        title: row.title,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    Ok(axum::Json(ConversationPage {
        conversations: rows.into_iter().map(view).collect(),
        next_cursor: next.map(|(time, id)| format!("{}_{id}", time.timestamp_micros())),
    }))
}

fn conversation_cursor(text: &str) -> Option<conversations::Cursor> {
    let (micros, id) = text.split_once('_')?;
    let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    // Far from it there are times that this type has and the database has not.
    let was_ours = (1970..10_000).contains(&time.year());
    was_ours.then_some((time, id.parse().ok()?))
}

/// The messages of a conversation.
#[utoipa::path(
    get,
    path = "/api/{user_id}/conversations/{id}/messages",
    tag = "conversations",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The conversation"),
        PageParams
    ),
    responses(
        (status = 200, description = "A page", body = MessagePage),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such conversation", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn messages(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<MessagePage>, ApiError> {
    let Path((_, id)) = path;
    let id: Uuid = id
        .parse()
        .map_err(|_| ApiError::not_found("conversation"))?;
    let (after, limit) = (page.cursor(|text| text.parse().ok())?, page.limit()?);
    let turn = app.reads.enter(&user.id).await?;
    let found = store::within(async {
        let mut db = turn.begin().await?;
        if !conversations::exists(&mut db, id, &user.id).await? {
            return Err(ApiError::not_found("conversation"));
        }
        Ok(messages::list(&mut db, &user.id, id, after, limit).await?)
    });
    let Page { rows, next } = found.await?.ok_or_else(foreign_cursor)?;
    let view = |row: messages::Message| MessageView {
        id: row.id,
        conversation_id: row.conversation_id,
        run_id: row.run_id,
        role: row.role,
        content: row.content,
        partial: row.partial,
        created_at: row.created_at,
    };
    Ok(axum::Json(MessagePage {
        messages: rows.into_iter().map(view).collect(),
        next_cursor: next.map(|id| id.to_string()),
    }))
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
fn check_search(text: &str) -> Result<(), ApiError> {
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
    let filter = Filter {
        view: View::All,
        completed: which.completed,
        search,
        ..Filter::default()
    };
    let after = page.cursor(|text| Cursor::parse(filter.view, text))?;
    let limit = page.limit()?;
    let _searches = match search {
        Some(_) => Some(app.searches.enter(&user.id).await?),
        None => None,
    };
    let turn = app.reads.enter(&user.id).await?;
    let Listed { rows, next, total } = store::within(async {
        let mut db = turn.begin().await?;
        let now = settings::now(&mut db, &user.id).await?;
        tasks::list(&mut db, &user.id, &filter, &now, after, limit).await
    })
    .await?;
    Ok(axum::Json(TaskPage {
        tasks: rows,
        total,
        next_cursor: next.map(|id| id.to_string()),
    }))
}
