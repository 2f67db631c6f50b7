//! Reading a list: a page of one view.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::Now;
use uuid::Uuid;

use super::{
    Connection, Cursor, Filter, MAX_TASKS, Page, Priority, Row, StoreError, Task, View, tag_key,
    views::Span,
};

/// A page of tasks, and how many there are.
#[derive(Debug, Clone)]
pub struct Listed {
    /// At most as many as asked for.
    pub rows: Vec<Task>,
    /// Where to go on.
    pub next: Option<Cursor>,
    /// Tasks that match, on all pages. It is not counted beyond one more than [`MAX_TASKS`].
    pub total: i64,
}

/// The user's tasks that match, in the order of their view: a task that is overdue comes first, then they go by date and time, priority
/// and age. Page and total are of the same moment. `after` is a cursor of the same view.
///
/// A page, and the total of a view without further filters, read what is in the view and no other tasks. The text is searched for as a
/// regular expression that is one literal (`***=`, Postgres manual 9.7.3.4): its automaton reads each character once, whatever the text,
/// where `like` and `strpos` go back and try again at each place.
pub async fn list(
    db: &mut Connection,
    user_id: &str,
    filter: &Filter<'_>,
    now: &Now,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Listed, StoreError> {
    let asked = Asked {
        user_id,
        literal: filter.search.map(|text| format!("***={text}")),
        tags: filter.tags.iter().map(|tag| tag_key(tag)).collect(),
        filter,
        limit: limit + 1,
    };
    let found = match filter.view {
        View::Completed => completed(db, &asked, after).await?,
        View::Deleted => deleted(db, &asked, after).await?,
        View::All => all(db, &asked, after).await?,
        View::Open | View::Today | View::Overdue | View::Upcoming | View::Undated => {
            open(db, &asked, now, after).await?
        }
    };
    let total = found.first().map_or(0, |row| row.total);
    let rows: Vec<Row> = found.into_iter().filter_map(Found::into_row).collect();
    let Page { rows, next } = Page::cut(rows, limit, |row| place(row, filter.view));
    Ok(Listed {
        rows: rows.into_iter().map(|row| row.into_task(now)).collect(),
        next,
        total,
    })
}

/// What is asked for, as the queries take it.
struct Asked<'a> {
    user_id: &'a str,
    literal: Option<String>,
    tags: Vec<String>,
    filter: &'a Filter<'a>,
    limit: i64,
}

impl Asked<'_> {
    fn priority(&self) -> Option<&'static str> {
        self.filter.priority.map(Priority::name)
    }

    /// Whether the total is that of the view: then an index alone has it.
    fn is_plain(&self) -> bool {
        self.literal.is_none() && self.tags.is_empty() && self.filter.priority.is_none()
    }
}

fn place(row: &Row, view: View) -> Cursor {
    let at = |moment: Option<DateTime<Utc>>| Cursor::At(moment.unwrap_or_default(), row.id);
    match view {
        View::All => Cursor::Id(row.id),
        View::Completed => at(row.completed_at),
        View::Deleted => at(row.deleted_at),
        View::Open | View::Today | View::Overdue | View::Upcoming | View::Undated => {
            Cursor::due(row.due_date, row.due_time, row.priority(), row.id)
        }
    }
}

