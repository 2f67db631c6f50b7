//! Reading a list: a page of one view.

use chrono::{DateTime, Utc};
use errand_core::calendar::Now;

use super::{Connection, Cursor, Filter, Page, Row, StoreError, Task, View};
use crate::{Pool, db::lane};

mod asked;
mod pages;

use asked::{Asked, Found};
pub(in super::super) use pages::Pages;

/// A page of tasks, and how many there are.
#[derive(Debug, Clone)]
pub struct Listed {
    /// At most as many as asked for.
    pub rows: Vec<Task>,
    /// Where to go on.
    pub next: Option<Cursor>,
    /// Tasks that match, on all pages. It is not counted beyond one more than [`super::MAX_TASKS`].
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
    let asked = Asked::of(user_id, None, filter, now, after, limit);
    Ok(listed(asked.ask(db).await?, filter.view, now, limit))
}

/// As [`list`], in one round trip, for a caller who takes the user to be in this zone: `now` is by its calendar. A page that reads an index and nothing
/// else goes together with others; one that has to look into tasks would keep them waiting.
pub async fn page(
    pool: &Pool,
    user_id: &str,
    zone: Option<&str>,
    filter: &Filter<'_>,
    now: &Now,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Paged, StoreError> {
    let asked = Asked::of(user_id, Some(zone), filter, now, after, limit);
    let mut found = match asked.is_plain {
        true => lane::make::<Pages>(pool, &asked).await?,
        false => {
            let mut db = pool.acquire().await?;
            let found = asked.ask(&mut db).await;
            db.done(found)?
        }
    };
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
