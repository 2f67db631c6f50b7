//! Searching conversations: in their titles and in what was said.
//!
//! There is no index on texts: it would cost every message that is written, and row level security lets no query use one. So
//! conversations are looked through in the order of the list, the latest first, a bounded number of messages at a time, until the page
//! is full or the time is over; the next page goes on from there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::conversations::Conversation;
use crate::{Connection, Page, StoreError};

/// Conversations of one statement, and messages of each that it looks through.
const CONVERSATIONS: i64 = 20;
const MESSAGES: i64 = 100;
/// Messages of one statement in a conversation that is longer.
const MESSAGES_OF_ONE: i64 = 2_000;
/// How long one page is looked for. Statements are short against it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Where the search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Behind this conversation of the list, or in it.
    pub conversation: (DateTime<Utc>, Uuid),
    /// In it, before this message; none: behind it.
    pub before: Option<Uuid>,
}

/// What one statement found of a conversation.
struct Looked {
    conversation: Conversation,
    is_hit: bool,
    /// The earliest message that was looked at, if there may be earlier ones.
    rest: Option<i64>,
}

/// The user's conversations with this text in their title or messages, in any case, the last used first. A page may be short, even
/// empty, and not be the last. None if the cursor is of a message that is not in its conversation.
///
/// The text is one literal, as in [`crate::tasks::list`]: the time grows with what is looked through, whatever is looked for.
pub async fn conversations(
    db: &mut Connection,
    user_id: &str,
    text: &str,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Option<Page<Conversation, Cursor>>, StoreError> {
    let literal = format!("***={text}");
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let deadline = Instant::now() + PATIENCE;
    let mut rows = Vec::new();
    let mut place = after.map(|cursor| cursor.conversation);
    if let Some(Cursor {
        conversation,
        before: Some(message),
    }) = after
    {
        let Some(position) = position(db, user_id, conversation.1, message).await? else {
            return Ok(None);
        };
        match deeper(db, user_id, conversation.1, &literal, position, deadline).await? {
            Depth::Hit => rows.extend(find(db, user_id, conversation.1).await?),
            Depth::Miss => {}
            Depth::OutOfTime(before) => return Ok(Some(cut(rows, conversation, before))),
        }
    }
    loop {
        let looked = look(db, user_id, &literal, place).await?;
        let is_last = i64::try_from(looked.len()).is_ok_and(|found| found < CONVERSATIONS);
        for found in looked {
            // Known only now that there is more to look through.
            if rows.len() >= limit {
                return Ok(Some(resume(rows, place)));
            }
            let id = found.conversation.id;
            let here = (found.conversation.updated_at, id);
            let is_hit = match found.rest.filter(|_| !found.is_hit) {
                None => found.is_hit,
                Some(rest) => match deeper(db, user_id, id, &literal, rest, deadline).await? {
                    Depth::Hit => true,
                    Depth::Miss => false,
                    Depth::OutOfTime(before) => return Ok(Some(cut(rows, here, before))),
                },
            };
            if is_hit {
                rows.push(found.conversation);
            }
            place = Some(here);
        }
        if is_last {
            return Ok(Some(Page { rows, next: None }));
        }
        if rows.len() >= limit || Instant::now() >= deadline {
            return Ok(Some(resume(rows, place)));
        }
    }
}

/// A page behind which the search goes on after this conversation.
fn resume(
    rows: Vec<Conversation>,
    place: Option<(DateTime<Utc>, Uuid)>,
) -> Page<Conversation, Cursor> {
    let next = place.map(|conversation| Cursor {
        conversation,
        before: None,
    });
    Page { rows, next }
}

/// A page behind which the search goes on within this conversation.
fn cut(
    rows: Vec<Conversation>,
    conversation: (DateTime<Utc>, Uuid),
    before: Uuid,
) -> Page<Conversation, Cursor> {
    let next = Some(Cursor {
        conversation,
        before: Some(before),
    });
    Page { rows, next }
}

/// Looks at the next conversations: their titles and latest messages.
async fn look(
    db: &mut Connection,
    user_id: &str,
    literal: &str,
    after: Option<(DateTime<Utc>, Uuid)>,
) -> Result<Vec<Looked>, StoreError> {
    let (after_time, after_id) = after.unzip();
    let rows = sqlx::query!(
        r#"with listed as materialized (
             select id, title, created_at, updated_at, title ~* $2 as is_named from conversations
             where user_id = $1 and deleted_at is null
               and ($3::timestamptz is null or (updated_at, id) < ($3, $4::uuid))
             order by updated_at desc, id desc
             limit $5
         )
         select l.id, l.title, l.created_at, l.updated_at, l.is_named or m.is_said as "is_hit!",
                case when m.looked_at = $6 then m.earliest end as rest
         from listed l
         cross join lateral (
             select coalesce(bool_or(x.content ~* $2), false) as is_said, count(*) as looked_at, min(x.position) as earliest
             from (
                 select n.content, n.position from messages n
                 where n.conversation_id = l.id and n.user_id = $1 and not l.is_named
                 order by n.position desc
                 limit $6
             ) x
         ) m
         order by l.updated_at desc, l.id desc"#,
        user_id,
        literal,
        after_time,
        after_id,
        CONVERSATIONS,
        MESSAGES
    )
    .fetch_all(db)
    .await?;
    let looked = rows.into_iter().map(|row| Looked {
        conversation: Conversation {
            id: row.id,
            title: row.title,
            created_at: row.created_at,
            updated_at: row.updated_at,
        },
        is_hit: row.is_hit,
        rest: row.rest,
    });
    Ok(looked.collect())
}

/// What came of looking through the earlier messages of one conversation.
enum Depth {
    Hit,
    Miss,
    /// Up to this message; it and what is after it was looked at.
    OutOfTime(Uuid),
}

async fn deeper(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    literal: &str,
    mut position: i64,
    deadline: Instant,
) -> Result<Depth, StoreError> {
    loop {
        let found = sqlx::query!(
            r#"with part as materialized (
                 select id, content, position from messages
                 where conversation_id = $1 and user_id = $2 and position < $3
                 order by position desc
                 limit $5
             )
             select coalesce(bool_or(content ~* $4), false) as "is_said!", count(*) as "looked_at!", min(position) as earliest,
                    (select id from part order by position limit 1) as earliest_id
             from part"#,
            conversation_id,
            user_id,
            position,
            literal,
            MESSAGES_OF_ONE
        )
        .fetch_one(&mut *db)
        .await?;
        if found.is_said {
            return Ok(Depth::Hit);
        }
        match (found.earliest, found.earliest_id) {
            (Some(earliest), Some(id)) if found.looked_at == MESSAGES_OF_ONE => {
                if Instant::now() >= deadline {
                    return Ok(Depth::OutOfTime(id));
                }
                position = earliest;
            }
            _ => return Ok(Depth::Miss),
        }
    }
}

async fn position(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    message: Uuid,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select position from messages where id = $1 and user_id = $2 and conversation_id = $3",
        message,
        user_id,
        conversation_id
    )
    .fetch_optional(db)
    .await?)
}

async fn find(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Conversation>, StoreError> {
    Ok(sqlx::query_as!(
        Conversation,
        "select id, title, created_at, updated_at from conversations where id = $1 and user_id = $2 and deleted_at is null",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}