/// A row of a page, or none of an empty one, beside the total.
struct Found {
    total: i64,
    id: Option<Uuid>,
    title: Option<String>,
    description: Option<String>,
    completed: Option<bool>,
    completed_at: Option<DateTime<Utc>>,
    due_date: Option<NaiveDate>,
    due_time: Option<NaiveTime>,
    priority: Option<String>,
    tags: Option<Vec<String>>,
    repeat: Option<String>,
    deleted_at: Option<DateTime<Utc>>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Found {
    fn into_row(self) -> Option<Row> {
        Some(Row {
            id: self.id?,
            title: self.title?,
            description: self.description,
            completed: self.completed?,
            completed_at: self.completed_at,
            due_date: self.due_date,
            due_time: self.due_time,
            priority: self.priority?,
            tags: self.tags?,
            repeat: self.repeat,
            // Of no use to whoever reads.
            repeat_from: String::new(),
            repeat_start: None,
            deleted_at: self.deleted_at,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
        })
    }
}

/// Open ones: a range of `tasks_open`, which is in the order in which they are shown.
///
/// `case` and not `coalesce`: behind row level security a condition is one of the index only if nothing in it can leak a row, and the
/// planner does not know that of `coalesce`.
async fn open(
    db: &mut Connection,
    asked: &Asked<'_>,
    now: &Now,
    after: Option<Cursor>,
) -> Result<Vec<Found>, StoreError> {
    let span = Span::of(asked.filter, now);
    let (date, time, priority, id) = span.behind(after);
    Ok(sqlx::query_as!(
        Found,
        r#"with matching as not materialized (
             select *, case when due_date is null then '10000-01-01'::date else due_date end as on_date,
                    case when due_time is null then '23:59:59'::time else due_time end as at_time
             from tasks
             where user_id = $1 and not completed and deleted_at is null
               and case when due_date is null then '10000-01-01'::date else due_date end >= $2
               and (case when due_date is null then '10000-01-01'::date else due_date end, case when due_time is null then '23:59:59'::time else due_time end) <= ($3::date, $4::time)
               and ($5::text is null or title ~* $5 or description ~* $5)
               and tag_keys @> $6
               and ($7::text is null or priority = $7)
         )
         select counted.total as "total!", page.id as "id?", page.title as "title?", page.description as "description?",
                page.completed as "completed?", page.completed_at as "completed_at?", page.due_date as "due_date?",
                page.due_time as "due_time?", page.priority as "priority?", page.tags as "tags?", page.repeat as "repeat?",
                page.deleted_at as "deleted_at?", page.created_at as "created_at?", page.updated_at as "updated_at?"
         from (select case when $8::boolean
                   then (select count(*) from (
                       select from tasks
                       where user_id = $1 and not completed and deleted_at is null
                         and case when due_date is null then '10000-01-01'::date else due_date end >= $2
                         and (case when due_date is null then '10000-01-01'::date else due_date end, case when due_time is null then '23:59:59'::time else due_time end) <= ($3::date, $4::time)
                       limit $9) c)
                   else (select count(*) from matching) end as total) counted
         left join (
             select * from matching
             where (case when due_date is null then '10000-01-01'::date else due_date end, case when due_time is null then '23:59:59'::time else due_time end, priority, id) > ($10::date, $11::time, $12, $13)
             order by case when due_date is null then '10000-01-01'::date else due_date end, case when due_time is null then '23:59:59'::time else due_time end, priority, id
             limit $14
         ) page on true
         order by page.on_date, page.at_time, page.priority, page.id"#,
        asked.user_id,
        span.from,
        span.to.0,
        span.to.1,
        asked.literal.as_deref(),
        &asked.tags,
        asked.priority(),
        asked.is_plain(),
        i64::from(MAX_TASKS) + 1,
        date,
        time,
        priority.name(),
        id,
        asked.limit
    )
    .fetch_all(db)
    .await?)
}

/// Done ones, the last done first.
async fn completed(
    db: &mut Connection,
    asked: &Asked<'_>,
    after: Option<Cursor>,
) -> Result<Vec<Found>, StoreError> {
    let (at, id) = behind(after);
    let filter = asked.filter;
    Ok(sqlx::query_as!(
        Found,
        r#"with matching as not materialized (
             select * from tasks
             where user_id = $1 and completed and deleted_at is null
               and ($2::text is null or title ~* $2 or description ~* $2)
               and tag_keys @> $3
               and ($4::text is null or priority = $4)
               and ($5::date is null or due_date >= $5)
               and ($6::date is null or due_date <= $6)
         )
         select counted.total as "total!", page.id as "id?", page.title as "title?", page.description as "description?",
                page.completed as "completed?", page.completed_at as "completed_at?", page.due_date as "due_date?",
                page.due_time as "due_time?", page.priority as "priority?", page.tags as "tags?", page.repeat as "repeat?",
                page.deleted_at as "deleted_at?", page.created_at as "created_at?", page.updated_at as "updated_at?"
         from (select case when $7::boolean
                   then (select count(*) from (
                       select from tasks where user_id = $1 and completed and deleted_at is null limit $8) c)
                   else (select count(*) from matching) end as total) counted
         left join (
             select * from matching where (completed_at, id) < ($9, $10) order by completed_at desc, id desc limit $11
         ) page on true
         order by page.completed_at desc, page.id desc"#,
        asked.user_id,
        asked.literal.as_deref(),
        &asked.tags,
        asked.priority(),
        filter.due_from,
        filter.due_to,
        asked.is_plain() && filter.due_from.is_none() && filter.due_to.is_none(),
        i64::from(MAX_TASKS) + 1,
        at,
        id,
        asked.limit
    )
    .fetch_all(db)
    .await?)
}

