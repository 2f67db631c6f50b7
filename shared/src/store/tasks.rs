//! Tasks. The writes work only inside a tool call: the database refuses them elsewhere (see the migration).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Connection, Page, StoreError};
use crate::hints::{Owner, TASKS_CHANGED};

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

/// Adds a task and returns its id.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn add(
    db: &mut Connection,
    user_id: &str,
    title: &str,
    description: Option<&str>,
) -> Result<Uuid, StoreError> {
    let id = crate::ids::new_id();
    sqlx::query!(
        "insert into tasks (id, user_id, title, description) values ($1, $2, $3, $4)",
        id,
        user_id,
        title,
        description
    )
    .execute(db)
    .await?;
    Ok(id)
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

/// Changes a task and returns its title; none if the user has no such task.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn update(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
    change: Change<'_>,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update tasks
         set title = coalesce($3, title),
             description = case when $4::text is null then description else nullif($4, '') end,
             completed = coalesce($5, completed),
             updated_at = clock_timestamp()
         where id = $1 and user_id = $2
         returning title",
        id,
        user_id,
        change.title,
        change.description,
        change.completed
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
        "delete from tasks where id = $1 and user_id = $2 returning title",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// Tells whoever shows the tasks of these users that they changed.
///
/// # Errors
/// The database failed.
pub async fn announce(db: &mut Connection, owners: &[Owner]) -> Result<(), StoreError> {
    // A payload holds 7999 bytes.
    let payloads: Vec<String> = owners
        .chunks(200)
        .map(|owners| owners.iter().map(Owner::to_string).collect::<Vec<_>>())
        .map(|owners| owners.join(","))
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
