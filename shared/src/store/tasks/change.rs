//! Changing tasks: one at a time, under the lock on the user's list.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, Fields, Full, MAX_BYTES, MAX_TASKS, Row, StoreError, Task, tag_key};
use crate::calendar::Now;

/// A task as it is stored, and as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: Uuid,
    /// What it says.
    pub fields: Fields,
    /// Whether it is done.
    pub completed: bool,
    /// When it was done. The database keeps it.
    pub completed_at: Option<DateTime<Utc>>,
    /// Whether it is in the trash.
    pub is_deleted: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed. The database keeps it.
    pub updated_at: DateTime<Utc>,
}

impl Stored {
    /// As its owner sees it.
    #[must_use]
    pub fn into_task(self, now: &Now) -> Task {
        let due = self.fields.due_in_words(now, self.completed);
        Task {
            id: self.id,
            title: self.fields.title,
            description: self.fields.description,
            completed: self.completed,
            completed_at: self.completed_at,
            due_date: self.fields.due.map(|due| due.date),
            due_time: self.fields.due.and_then(|due| due.time),
            due,
            priority: self.fields.priority,
            tags: self.fields.tags,
            repeat: self.fields.repeat.map(|repeat| repeat.rule.to_string()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// What a user's list holds, which nobody else changes until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    tasks: i32,
    bytes: i64,
    trash_tasks: i32,
    trash_bytes: i64,
}

impl Room {
    /// Whether there is a place for so many tasks more, and so many bytes of text.
    ///
    /// # Errors
    /// The list is full. What does not grow always has a place.
    pub fn admit(&self, tasks: i32, bytes: i64) -> Result<(), Full> {
        if tasks > 0 && self.tasks > MAX_TASKS - tasks {
            Err(Full::Tasks)
        } else if bytes > 0 && self.bytes > MAX_BYTES - bytes {
            Err(Full::Bytes)
        } else {
            Ok(())
        }
    }
}

/// Locks the list of the user for whom the transaction acts. Whoever changes a task asks here first: the same order for all.
///
/// # Errors
/// The database failed.
pub async fn lock_list(db: &mut Connection) -> Result<Room, StoreError> {
    Ok(sqlx::query_as!(
        Room,
        r#"select tasks as "tasks!", bytes as "bytes!", trash_tasks as "trash_tasks!", trash_bytes as "trash_bytes!" from lock_list()"#
    )
    .fetch_one(db)
    .await?)
}

/// The user's task with this id, also one in the trash.
///
/// # Errors
/// The database failed.
pub async fn find(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, title, description, completed, completed_at, due_date, due_time, priority, tags, repeat, repeat_from, repeat_start,
                deleted_at, created_at, updated_at
         from tasks where id = $1 and user_id = $2",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Row::into_stored))
}

/// As [`find`], to be changed: it is locked until the transaction ends.
///
/// # Errors
/// The database failed.
pub async fn take(
    db: &mut Connection,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Stored>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, title, description, completed, completed_at, due_date, due_time, priority, tags, repeat, repeat_from, repeat_start,
                deleted_at, created_at, updated_at
         from tasks where id = $1 and user_id = $2 for update",
        id,
        user_id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Row::into_stored))
}

/// Adds a task: an open one, or one that is done already.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn add(
    db: &mut Connection,
    user_id: &str,
    fields: Fields,
    completed: bool,
) -> Result<Stored, StoreError> {
    let id = crate::ids::new_id();
    let keys: Vec<String> = fields.tags.iter().map(|tag| tag_key(tag)).collect();
    let repeat = fields.repeat.as_ref();
    let row = sqlx::query!(
        "insert into tasks (id, user_id, title, description, completed, due_date, due_time, priority, tags, tag_keys,
                            repeat, repeat_from, repeat_start)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, 'due'), $13)
         returning completed_at, created_at, updated_at",
        id,
        user_id,
        fields.title,
        fields.description,
        completed,
        fields.due.map(|due| due.date),
        fields.due.and_then(|due| due.time),
        fields.priority.name(),
        &fields.tags,
        &keys,
        repeat.map(|repeat| repeat.rule.to_string()),
        repeat.map(|repeat| repeat.from.name()) as Option<&str>,
        repeat.map(|repeat| repeat.start)
    )
    .fetch_one(db)
    .await?;
    Ok(Stored {
        id,
        fields,
        completed,
        completed_at: row.completed_at,
        is_deleted: false,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Writes a task that was taken, as it is to be. What goes into a trash that is full drives out what was deleted first.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn put(
    db: &mut Connection,
    user_id: &str,
    room: Room,
    task: Stored,
) -> Result<Stored, StoreError> {
    let fields = &task.fields;
    let keys: Vec<String> = fields.tags.iter().map(|tag| tag_key(tag)).collect();
    let repeat = fields.repeat.as_ref();
    let row = sqlx::query!(
        "update tasks
         set title = $3, description = $4, completed = $5, due_date = $6, due_time = $7, priority = $8, tags = $9, tag_keys = $10,
             repeat = $11, repeat_from = coalesce($12, 'due'), repeat_start = $13,
             deleted_at = case when $14 then coalesce(deleted_at, clock_timestamp()) end,
             updated_at = clock_timestamp()
         where id = $1 and user_id = $2
         returning completed_at, updated_at",
        task.id,
        user_id,
        fields.title,
        fields.description,
        task.completed,
        fields.due.map(|due| due.date),
        fields.due.and_then(|due| due.time),
        fields.priority.name(),
        &fields.tags,
        &keys,
        repeat.map(|repeat| repeat.rule.to_string()),
        repeat.map(|repeat| repeat.from.name()) as Option<&str>,
        repeat.map(|repeat| repeat.start),
        task.is_deleted
    )
    .fetch_one(&mut *db)
    .await?;
    if task.is_deleted
        && (room.trash_tasks >= MAX_TASKS || room.trash_bytes + fields.bytes() > MAX_BYTES)
    {
        drive_out(db, user_id, room, &task).await?;
    }
    Ok(Stored {
        completed_at: row.completed_at,
        updated_at: row.updated_at,
        ..task
    })
}

/// Deletes for good what was deleted first, until the trash has room for this task.
async fn drive_out(
    db: &mut Connection,
    user_id: &str,
    room: Room,
    task: &Stored,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with oldest as (
             select id, row_number() over before as place, sum(octet_length(title) + coalesce(octet_length(description), 0)
                                                                               + octet_length(array_to_string(tags, ''))) over before as bytes
             from (select * from tasks where user_id = $1 and deleted_at is not null and id <> $2 order by deleted_at, id limit 1000) t
             window before as (order by deleted_at, id rows unbounded preceding)
         )
         delete from tasks
         where id in (
             select id from oldest
             where place <= $3 or place <= 1 + (select count(*) from oldest where bytes < $4::bigint)
         ) and user_id = $1 and deleted_at is not null",
        user_id,
        task.id,
        i64::from(room.trash_tasks + 1 - MAX_TASKS),
        room.trash_bytes + task.fields.bytes() - MAX_BYTES
    )
    .execute(db)
    .await?;
    Ok(())
}
