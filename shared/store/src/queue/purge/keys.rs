//! Idempotency keys: they mean something while clients may repeat a request.

use super::{Connection, Deleted, Place, Range, StoreError};

/// What it costs to remove a key, measured in runs that have none: the row and all its index entries are written anew.
const COST: i64 = 16;

/// Removes the keys of the runs that ended in the range. A run that somebody is at is left for the next time, with its whole batch: to wait
/// for it while others are locked here could end in a deadlock.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with found as materialized (
             select f.*, sum(f.cost) over (order by f.finished_at, f.id) - f.cost as before
             from (
                 select id, finished_at, idempotency_key is not null as is_keyed,
                        case when idempotency_key is not null then $5::bigint else 1 end as cost
                 from runs
                 where (finished_at, id) > ($1, $2) and finished_at < $3
                 order by finished_at, id
                 limit $4
             ) f
         ),
         due as materialized (
             select id, finished_at, is_keyed from found where before < $4
         ),
         free as materialized (
             select r.id from runs r
             where r.id = any (array(select id from due where is_keyed))
             for update skip locked
         ),
         gone as (
             update runs set idempotency_key = null, request_hash = null
             where id = any (array(select id from free))
             returning 1
         )
         select (select count(*) from gone) as "rows!", (select count(*) from found) = $4 or (select count(*) from found) > (select count(*) from due) as "more!",
                (select count(*) from due where is_keyed) > (select count(*) from free) as "locked!",
                (select finished_at from due order by finished_at desc, id desc limit 1) as at,
                (select id from due order by finished_at desc, id desc limit 1) as id,
                extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
        range.from.at,
        range.from.id,
        range.until,
        limit,
        COST
    )
    .fetch_one(db)
    .await?;
    let reached = match (row.at, row.id) {
        _ if row.locked => None,
        (Some(at), Some(id)) if row.more => Some(Place { at, id }),
        _ => Some(range.end()),
    };
    let is_last = row.locked || !row.more;
    Ok(Deleted::new(row.rows, row.seconds, is_last, reached))
}
