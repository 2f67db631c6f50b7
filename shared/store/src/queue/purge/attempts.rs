//! Attempts of outside clients at tool calls: the limit on calls counts those of a minute.

use super::{Connection, Deleted, Range, StoreError};

/// Deletes attempts made before the range's end.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
             select ctid from mcp_attempts
             where made_at < $1
             order by made_at
             limit $2
             for update skip locked
         ),
         gone as (
             delete from mcp_attempts where ctid = any (array(select ctid from due)) returning 1
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
