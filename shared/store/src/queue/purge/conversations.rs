//! Conversations that were deleted: their rows go from the leaves to the root, a bounded number with each statement.

use std::time::Duration;

use uuid::Uuid;

use super::{Connection, Deleted, Place, Range, StoreError};

/// Conversations of a batch, as a part of what one statement may delete.
const ROWS_PER_CONVERSATION: i64 = 8;

/// Deletes of the conversations that were deleted in the range as much as one batch may: all of most, a part of a long one, which is left
/// for the next batch. One with a run that is not over is left with its whole batch for the next time.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let most = (limit / ROWS_PER_CONVERSATION).max(1);
    let due = sqlx::query!(
        r#"select c.id, c.deleted_at as "deleted_at!",
                  exists (select 1 from runs r where r.conversation_id = c.id and r.finished_at is null) as "is_busy!"
           from conversations c
           where (c.deleted_at, c.id) > ($1, $2) and c.deleted_at < $3
           order by c.deleted_at, c.id
           limit $4"#,
        range.from.at,
        range.from.id,
        range.until,
        most
    )
    .fetch_all(&mut *db)
    .await?;
    let is_full = i64::try_from(due.len()).is_ok_and(|found| found == most);
    let is_busy = due.iter().any(|conversation| conversation.is_busy);
    let reached = match due.last() {
        _ if is_busy => None,
        Some(last) if is_full => Some(Place {
            at: last.deleted_at,
            id: last.id,
        }),
        _ => Some(range.end()),
    };
    let idle = due.iter().filter(|conversation| !conversation.is_busy);
    let ids: Vec<Uuid> = idle.map(|conversation| conversation.id).collect();
    let mut deleted = Deleted::new(0, 0.0, is_busy || !is_full, reached);
    if ids.is_empty() {
        return Ok(deleted);
    }
    for part in PARTS {
        // Whether a run is still referred to is looked up in seven places, after the time is taken.
        let limit = match part {
            Part::Runs => most,
            _ => limit,
        };
        let (rows, seconds) = part.delete(db, &ids, limit).await?;
        deleted.rows += u64::try_from(rows).unwrap_or(0);
        let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        deleted.slowest = deleted.slowest.max(took);
        if rows >= limit {
            // There may be more of these, which have to go first.
            deleted.is_last = false;
            deleted.reached = None;
            return Ok(deleted);
        }
    }
    Ok(deleted)
}

/// What belongs to a conversation, what is referred to behind what refers to it.
#[derive(Debug, Clone, Copy)]
enum Part {
    Events,
    Calls,
    Approvals,
    Steps,
    Messages,
    Summaries,
    Runs,
    Conversations,
}

const PARTS: [Part; 8] = [
    Part::Events,
    Part::Calls,
    Part::Approvals,
    Part::Steps,
    Part::Messages,
    Part::Summaries,
    Part::Runs,
    Part::Conversations,
];

/// Deletes rows by their places, which nobody changes: the rows of such conversations are immutable, or over.
macro_rules! delete {
    ($db:ident, $ids:ident, $limit:ident, $query:literal) => {{
        let gone = sqlx::query!($query, $ids, $limit).fetch_one($db).await?;
        (gone.rows, gone.seconds)
    }};
}

impl Part {
    /// At most `limit` rows; how many there were, and how many seconds it took.
    async fn delete(
        self,
        db: &mut Connection,
        ids: &[Uuid],
        limit: i64,
    ) -> Result<(i64, f64), StoreError> {
        Ok(match self {
            Self::Events => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from run_events where ctid = any (array(
                         select e.place from runs r
                         cross join lateral (select n.ctid as place from run_events n where n.run_id = r.id limit $2) e
                         where r.conversation_id = any ($1)
                         limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Calls => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from tool_calls where ctid = any (array(
                         select e.place from runs r
                         cross join lateral (select n.ctid as place from tool_calls n where n.run_id = r.id limit $2) e
                         where r.conversation_id = any ($1)
                         limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Approvals => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from approvals where ctid = any (array(
                         select e.place from runs r
                         cross join lateral (select n.ctid as place from approvals n where n.run_id = r.id limit $2) e
                         where r.conversation_id = any ($1)
                         limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Steps => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from steps where ctid = any (array(
                         select e.place from runs r
                         cross join lateral (select n.ctid as place from steps n where n.run_id = r.id limit $2) e
                         where r.conversation_id = any ($1)
                         limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Messages => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from messages where ctid = any (array(
                         select ctid from messages where conversation_id = any ($1) limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Summaries => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from summaries where ctid = any (array(
                         select ctid from summaries where conversation_id = any ($1) limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            // The latest first: a run refers to those that it goes on from.
            Self::Runs => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from runs where id = any (array(
                         select id from runs where conversation_id = any ($1) order by position desc limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
            Self::Conversations => delete!(
                db,
                ids,
                limit,
                r#"with gone as (
                     delete from conversations where id = any (array(
                         select unnest($1::uuid[]) limit $2))
                     returning 1
                 )
                 select (select count(*) from gone) as "rows!",
                        extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#
            ),
        })
    }
}
