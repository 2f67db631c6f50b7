//! Reading a list: a page of one view.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::Now;
use uuid::Uuid;

use super::{
    Connection, Cursor, Filter, MAX_TASKS, Page, Priority, Row, StoreError, Task, View, tag_key,
    views::Span,
};
use crate::Pool;

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

/// What came of a page that was asked for by a calendar.
#[derive(Debug, Clone)]
pub enum Paged {
    /// The page.
    Listed(Listed),
    /// The zone that is remembered of the user is this one by now, so the page is another.
    Moved(Option<String>),
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
    let found = ask(db, user_id, None, filter, now, after, limit).await?;
    Ok(listed(found, filter.view, now, limit))
}

/// As [`list`], in one round trip, for a caller who takes the user to be in this zone: `now` is by its calendar.
pub async fn page(
    pool: &Pool,
    user_id: &str,
    zone: Option<&str>,
    filter: &Filter<'_>,
    now: &Now,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Paged, StoreError> {
    let mut db = pool.acquire().await?;
    let found = ask(&mut db, user_id, Some(zone), filter, now, after, limit).await;
    let mut found = db.done(found)?;
    Ok(match found.first_mut() {
        Some(row) if row.is_moved => Paged::Moved(row.time_zone.take()),
        _ => Paged::Listed(listed(found, filter.view, now, limit)),
    })
}

fn listed(found: Vec<Found>, view: View, now: &Now, limit: i64) -> Listed {
    let total = found.first().and_then(|row| row.total).unwrap_or(0);
    let rows: Vec<Row> = found.into_iter().filter_map(Found::into_row).collect();
    let Page { rows, next } = Page::cut(rows, limit, |row| place(row, view));
    Listed {
        rows: rows.into_iter().map(|row| row.into_task(now)).collect(),
        next,
        total,
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
    is_moved: bool,
    time_zone: Option<String>,
    total: Option<i64>,
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

/// Asks `task_page`; of the user in this zone if one is given, of whoever it is otherwise.
async fn ask(
    db: &mut Connection,
    user_id: &str,
    zone: Option<Option<&str>>,
    filter: &Filter<'_>,
    now: &Now,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Found>, StoreError> {
    let is_open = order(filter.view) == "open";
    let span = Span::of(filter, now);
    let (after_date, after_time, after_priority, mut after_id) = span.behind(after);
    let mut after_at = LAST;
    match after {
        Some(Cursor::At(at, id)) => (after_at, after_id) = (at, id),
        Some(Cursor::Id(id)) => after_id = id,
        Some(Cursor::Due(..)) => {}
        None if filter.view == View::All || is_open => {}
        None => after_id = Uuid::max(),
    }
    let (from, to) = match is_open {
        true => (Some(span.from), Some(span.to.0)),
        false => (filter.due_from, filter.due_to),
    };
    let tags: Vec<String> = filter.tags.iter().map(|tag| tag_key(tag)).collect();
    let is_plain = filter.search.is_none() && tags.is_empty() && filter.priority.is_none();
    // Of these an index alone does not know.
    let is_cut = !is_open && (from.is_some() || to.is_some() || filter.completed.is_some());
    Ok(sqlx::query_as!(
        Found,
        r#"select is_moved as "is_moved!", time_zone, total, id, title, description, completed, completed_at, due_date, due_time, priority, tags, repeat,
                  deleted_at, created_at, updated_at
           from task_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"#,
        user_id,
        zone.flatten(),
        zone.is_some(),
        order(filter.view),
        filter.search.map(|text| format!("***={text}")),
        &tags,
        filter.priority.map(Priority::name),
        filter.completed,
        from,
        to,
        span.to.1,
        is_plain && !is_cut,
        i64::from(MAX_TASKS) + 1,
        after_date,
        after_time,
        after_priority.name(),
        after_at,
        after_id,
        limit + 1
    )
    .fetch_all(db)
    .await?)
}

/// The order of a view, as `task_page` names it.
fn order(view: View) -> &'static str {
    match view {
        View::Open | View::Today | View::Overdue | View::Upcoming | View::Undated => "open",
        View::Completed => "completed",
        View::Deleted => "deleted",
        View::All => "all",
    }
}

/// Behind all times that the database keeps: the end of the year 9999.
const LAST: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(last) => last,
    None => DateTime::<Utc>::MAX_UTC,
};
