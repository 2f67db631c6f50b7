//! Workers that are gone: a row for each start of a process.

use super::{Connection, Deleted, Range, StoreError};

/// Deletes workers that were last heard before the end of the range, but for those whose jobs are still there. These are few, so there
/// is no place to go on from.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
             select w.id from apalis.workers w
             where w.last_seen < $1
               and (select min(j.lock_by) from apalis.jobs j where j.lock_by = w.id) is null
             order by w.last_seen
             limit $2
             for update skip locked
         ),
         gone as (
             delete from apalis.workers where id = any (array(select id from due)) returning 1
         )
         select (select count(*) from gone) as "rows!",
                extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
        range.until,
        limit
    )
    .fetch_one(db)
    .await?;
    Ok(Deleted::new(row.rows, row.seconds, row.rows < limit, None))
}
