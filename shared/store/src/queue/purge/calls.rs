//! Calls of outside MCP clients. Their ids are UUIDv7, so the primary key has them in the order of time, and no index on the time is kept
//! up for the purge alone.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, Deleted, Place, Range, StoreError};

/// Deletes calls made in the range. An id has the time of the process that made it; the row's own time, which is the database's,
/// has the last word.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let until = first_id(range.until);
    let from = range.from.id.min(until);
    let row = sqlx::query!(
        r#"with found as materialized (
             select c.id, sum(1 + c.bytes / 2000) over (order by c.id) - 1 - c.bytes / 2000 as before
             from (
                 select id, pg_column_size(parameters) + coalesce(pg_column_size(result), 0) as bytes from mcp_calls
                 where id >= $1 and id < $2 and created_at < $3
                 order by id
                 limit $4
             ) c
         ),
         due as materialized (
             select id from found where before < $4
         ),
         gone as (
             delete from mcp_calls where id = any (array(select id from due)) returning 1
         )
         select (select count(*) from gone) as "rows!",
                (select count(*) from found) = $4 or (select count(*) from found) > (select count(*) from due) as "more!",
                coalesce((select id from due order by id desc limit 1), $2) as "last!",
                extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
        from,
        until,
        range.until,
        limit
    )
    .fetch_one(db)
    .await?;
    let reached = Place {
        at: range.until,
        id: if row.more { row.last } else { until },
    };
    Ok(Deleted::new(
        row.rows,
        row.seconds,
        !row.more,
        Some(reached),
    ))
}

/// The lowest id of this millisecond.
fn first_id(at: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
