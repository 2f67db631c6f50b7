//! Conversations: opened by a first message, listed, renamed and deleted by their owner.
//!
//! One that is deleted is not there for anybody: each query here leaves it out, as those of runs do.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Connection, Page, StoreError, read::usage::Tokens};

/// Characters of the first message that become the title.
const TITLE_CHARS: usize = 80;

/// A conversation as its owner sees it.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its id (AG-UI: threadId).
    pub id: Uuid,
    /// The beginning of its first message, or what its owner has called it since.
    pub title: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When its last message was accepted.
    pub updated_at: DateTime<Utc>,
}

/// Where the next page of the list starts.
pub type Cursor = (DateTime<Utc>, Uuid);

/// The title of a conversation that nobody has given another: the beginning of its first message.
pub(crate) fn first_title(first_message: &str) -> String {
    let line = first_message.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("").trim();
    line.chars().take(TITLE_CHARS).collect()
}

/// Gives a conversation that began with this message a title, unless it has another than that of its first message. Its place in the
/// list stays.
pub async fn entitle(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    first_message: &str,
    title: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update conversations set title = $4
         where id = $1 and user_id = $2 and title = $3 and deleted_at is null",
        id,
        user_id,
        first_title(first_message),
        title
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes what a model took for the conversation's title, whatever became of it.
pub async fn count_title(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    model: &str,
    tokens: Tokens,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update conversations
         set titled_at = now(), title_model = $3,
             title_input_tokens = title_input_tokens + $4, title_cached_input_tokens = title_cached_input_tokens + $5,
             title_output_tokens = title_output_tokens + $6, title_reasoning_tokens = title_reasoning_tokens + $7
         where id = $1 and user_id = $2",
        id,
        user_id,
        model,
        tokens.input,
        tokens.cached,
        tokens.output,
        tokens.reasoning
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the conversation has the title that its first message gave it, this one: the user has given it none, and neither has the model.
pub async fn lacks_title(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    first_message: &str,
) -> Result<bool, StoreError> {
    let lacks = sqlx::query_scalar!(
        r#"select exists (
               select from conversations where id = $1 and user_id = $2 and title = $3 and deleted_at is null) as "lacks!""#,
        id,
        user_id,
        first_title(first_message)
    )
    .fetch_one(db)
    .await?;
    Ok(lacks)
}

/// The user's conversation that a client calls by this name.
pub async fn by_thread_name(
    db: &mut Connection,
    user_id: &str,
    thread_name: &str,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from conversations where user_id = $1 and thread_name = $2 and deleted_at is null",
        user_id,
        thread_name
    )
    .fetch_optional(db)
    .await?)
}

pub async fn touch(db: &mut Connection, id: Uuid, user_id: &str) -> Result<bool, StoreError> {
    let touched = sqlx::query!(
        "update conversations set updated_at = clock_timestamp() where id = $1 and user_id = $2 and deleted_at is null",
        id,
        user_id
    )
    .execute(db)
    .await?;
    Ok(touched.rows_affected() == 1)
}

/// Whether the user has this conversation.
pub async fn exists(db: &mut Connection, id: Uuid, user_id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select 1 from conversations where id = $1 and user_id = $2 and deleted_at is null
           ) as "exists!""#,
        id,
        user_id
    )
    .fetch_one(db)
    .await?)
}

/// The user's conversations, the last used first.
pub async fn list(
    db: &mut Connection,
    user_id: &str,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Page<Conversation, Cursor>, StoreError> {
    let (after_time, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Conversation,
        "select id, title, created_at, updated_at from conversations
         where user_id = $1 and deleted_at is null and ($2::timestamptz is null or (updated_at, id) < ($2, $3::uuid))
         order by updated_at desc, id desc
         limit $4",
        user_id,
        after_time,
        after_id,
        limit + 1
    )
    .fetch_all(db)
    .await?;
    Ok(Page::cut(rows, limit, |row| (row.updated_at, row.id)))
}

/// Gives a conversation another title, of 1 to 255 characters; its place in the list stays. None if the user has no such conversation.
pub async fn rename(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    title: &str,
) -> Result<Option<Conversation>, StoreError> {
    Ok(sqlx::query_as!(
        Conversation,
        "update conversations set title = $3 where id = $1 and user_id = $2 and deleted_at is null
         returning id, title, created_at, updated_at",
        id,
        user_id,
        title
    )
    .fetch_optional(db)
    .await?)
}
