//! Events: those of a run go together, so that nobody reads a part of them.

use std::time::Duration;

use uuid::Uuid;

use super::{Connection, Deleted, Place, Range, StoreError};

/// Runs with events in a batch, as a part of what one statement may delete: most have a dozen events or more. Those without cost a look
/// only, and there may be very many in a row.
const EVENTS_PER_RUN: i64 = 8;

/// Deletes the events of the runs that ended in the range. A run with many takes several statements of the same transaction.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let max_runs = (limit / EVENTS_PER_RUN).max(1);
    let runs = sqlx::query!(
        r#"select f.id, f.finished_at as "finished_at!", f.has_events as "has_events!",
                  count(*) filter (where f.has_events) over (order by f.finished_at, f.id) as "nth!",
                  extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!"
           from (
               select id, finished_at, exists (select 1 from run_events e where e.run_id = runs.id offset 0) as has_events from runs
               where (finished_at, id) > ($1, $2) and finished_at < $3
               order by finished_at, id
               limit $4
           ) f
           order by f.finished_at, f.id"#,
        range.from.at,
        range.from.id,
        range.until,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let found = runs.len();
    let took = runs.last().map_or(0.0, |run| run.seconds);
    let runs: Vec<_> = runs
        .into_iter()
        .take_while(|run| run.nth <= max_runs)
        .collect();
    let full = runs.len() < found || i64::try_from(found).is_ok_and(|found| found == limit);
    let reached = match runs.last() {
        Some(last) if full => Place {
            at: last.finished_at,
            id: last.id,
        },
        _ => range.end(),
    };
    let ids: Vec<Uuid> = runs
        .iter()
        .filter(|run| run.has_events)
        .map(|run| run.id)
        .collect();
    let mut deleted = Deleted::new(0, took, !full, Some(reached));
    while !ids.is_empty() {
        // Events are never changed, so a row's place is as good as its key, and found without the key's index. Sizes are those of what
        // is stored, and read without it.
        let some = sqlx::query!(
            r#"with found as materialized (
                 select e.place, sum(1 + e.bytes / 2000) over (rows unbounded preceding) - 1 - e.bytes / 2000 as before
                 from unnest($1::uuid[]) as r (id)
                 cross join lateral (
                     select n.ctid as place, pg_column_size(n.event) as bytes from run_events n
                     where n.run_id = r.id
                     order by n.seq
                     limit $2
                 ) e
                 limit $2
             ),
             gone as (
                 delete from run_events where ctid = any (array(select place from found where before < $2)) returning 1
             )
             select (select count(*) from gone) as "rows!", (select count(*) from found) as "found!",
                    extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
            &ids,
            limit
        )
        .fetch_one(&mut *db)
        .await?;
        deleted.rows += u64::try_from(some.rows).unwrap_or(0);
        let took = Duration::try_from_secs_f64(some.seconds).unwrap_or_default();
        deleted.slowest = deleted.slowest.max(took);
        if some.rows == 0 || (some.rows == some.found && some.found < limit) {
            break;
        }
    }
    Ok(deleted)
}
