//! Messages: written once, never changed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{Connection, Page, StoreError};

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

/// The model that the client has asked for with the message of a run; none if it has not.
pub async fn wanted_model(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
) -> Result<Option<String>, StoreError> {
    let model = sqlx::query_scalar!(
        "select metadata ->> 'model' from messages where run_id = $1 and user_id = $2 and role = 'user'",
        run_id,
        user_id
    )
    .fetch_optional(db)
    .await?;
    Ok(model.flatten())
}

/// Writes a message.
///
/// # Errors
/// The run has a message of this role already (`messages_run_id_role_key`).
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

/// In which order messages are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As people saw them.
    OldestFirst,
    /// From the end.
    NewestFirst,
}

/// A conversation's messages in this order, those behind the message `after`; none if the conversation has no
/// such message. Places in the order are of all users together, so nobody is told one.
pub async fn list(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    order: Order,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Option<Page<Message, Uuid>>, StoreError> {
    let position = match (after, order) {
        (None, Order::OldestFirst) => Some(0),
        (None, Order::NewestFirst) => Some(i64::MAX),
        (Some(id), _) => sqlx::query_scalar!(
            "select position from messages where id = $1 and user_id = $2 and conversation_id = $3",
            id,
            user_id,
            conversation_id
        )
        .fetch_optional(&mut *db)
        .await?,
    };
    let Some(position) = position else {
        return Ok(None);
    };
    let rows = match order {
        Order::OldestFirst => {
            sqlx::query_as!(
            Message,
            "select id, conversation_id, run_id, role, content, partial, created_at from messages
                 where user_id = $1 and conversation_id = $2 and position > $3
                 order by position
                 limit $4",
            user_id,
            conversation_id,
            position,
            limit + 1
        )
            .fetch_all(db)
            .await?
        }
        Order::NewestFirst => {
            sqlx::query_as!(
            Message,
            "select id, conversation_id, run_id, role, content, partial, created_at from messages
                 where user_id = $1 and conversation_id = $2 and position < $3
                 order by position desc
                 limit $4",
            user_id,
            conversation_id,
            position,
            limit + 1
        )
            .fetch_all(db)
            .await?
        }
    };
    Ok(Some(Page::cut(rows, limit, |row| row.id)))
}
