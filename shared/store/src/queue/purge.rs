//! Purges: rows that nobody needs any more are deleted, in batches of bounded size, each in a short transaction of its own.
//!
//! Each kind goes along an index from where it stopped before (`purge_cursors`), so a batch costs the same however old and large
//! the table is, and however many entries of purged rows are still in the index. What users own (conversations, messages, runs with their
//! steps and tool calls, decisions, tasks) stays, until they delete it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::periodic::Lease;
use crate::{Connection, Pool, StoreError};

mod attempts;
mod calls;
mod conversations;
mod events;
mod jobs;
mod keys;
mod trash;
mod usage_days;
mod workers;

/// Transactions that are under way by the time a batch looks may still write rows with an earlier time. None lasts this long: the
/// server ends those that do nothing after five seconds, and statements after six.
const SETTLED: Duration = Duration::from_secs(15);

/// What is purged. A new kind is a variant, a place in [`Purge::ALL`], a name, and a function that deletes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// Events of runs, so long after the end of their run.
    Events,
    /// Jobs that are done.
    Jobs,
    /// Workers that are gone and that no job refers to.
    Workers,
    /// Records of calls of outside MCP clients.
    Calls,
    /// Attempts at such calls, older than the limit on them looks.
    Attempts,
    /// Idempotency keys of runs, so long after the end of their run. The run stays.
    Keys,
    /// Tokens used in a day that is over.
    UsageDays,
    /// Tasks that their users have deleted.
    Trash,
    /// Conversations that their users have deleted, with all that belongs to them.
    Conversations,
}

impl Purge {
    /// All kinds, in the order in which they are purged.
    pub const ALL: [Self; 9] = [
        Self::Events,
        Self::Jobs,
        Self::Workers,
        Self::Calls,
        Self::Attempts,
        Self::Keys,
        Self::UsageDays,
        Self::Trash,
        Self::Conversations,
    ];

    /// Its name, also in `purge_cursors`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Jobs => "jobs",
            Self::Workers => "workers",
            Self::Calls => "mcp_calls",
            Self::Attempts => "mcp_attempts",
            Self::Keys => "idempotency_keys",
            Self::UsageDays => "usage_days",
            Self::Trash => "deleted_tasks",
            Self::Conversations => "conversations",
        }
    }
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Rows deleted, or keys.
    pub rows: u64,
    /// Nothing is left for now.
    pub is_last: bool,
    /// How long its longest statement took, as the server measured it.
    pub slowest: Duration,
}

/// Purges one batch in a transaction of its own, while the lease is held. None if it was lost.
///
/// `limit` bounds what one statement deletes, counted in rows and in pieces of 2 KB of those that are large.
///
/// # Errors
/// If the database failed, nothing was purged, or this batch was.
pub async fn batch(
    pool: &Pool,
    lease: &Lease,
    purge: Purge,
    keep: Duration,
    limit: i64,
) -> Result<Option<Batch>, StoreError> {
    let mut tx = pool.begin().await?;
    if !lease.hold(&mut tx).await? {
        return Ok(None);
    }
    // Nobody waits for the disk: what a crash takes back is purged once more.
    sqlx::query!("select set_config('synchronous_commit', 'off', true)")
        .fetch_one(&mut *tx)
        .await?;
    let batch = step(&mut tx, purge, keep, limit).await?;
    tx.commit().await?;
    Ok(Some(batch))
}

/// As [`batch`], in the caller's transaction.
pub async fn step(
    db: &mut Connection,
    purge: Purge,
    keep: Duration,
    limit: i64,
) -> Result<Batch, StoreError> {
    let range = range(db, purge, keep).await?;
    let deleted = match purge {
        Purge::Events => events::delete(db, &range, limit).await?,
        Purge::Jobs => jobs::delete(db, &range, limit).await?,
        Purge::Workers => workers::delete(db, &range, limit).await?,
        Purge::Calls => calls::delete(db, &range, limit).await?,
        Purge::Attempts => attempts::delete(db, &range, limit).await?,
        Purge::Keys => keys::delete(db, &range, limit).await?,
        Purge::UsageDays => usage_days::delete(db, &range, limit).await?,
        Purge::Trash => trash::delete(db, &range, limit).await?,
        Purge::Conversations => conversations::delete(db, &range, limit).await?,
    };
    if let Some(place) = deleted.reached {
        sqlx::query!(
            "insert into purge_cursors (name, at, id) values ($1, $2, $3)
             on conflict (name) do update set at = excluded.at, id = excluded.id",
            purge.name(),
            place.at,
            place.id
        )
        .execute(db)
        .await?;
    }
    Ok(Batch {
        rows: deleted.rows,
        is_last: deleted.is_last,
        slowest: deleted.slowest,
    })
}

/// A place in the order in which rows are purged: by time, then by id.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: DateTime<Utc>,
    id: Uuid,
}

/// What is to be purged: rows behind `from` that are older than `until`.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Place,
    until: DateTime<Utc>,
}

/// Where the last purge stopped, and up to when this one may go. A place beyond that was reached with a clock that was set back since, or
/// when less was kept; it is not believed, and the next batch stores an earlier one.
///
/// What follows in the transaction reads no table as a whole: one that is small when a plan is made may be large when it is used.
async fn range(db: &mut Connection, purge: Purge, keep: Duration) -> Result<Range, StoreError> {
    let row = sqlx::query!(
        r#"select least(coalesce(c.at, 'epoch'), u.until) as "at!",
                  coalesce(c.id, '00000000-0000-0000-0000-000000000000') as "id!", u.until as "until!",
                  set_config('enable_seqscan', 'off', true) as seqscan
           from (select now() - make_interval(secs => $2) as until) u
           left join purge_cursors c on c.name = $1"#,
        purge.name(),
        keep.max(SETTLED).as_secs_f64()
    )
    .fetch_one(db)
    .await?;
    Ok(Range {
        from: Place {
            at: row.at,
            id: row.id,
        },
        until: row.until,
    })
}

impl Range {
    /// Its end: what is behind it is for a later purge.
    fn end(&self) -> Place {
        Place {
            at: self.until,
            id: Uuid::nil(),
        }
    }
}

/// What one batch deleted.
struct Deleted {
    rows: u64,
    /// Everything before it is purged; none if that is not known, or the next batch needs no place to begin at.
    reached: Option<Place>,
    is_last: bool,
    slowest: Duration,
}

impl Deleted {
    /// From the columns that a statement of a purge returns.
    fn new(rows: i64, seconds: f64, is_last: bool, reached: Option<Place>) -> Self {
        Self {
            rows: u64::try_from(rows).unwrap_or(0),
            reached,
            is_last,
            slowest: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        }
    }
}
