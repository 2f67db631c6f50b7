//! A user's conversations: listed, searched, renamed, deleted; and the messages of one.

use axum::extract::{Path, State};
use chrono::{DateTime, Datelike, Utc};
use errand_store::{
    self as store, Page, StoreError,
    deletion::{self, Deleted},
    read::{
        conversations,
        messages::{self, Order},
        search,
    },
};
use errand_tools::listing;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    App,
    accept::unfenced,
    auth::User,
    body::JsonBody,
    chat::input::check_readable,
    error::{ApiError, ErrorBody},
    request::{PageParams, Params, foreign_cursor},
};

/// Characters of a title.
const MAX_TITLE: usize = 255;
/// Steps of one deletion; each cancels up to 50 runs. Whoever keeps adding more than that does not get to delete.
const MAX_STEPS: usize = 400;

/// A conversation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConversationView {
    id: Uuid,
    /// The beginning of its first message, or what it was renamed to.
    title: String,
    created_at: DateTime<Utc>,
    /// When its last message was accepted.
    updated_at: DateTime<Utc>,
}

impl From<conversations::Conversation> for ConversationView {
    fn from(row: conversations::Conversation) -> Self {
        Self {
            id: row.id,
            title: row.title,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
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

/// A page of messages, in the order that was asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessagePage {
    messages: Vec<MessageView>,
    /// Pass it as `cursor` for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// Which conversations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConversationParams {
    /// Only those with this text in their title or messages, in any case. Such a page may be short, even empty, and have a `next_cursor`:
    /// so far was looked in the time of one request.
    #[param(max_length = 255)]
    search: Option<String>,
}

/// The user's conversations.
#[utoipa::path(
    get,
    path = "/api/{user_id}/conversations",
    tag = "conversations",
    params(("user_id" = String, Path, description = "The user; must be the token's `sub`"), ConversationParams, PageParams),
    responses(
        (status = 200, description = "A page", body = ConversationPage),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    user: User,
    Params(which): Params<ConversationParams>,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<ConversationPage>, ApiError> {
    let limit = page.limit()?;
    let (rows, next_cursor) = match which.search.as_deref().filter(|text| !text.is_empty()) {
        None => {
            let after = page.cursor(place_in_list)?;
            let turn = app.reads.enter(&user.id).await?;
            let Page { rows, next } = store::within(async {
                let mut db = turn.begin().await?;
                let read = conversations::list(&mut db, &user.id, after, limit).await;
                db.done(read).await
            })
            .await?;
            (rows, next.map(cursor))
        }
        Some(text) => {
            listing::check_search(text)?;
            let after = page.cursor(place_in_search)?;
            let _searches = app.searches.enter(&user.id).await?;
            let turn = app.reads.enter(&user.id).await?;
            let found = store::within(async {
                let mut db = turn.begin().await?;
                let read = search::conversations(&mut db, &user.id, text, after, limit).await;
                db.done(read).await
            });
            let Page { rows, next } = found.await?.ok_or_else(foreign_cursor)?;
            let next = next.map(|next| match next.before {
                None => cursor(next.conversation),
                Some(message) => format!("{}_{message}", cursor(next.conversation)),
            });
            (rows, next)
        }
    };
    Ok(axum::Json(ConversationPage {
        conversations: rows.into_iter().map(ConversationView::from).collect(),
        next_cursor,
    }))
}

fn cursor((time, id): conversations::Cursor) -> String {
    format!("{}_{id}", time.timestamp_micros())
}

fn place_in_list(text: &str) -> Option<conversations::Cursor> {
    let (micros, id) = text.split_once('_')?;
    let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    // Far from it there are times that this type has and the database has not.
    let was_ours = (1970..10_000).contains(&time.year());
    was_ours.then_some((time, id.parse().ok()?))
}

fn place_in_search(text: &str) -> Option<search::Cursor> {
    let (conversation, before) = match text.rsplit_once('_') {
        Some((conversation, message)) if conversation.contains('_') => {
            (conversation, Some(message.parse().ok()?))
        }
        _ => (text, None),
    };
    let conversation = place_in_list(conversation)?;
    Some(search::Cursor {
        conversation,
        before,
    })
}

fn id_of(path: Path<(String, String)>) -> Result<Uuid, ApiError> {
    let Path((_, id)) = path;
    id.parse().map_err(|_| ApiError::not_found("conversation"))
}

/// What to change of a conversation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Groceries"}))]
pub(crate) struct ConversationChange {
    /// Its title, 1 to 255 characters, and not only such as cannot be seen.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000]+$")]
    title: String,
}

/// Renames a conversation. Its place in the list stays.
#[utoipa::path(
    patch,
    path = "/api/{user_id}/conversations/{id}",
    tag = "conversations",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The conversation"),
    ),
    request_body = ConversationChange,
    responses(
        (status = 200, description = "The conversation as it is now", body = ConversationView),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such conversation", body = ErrorBody),
        (status = 413, description = "Body larger than 256 KiB", body = ErrorBody),
        (status = 415, description = "Not application/json", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn rename(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
    body: JsonBody<'static>,
) -> Result<axum::Json<ConversationView>, ApiError> {
    let id = id_of(path)?;
    let change: ConversationChange = body.parse().await?;
    check_readable("title", &change.title, MAX_TITLE)?;
    let turn = app.users.enter(&user.id).await?;
    let renamed = store::within(async {
        let mut tx = turn.lock().await?;
        let renamed = conversations::rename(&mut tx, id, &user.id, &change.title).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(renamed)
    });
    let renamed = renamed.await?;
    let renamed = renamed.ok_or_else(|| ApiError::not_found("conversation"))?;
    Ok(axum::Json(renamed.into()))
}

/// Deletes a conversation with its messages and runs. What is under way in it is cancelled; what its tools have done stays done.
///
/// From the answer on it is not there: not in lists, not by its id, nor are its runs. Streams of a run that was at work come to its end.
#[utoipa::path(
    delete,
    path = "/api/{user_id}/conversations/{id}",
    tag = "conversations",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The conversation"),
    ),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "Another user's path", body = ErrorBody),
        (status = 404, description = "No such conversation", body = ErrorBody),
        (status = 409, description = "More messages come in than can be cancelled", body = ErrorBody),
        (status = 429, description = "Too many requests at the same time", body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, description = "The database or the identity provider is down", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    user: User,
    path: Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let id = id_of(path)?;
    let turn = app.users.enter(&user.id).await?;
    let max_ready = i64::from(app.limits.max_ready_runs);
    for _ in 0..MAX_STEPS {
        let step = store::within(async {
            let mut tx = turn.lock().await?;
            let deleted = deletion::delete(&mut tx, &user.id, id, max_ready);
            let deleted = deleted.await.map_err(unfenced)?;
            store::commit(tx).await?;
            Ok::<_, ApiError>(deleted)
        });
        match step.await? {
            Deleted::Done => return Ok(StatusCode::NO_CONTENT),
            Deleted::NotYet => {}
            Deleted::Unknown => return Err(ApiError::not_found("conversation")),
        }
    }
    Err(ApiError::conversation_busy())
}

/// Which messages come first.
#[derive(Debug, Default, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// The oldest.
    #[default]
    Asc,
    /// The newest.
    Desc,
}

/// In which order.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrderParams {
    /// `asc`, the oldest first, if absent; `desc`: the newest first, and older ones on the next pages. A cursor works in either.
    #[serde(default)]
    #[param(inline)]
    order: Direction,
}

/// The messages of a conversation.
#[utoipa::path(
    get,
    path = "/api/{user_id}/conversations/{id}/messages",
    tag = "conversations",
    params(
        ("user_id" = String, Path, description = "The user; must be the token's `sub`"),
        ("id" = Uuid, Path, description = "The conversation"),
        OrderParams,
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
    Params(OrderParams { order }): Params<OrderParams>,
    Params(page): Params<PageParams>,
) -> Result<axum::Json<MessagePage>, ApiError> {
    let id = id_of(path)?;
    let order = match order {
        Direction::Asc => Order::OldestFirst,
        Direction::Desc => Order::NewestFirst,
    };
    let (after, limit) = (page.cursor(|text| text.parse().ok())?, page.limit()?);
    let turn = app.reads.enter(&user.id).await?;
    let found = store::within(async {
        let mut db = turn.begin().await?;
        if !conversations::exists(&mut db, id, &user.id).await? {
            return Err(ApiError::not_found("conversation"));
        }
        let page = messages::list(&mut db, &user.id, id, order, after, limit).await;
        Ok(db.done(page).await?)
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
