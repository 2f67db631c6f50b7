//! Days of use: the daily limit asks for today, an operator perhaps for some more.

use super::{Connection, Deleted, Range, StoreError};

/// Deletes days before that of the range's end.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
             select user_id, day from usage_days
             where day < ($1::timestamptz at time zone 'utc')::date
             order by day
             limit $2
             for update skip locked
         ),
         gone as (
             delete from usage_days d using due where d.user_id = due.user_id and d.day = due.day returning 1
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