/// What is in the trash, the last deleted first.
async fn deleted(
    db: &mut Connection,
    asked: &Asked<'_>,
    after: Option<Cursor>,
) -> Result<Vec<Found>, StoreError> {
    let (at, id) = behind(after);
    let filter = asked.filter;
    Ok(sqlx::query_as!(
        Found,
        r#"with matching as not materialized (
             select * from tasks
             where user_id = $1 and deleted_at is not null
               and ($2::text is null or title ~* $2 or description ~* $2)
               and tag_keys @> $3
               and ($4::text is null or priority = $4)
               and ($5::date is null or due_date >= $5)
               and ($6::date is null or due_date <= $6)
               and ($7::boolean is null or completed = $7)
         )
         select counted.total as "total!", page.id as "id?", page.title as "title?", page.description as "description?",
                page.completed as "completed?", page.completed_at as "completed_at?", page.due_date as "due_date?",
                page.due_time as "due_time?", page.priority as "priority?", page.tags as "tags?", page.repeat as "repeat?",
                page.deleted_at as "deleted_at?", page.created_at as "created_at?", page.updated_at as "updated_at?"
         from (select case when $8::boolean
                   then (select count(*) from (
                       select from tasks where user_id = $1 and deleted_at is not null limit $9) c)
                   else (select count(*) from matching) end as total) counted
         left join (
             select * from matching where (deleted_at, id) < ($10, $11) order by deleted_at desc, id desc limit $12
         ) page on true
         order by page.deleted_at desc, page.id desc"#,
        asked.user_id,
        asked.literal.as_deref(),
        &asked.tags,
        asked.priority(),
        filter.due_from,
        filter.due_to,
        filter.completed,
        asked.is_plain() && filter.due_from.is_none() && filter.due_to.is_none() && filter.completed.is_none(),
        i64::from(MAX_TASKS) + 1,
        at,
        id,
        asked.limit
    )
    .fetch_all(db)
    .await?)
}

/// All that are not in the trash, in the order they were added.
async fn all(
    db: &mut Connection,
    asked: &Asked<'_>,
    after: Option<Cursor>,
) -> Result<Vec<Found>, StoreError> {
    let after = match after {
        Some(Cursor::Id(id)) => Some(id),
        _ => None,
    };
    let filter = asked.filter;
    Ok(sqlx::query_as!(
        Found,
        r#"with matching as not materialized (
             select * from tasks
             where user_id = $1 and deleted_at is null
               and ($2::text is null or title ~* $2 or description ~* $2)
               and tag_keys @> $3
               and ($4::text is null or priority = $4)
               and ($5::date is null or due_date >= $5)
               and ($6::date is null or due_date <= $6)
               and ($7::boolean is null or completed = $7)
         )
         select counted.total as "total!", page.id as "id?", page.title as "title?", page.description as "description?",
                page.completed as "completed?", page.completed_at as "completed_at?", page.due_date as "due_date?",
                page.due_time as "due_time?", page.priority as "priority?", page.tags as "tags?", page.repeat as "repeat?",
                page.deleted_at as "deleted_at?", page.created_at as "created_at?", page.updated_at as "updated_at?"
         from (select count(*) as total from matching) counted
         left join (select * from matching where $8::uuid is null or id > $8 order by id limit $9) page on true
         order by page.id"#,
        asked.user_id,
        asked.literal.as_deref(),
        &asked.tags,
        asked.priority(),
        filter.due_from,
        filter.due_to,
        filter.completed,
        after,
        asked.limit
    )
    .fetch_all(db)
    .await?)
}

/// Where a page of moments begins, the last of them first.
fn behind(after: Option<Cursor>) -> (DateTime<Utc>, Uuid) {
    match after {
        Some(Cursor::At(at, id)) => (at, id),
        // Behind all times that the database keeps.
        _ => (
            DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default(),
            Uuid::max(),
        ),
    }
}
