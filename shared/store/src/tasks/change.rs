//! Changing tasks: a tool call plans what is to become of them, and the database makes it if they are still as the call saw them.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::Now;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::Pool, Connection, Fields, Full, MAX_BYTES, MAX_TASKS, Row, StoreError, Task, tag_key,
};

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
    /// When it was added. The database keeps it.
    pub created_at: DateTime<Utc>,
    /// When it last changed. The database keeps it.
    pub updated_at: DateTime<Utc>,
}

impl Stored {
    /// One that is to be added. Its times are the database's to say.
    #[must_use]
    pub fn new(fields: Fields, completed: bool) -> Self {
        Self {
            id: errand_core::ids::new_id(),
            fields,
            completed,
            completed_at: None,
            is_deleted: false,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    /// As its owner sees it.
    #[must_use]
    pub fn into_task(self, now: &Now) -> Task {
        let due = self.fields.due_in_words(now, self.completed);
        Task {
            id: self.id,
            title: self.fields.title,
            description: self.fields.description,
            completed: self.completed,
            completed_at: self.completed_at.filter(|_| self.completed),
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

/// What a call makes of the list of one user, as `task_check` and `task_change` have it.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The calendar by which it was planned: the zone that is remembered of the user.
    zone: Option<String>,
    more_tasks: i32,
    more_bytes: i64,
    max_tasks: i32,
    max_bytes: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<Columns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    put: Option<Put>,
}

/// A task as it is to be, and as the call saw it.
#[derive(Debug, Serialize)]
struct Put {
    #[serde(flatten)]
    columns: Columns,
    is_deleted: bool,
    bytes: i64,
    /// When it had last changed.
    seen: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct Columns {
    id: Uuid,
    title: String,
    description: Option<String>,
    completed: bool,
    due_date: Option<NaiveDate>,
    due_time: Option<NaiveTime>,
    priority: &'static str,
    tag_keys: Vec<String>,
    tags: Vec<String>,
    repeat: Option<String>,
    repeat_from: Option<&'static str>,
    repeat_start: Option<NaiveDate>,
}

impl Change {
    /// Nothing yet, in a list whose user has this zone.
    #[must_use]
    pub fn in_zone(zone: Option<&str>) -> Self {
        Self {
            zone: zone.map(str::to_owned),
            more_tasks: 0,
            more_bytes: 0,
            max_tasks: MAX_TASKS,
            max_bytes: MAX_BYTES,
            add: None,
            put: None,
        }
    }

    /// The zone by which it was planned.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Also this task, a new one, which needs a place.
    #[must_use]
    pub fn adding(mut self, task: &Stored) -> Self {
        self.more_tasks += 1;
        self.more_bytes += task.fields.bytes();
        self.add = Some(Columns::of(task));
        self
    }

    /// Also this, in place of a task as it was seen. What leaves the trash needs a place, as what grows does. What goes into a trash that is
    /// full drives out what was deleted first.
    #[must_use]
    pub fn putting(mut self, task: &Stored, seen: &Stored) -> Self {
        let (tasks, bytes) = match (seen.is_deleted, task.is_deleted) {
            (true, false) => (1, task.fields.bytes()),
            (_, true) => (0, 0),
            (false, false) => (0, task.fields.bytes() - seen.fields.bytes()),
        };
        self.more_tasks += tasks;
        self.more_bytes += bytes;
        self.put = Some(Put {
            columns: Columns::of(task),
            is_deleted: task.is_deleted,
            bytes: task.fields.bytes(),
            seen: seen.updated_at,
        });
        self
    }
}

impl Columns {
    fn of(task: &Stored) -> Self {
        let fields = &task.fields;
        let repeat = fields.repeat.as_ref();
        Self {
            id: task.id,
            title: fields.title.clone(),
            description: fields.description.clone(),
            completed: task.completed,
            due_date: fields.due.map(|due| due.date),
            due_time: fields.due.and_then(|due| due.time),
            priority: fields.priority.name(),
            tag_keys: fields.tags.iter().map(|tag| tag_key(tag)).collect(),
            tags: fields.tags.clone(),
            repeat: repeat.map(|repeat| repeat.rule.to_string()),
            repeat_from: repeat.map(|repeat| repeat.from.name()),
            repeat_start: repeat.map(|repeat| repeat.start),
        }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The task, or the user's zone, is another by now: it has to be planned anew.
    Moved,
    /// The list has no room.
    Full(Full),
}

impl Refused {
    /// As `task_check` says it.
    pub(in super::super) fn named(name: &str) -> Option<Self> {
        match name {
            "moved" => Some(Self::Moved),
            "full_tasks" => Some(Self::Full(Full::Tasks)),
            "full_bytes" => Some(Self::Full(Full::Bytes)),
            _ => None,
        }
    }
}

/// Makes a change in the caller's transaction, which has opened the record of a call. Returns the call's result, with the times of the task
/// that it tells of.
///
/// # Errors
/// The database failed, or refused a change outside a tool call.
pub async fn change(
    db: &mut Connection,
    user_id: &str,
    change: &Change,
    result: &Value,
) -> Result<Result<Value, Refused>, StoreError> {
    let change = serde_json::to_value(change).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let refused = sqlx::query_scalar!("select task_check($1, $2)", user_id, change)
        .fetch_one(&mut *db)
        .await?;
    if let Some(refused) = refused {
        let refused = Refused::named(&refused).ok_or(sqlx::Error::RowNotFound)?;
        return Ok(Err(refused));
    }
    let result = sqlx::query_scalar!(
        r#"select task_change($1, $2, $3) as "result!""#,
        user_id,
        change,
        result
    )
    .fetch_one(db)
    .await?;
    Ok(Ok(result))
}

/// Locks the list of the user for whom the transaction acts. Whoever changes a task comes by here first: the same order for all.
pub async fn lock_list(db: &mut Connection) -> Result<(), StoreError> {
    sqlx::query!("select from lock_list()").execute(db).await?;
    Ok(())
}

/// The user's task with this id, also one in the trash.
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

/// The zone that is remembered of the user, and as [`find`], in one round trip.
pub async fn read(
    pool: &Pool,
    user_id: &str,
    id: Option<Uuid>,
) -> Result<(Option<String>, Option<Stored>), StoreError> {
    let mut db = pool.acquire().await?;
    let row = sqlx::query!(
        r#"select time_zone, id, title, description, completed, completed_at, due_date, due_time, priority, tags, repeat, repeat_from,
                  repeat_start, deleted_at, created_at, updated_at
           from task_read($1, $2)"#,
        user_id,
        id
    )
    .fetch_one(&mut *db)
    .await;
    let row = db.done(row)?;
    let task = || {
        Some(Row {
            id: row.id?,
            title: row.title?,
            description: row.description,
            completed: row.completed?,
            completed_at: row.completed_at,
            due_date: row.due_date,
            due_time: row.due_time,
            priority: row.priority?,
            tags: row.tags?,
            repeat: row.repeat,
            repeat_from: row.repeat_from?,
            repeat_start: row.repeat_start,
            deleted_at: row.deleted_at,
            created_at: row.created_at?,
            updated_at: row.updated_at?,
        })
    };
    Ok((row.time_zone, task().map(Row::into_stored)))
}
