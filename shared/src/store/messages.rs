//! Messages: written once, never changed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Connection, Page, StoreError};

/// A message as its owner sees it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// The conversation.
    pub conversation_id: Uuid,
    /// The run that it started, or that wrote it.
    pub run_id: Uuid,
    /// `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
    /// A reply that was cut short by a cancel.
    pub partial: bool,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Its place in the conversation; the list's cursor.
    pub position: i64,
}

/// A message to write.
#[derive(Debug, Clone)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: Uuid,
    /// The conversation.
    pub conversation_id: Uuid,
    /// The owner of the conversation.
    pub user_id: &'a str,
    /// The run that it starts, or that wrote it.
    pub run_id: Uuid,
    /// `user` or `assistant`.
    pub role: &'static str,
    /// The text.
    pub content: &'a str,
    /// What the client said about it.
    pub metadata: Option<&'a Value>,
    /// A reply that was cut short by a cancel.
    pub partial: bool,
}

/// Writes a message.
///
/// # Errors
/// The database failed; the run has a message of this role already (`messages_run_id_role_key`).
pub async fn insert(db: &mut Connection, message: NewMessage<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into messages (id, conversation_id, user_id, run_id, role, content, metadata, partial)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        message.id,
        message.conversation_id,
        message.user_id,
        message.run_id,
        message.role,
        message.content,
        message.metadata,
        message.partial
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A conversation's messages in the order people saw them.
///
/// # Errors
/// The database failed.
pub async fn list(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    after: Option<i64>,
    limit: i64,
) -> Result<Page<Message, i64>, StoreError> {
    let rows = sqlx::query_as!(
        Message,
        "select id, conversation_id, run_id, role, content, partial, created_at, position from messages
         where user_id = $1 and conversation_id = $2 and position > $3
         order by position
         limit $4",
        user_id,
        conversation_id,
        after.unwrap_or(0),
        limit + 1
    )
    .fetch_all(db)
    .await?;
    Ok(Page::cut(rows, limit, |row| row.position))
}
