//! What is asked of the database for a page, and the rows that it answers with.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::Now;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::super::{
    Connection, Cursor, Filter, MAX_TASKS, Priority, Row, StoreError, View, tag_key, views::Span,
};

/// What is asked of `task_page`, and a row of `task_pages`.
#[derive(Serialize)]
pub(super) struct Asked<'a> {
    user_id: &'a str,
    zone: Option<&'a str>,
    checks_zone: bool,
    view: &'static str,
    literal: Option<String>,
    tags: Vec<String>,
    priority: Option<&'static str>,
    completed: Option<bool>,
    #[serde(serialize_with = "iso")]
    from_date: Option<NaiveDate>,
    #[serde(serialize_with = "iso")]
    to_date: Option<NaiveDate>,
    to_time: NaiveTime,
    pub(super) is_plain: bool,
    most: i64,
    #[serde(serialize_with = "iso")]
    after_date: Option<NaiveDate>,
    after_time: NaiveTime,
    after_priority: &'static str,
    after_at: DateTime<Utc>,
    after_id: Uuid,
    up_to: i64,
}

impl<'a> Asked<'a> {
    /// Of the user in this zone if one is given, of whoever it is otherwise.
    pub(super) fn of(
        user_id: &'a str,
        zone: Option<Option<&'a str>>,
        filter: &Filter<'_>,
        now: &Now,
        after: Option<Cursor>,
        limit: i64,
    ) -> Self {
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
        let (from_date, to_date) = match is_open {
            true => (Some(span.from), Some(span.to.0)),
            false => (filter.due_from, filter.due_to),
        };
        let tags: Vec<String> = filter.tags.iter().map(|tag| tag_key(tag)).collect();
        let is_plain = filter.search.is_none() && tags.is_empty() && filter.priority.is_none();
        // Of these an index alone does not know.
        let is_cut =
            !is_open && (from_date.is_some() || to_date.is_some() || filter.completed.is_some());
        Self {
            user_id,
            zone: zone.flatten(),
            checks_zone: zone.is_some(),
            view: order(filter.view),
            literal: filter.search.map(|text| format!("***={text}")),
            tags,
            priority: filter.priority.map(Priority::name),
            completed: filter.completed,
            from_date,
            to_date,
            to_time: span.to.1,
            is_plain: is_plain && !is_cut,
            most: i64::from(MAX_TASKS) + 1,
            after_date: Some(after_date),
            after_time,
            after_priority: after_priority.name(),
            after_at,
            after_id,
            up_to: limit + 1,
        }
    }

    /// Asks `task_page`.
    pub(super) async fn ask(&self, db: &mut Connection) -> Result<Vec<Found>, StoreError> {
        Ok(sqlx::query_as!(
            Found,
            r#"select is_moved as "is_moved!", time_zone, total, id, title, description, completed, completed_at, due_date, due_time, priority, tags, repeat,
                      deleted_at, created_at, updated_at
               from task_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"#,
            self.user_id,
            self.zone,
            self.checks_zone,
            self.view,
            self.literal,
            &self.tags,
            self.priority,
            self.completed,
            self.from_date,
            self.to_date,
            self.to_time,
            self.is_plain,
            self.most,
            self.after_date,
            self.after_time,
            self.after_priority,
            self.after_at,
            self.after_id,
            self.up_to
        )
        .fetch_all(db)
        .await?)
    }
}

/// A date as the database reads it. The day behind the last one has five digits, which the driver's format would begin with a sign.
fn iso<S: Serializer>(date: &Option<NaiveDate>, to: S) -> Result<S::Ok, S::Error> {
    match date {
        Some(date) => to.collect_str(&format_args!(
            "{:04}-{:02}-{:02}",
            date.year(),
            date.month(),
            date.day()
        )),
        None => to.serialize_none(),
    }
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

/// A row of a page, or none of an empty one, beside the total.
pub(in super::super::super) struct Found {
    pub(super) is_moved: bool,
    pub(super) time_zone: Option<String>,
    pub(super) total: Option<i64>,
    pub(super) id: Option<Uuid>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) completed: Option<bool>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) due_date: Option<NaiveDate>,
    pub(super) due_time: Option<NaiveTime>,
    pub(super) priority: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) repeat: Option<String>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) updated_at: Option<DateTime<Utc>>,
}

impl Found {
    /// None of an empty page.
    pub(super) fn into_row(self) -> Option<Row> {
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
