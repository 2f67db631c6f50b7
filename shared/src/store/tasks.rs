//! Tasks. The writes work only inside a tool call: the database refuses them elsewhere (see the migration).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Connection, Page, StoreError};
use crate::hints::{TASKS_CHANGED, TaskChange};

/// A task as its owner, and the model, see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// What to do, 1 to 255 characters.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// Whether it is done.
    pub completed: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Characters of a search text, at most.
pub const MAX_SEARCH: usize = 255;

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Only done ones, or only open ones.
    pub completed: Option<bool>,
    /// Only those with this text in title or description, in any case; at most [`MAX_SEARCH`] characters.
    pub search: Option<&'a str>,
}

/// Tasks that a user may have. Deleted ones do not count, done ones do.
pub const MAX_TASKS: i32 = 10_000;

/// Bytes that titles and descriptions of a user's tasks may have together.
pub const MAX_BYTES: i64 = 20 * 1024 * 1024;

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It was made; the task's title.
    Done(String),
    /// The user has no such task.
    Unknown,
    /// The list is full, and nothing was changed.
    Full(Full),
}

/// Of what a list is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Of tasks: [`MAX_TASKS`].
    Tasks,
    /// Of text: [`MAX_BYTES`].
    Bytes,
}

/// Adds a task and returns its id, or says of what the list is full.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn add(
    db: &mut Connection,
    user_id: &str,
    title: &str,
    description: Option<&str>,
) -> Result<Result<Uuid, Full>, StoreError> {
    let id = crate::ids::new_id();
    let bytes = title.len() + description.map_or(0, str::len);
    let found = sqlx::query!(
        r#"with room as materialized (
             select tasks < $5 as has_place, bytes + $6 <= $7 as has_bytes from lock_task_totals()
         ),
         added as (
             insert into tasks (id, user_id, title, description)
             select $1, $2, $3, $4 from room where has_place and has_bytes
         )
         select has_place as "has_place!", has_bytes as "has_bytes!" from room"#,
        id,
        user_id,
        title,
        description,
        MAX_TASKS,
        i64::try_from(bytes).unwrap_or(i64::MAX),
        MAX_BYTES
    )
    .fetch_one(db)
    .await?;
    Ok(match (found.has_place, found.has_bytes) {
        (true, true) => Ok(id),
        (false, _) => Err(Full::Tasks),
        (true, false) => Err(Full::Bytes),
    })
}

/// A page of tasks, and how many there are.
#[derive(Debug, Clone)]
pub struct Listed {
    /// At most as many as asked for.
    pub rows: Vec<Task>,
    /// Where to go on.
    pub next: Option<Uuid>,
    /// Tasks that match, on all pages.
    pub total: i64,
}

/// The user's tasks that match, in the order they were added. Page and total are of the same moment.
///
/// The text is searched for as a regular expression that is one literal (`***=`, Postgres manual 9.7.3.4): its automaton reads each
/// character once, whatever the text, where `like` and `strpos` go back and try again at each place.
///
/// # Errors
/// The database failed.
pub async fn list(
    db: &mut Connection,
    user_id: &str,
    filter: Filter<'_>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Listed, StoreError> {
    let literal = filter.search.map(|text| format!("***={text}"));
    let found = sqlx::query!(
        r#"with matching as not materialized (
             select id, title, description, completed, created_at, updated_at from tasks
             where user_id = $1
               and ($2::boolean is null or completed = $2)
               and ($3::text is null or title ~* $3 or description ~* $3)
         )
         select counted.total as "total!", page.id as "id?", page.title as "title?", page.description as "description?",
                page.completed as "completed?", page.created_at as "created_at?", page.updated_at as "updated_at?"
         from (select count(*) as total from matching) counted
         left join (select * from matching where $4::uuid is null or id > $4 order by id limit $5) page on true
         order by page.id"#,
        user_id,
        filter.completed,
        literal,
        after,
        limit + 1
    )
    .fetch_all(db)
    .await?;
    let total = found.first().map_or(0, |row| row.total);
    let rows = found.into_iter().filter_map(|row| {
        Some(Task {
            id: row.id?,
            title: row.title?,
            description: row.description,
            completed: row.completed?,
            created_at: row.created_at?,
            updated_at: row.updated_at?,
        })
    });
    let Page { rows, next } = Page::cut(rows.collect(), limit, |task| task.id);
    Ok(Listed { rows, next, total })
}

/// The user's task with this id.
///
/// # Errors
/// The database failed.
pub async fn find(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Task>, StoreError> {
    Ok(sqlx::query_as!(
        Task,
        "select id, title, description, completed, created_at, updated_at from tasks where id = $1 and user_id = $2",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// What to change of a task; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct Change<'a> {
    /// A new title.
    pub title: Option<&'a str>,
    /// A new description; an empty one removes it.
    pub description: Option<&'a str>,
    /// Done or open.
    pub completed: Option<bool>,
}

/// Changes a task and returns its title, unless it grows and the list is full.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn update(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
    change: Change<'_>,
) -> Result<Changed, StoreError> {
    if change.title.is_none() && change.description.is_none() {
        let title = mark(db, user_id, id, change.completed).await?;
        return Ok(title.map_or(Changed::Unknown, Changed::Done));
    }
    // The totals are locked before the task is, and its length is that of the version that is changed.
    let title = sqlx::query_scalar!(
        "with room as materialized (select $6 - bytes as bytes from lock_task_totals())
         update tasks
         set title = coalesce($3, title),
             description = case when $4::text is null then description else nullif($4, '') end,
             completed = coalesce($5, completed),
             updated_at = clock_timestamp()
         from room
         where id = $1 and user_id = $2
           and octet_length(coalesce($3, title)) - octet_length(title)
             + octet_length(coalesce($4, description, '')) - octet_length(coalesce(description, ''))
             <= greatest(room.bytes, 0)
         returning title",
        id,
        user_id,
        change.title,
        change.description,
        change.completed,
        MAX_BYTES
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(title) = title {
        return Ok(Changed::Done(title));
    }
    let exists = sqlx::query_scalar!(
        r#"select exists (select 1 from tasks where id = $1 and user_id = $2) as "exists!""#,
        id,
        user_id
    )
    .fetch_one(db)
    .await?;
    Ok(match exists {
        true => Changed::Full(Full::Bytes),
        false => Changed::Unknown,
    })
}

/// Marks a task as done or open, and returns its title; none if the user has no such task.
async fn mark(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
    completed: Option<bool>,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update tasks set completed = coalesce($3, completed), updated_at = clock_timestamp()
         where id = $1 and user_id = $2
         returning title",
        id,
        user_id,
        completed
    )
    .fetch_optional(db)
    .await?)
}

/// Deletes a task and returns its title; none if the user has no such task.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn delete(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "with totals as materialized (select from lock_task_totals())
         delete from tasks using totals where id = $1 and user_id = $2 returning title",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// Tells whoever shows tasks that they changed.
///
/// # Errors
/// The database failed.
pub async fn announce(db: &mut Connection, changes: &[TaskChange]) -> Result<(), StoreError> {
    // A payload holds 7999 bytes.
    let payloads: Vec<String> = changes
        .chunks(7_999 / (TaskChange::LENGTH + 1))
        .map(|changes| {
            changes
                .iter()
                .map(TaskChange::to_string)
                .collect::<Vec<_>>()
        })
        .map(|changes| changes.join(","))
        .collect();
    sqlx::query!(
        "select pg_notify($1, payload) from unnest($2::text[]) as p (payload)",
        TASKS_CHANGED,
        &payloads
    )
    .fetch_all(db)
    .await?;
    Ok(())
}
