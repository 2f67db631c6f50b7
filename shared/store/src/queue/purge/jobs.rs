//! Jobs that are done, for whatever reason.

use uuid::Uuid;

use super::{Connection, Deleted, Place, Range, StoreError};

/// Deletes jobs that were done in the range. Of jobs done in the same microsecond any may be deleted first, so the place is a time
/// only, and the next batch begins at it.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
             select id, done_at from apalis.jobs
             where status in ('Done', 'Killed') and done_at >= $1 and done_at < $2
             order by done_at
             limit $3
         ),
         gone as (
             delete from apalis.jobs
             where id = any (array(select id from due)) and status in ('Done', 'Killed') and done_at < $2
             returning 1
         )
         select (select count(*) from gone) as "rows!", (select count(*) from due) as "due!",
                coalesce((select max(done_at) from due), $2) as "last!",
                extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
        range.from.at,
        range.until,
        limit
    )
    .fetch_one(db)
    .await?;
    let is_last = row.due < limit;
    let reached = if is_last {
        range.end()
    } else {
        Place {
            at: row.last,
            id: Uuid::nil(),
        }
    };
    Ok(Deleted::new(row.rows, row.seconds, is_last, Some(reached)))
}
