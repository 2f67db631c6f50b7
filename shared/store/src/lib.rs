//! The store: all SQL of Errand.
//!
//! `lifecycle` is the life of a run, `queue` the job queue beside it, `read` what conversations show, `tasks` the list, `db` the database itself.
//!
//! Functions take `&mut PgConnection`, so the caller owns the transaction and says what commits together.
//! Every query on a user's rows names the user. Writes of a worker for a run are fenced by the run's attempt.
//!
//! Whatever asks the database fails with [`StoreError`] if that fails; `# Errors` tells what else there is, and what is unknown then.

use std::time::Duration;

pub use sqlx::PgConnection as Connection;
// For its feature: without it connections to the database cannot be encrypted.
use sqlx_core as _;

pub mod db;
pub mod deletion;
pub mod events;
pub mod lifecycle;
pub mod mcp_calls;
mod notify;
pub mod queue;
pub mod read;
pub mod settings;
pub mod summaries;
pub mod tasks;

pub use db::{
    Pace, Pool, PoolUsage, Pooled, Rest, StoreError, Transaction, UserPool, UserTurn, Wait,
    WriteError, begin_for, gather_after, pool, without_nul,
};

/// How long one unit of work on the database (a transaction, a few queries) may take before it is given up. What hangs on a
/// connection that went silent has to end and be done anew within the ten seconds that a recovery may take.
pub const WORK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the database answers, and what time it is there. Not work: it keeps no process from its rest.
///
/// # Errors
/// It does not.
pub async fn ping(pool: &Pool) -> Result<(), StoreError> {
    let mut db = pool.acquire_quietly().await?;
    let time = sqlx::query_scalar!(r#"select clock_timestamp() as "time!""#)
        .fetch_one(&mut *db)
        .await;
    pool.clock().observe(db.done(time)?);
    Ok(())
}

/// Begins a transaction as the owner of the tables: for work that is for no user in particular. [`begin_for`] acts for a user, and
/// [`UserTurn::lock`] takes the user's lock, too.
///
/// # Errors
/// The database is unreachable.
pub async fn begin(pool: &Pool) -> Result<Transaction, StoreError> {
    pool.begin().await
}

/// Takes a connection for work that is for no user in particular.
///
/// # Errors
/// The database is unreachable.
pub async fn connection(pool: &Pool) -> Result<Pooled, StoreError> {
    pool.acquire().await
}

/// As [`connection`], for what the process asks by itself: it does not count as work (see [`Rest`]).
///
/// # Errors
/// The database is unreachable.
pub async fn quiet_connection(pool: &Pool) -> Result<Pooled, StoreError> {
    pool.acquire_quietly().await
}

/// Commits a transaction.
///
/// # Errors
/// The database failed: whether the transaction took effect is unknown.
pub async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    transaction.commit().await
}

/// Bounds a unit of work: the server's own time-outs do not help against a connection that has gone silent.
///
/// # Errors
/// Those of the work, or [`StoreError::Timeout`] after [`WORK_TIMEOUT`].
pub fn within<T, E: From<StoreError>>(
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    within_time(WORK_TIMEOUT, work)
}

/// Bounds a unit of work that has to be shorter than others.
///
/// # Errors
/// Those of the work, or [`StoreError::Timeout`] after `time`.
pub fn within_time<T, E: From<StoreError>>(
    time: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // Boxed, and not held by an `async fn`, which would have room for it twice: a future is as large as the largest that it ever awaits, and a run
    // waits for its model with it.
    let work = tokio::time::timeout(time, Box::pin(work));
    async move {
        match work.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Timeout(time).into()),
        }
    }
}

/// How long a process waits at its start for a database that is down or not yet migrated.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the database answers and every migration of this version is applied, saying what is missing meanwhile.
///
/// # Errors
/// The last trouble, after a minute; at once if this is a pooler and should not be, or a server whose certificate is refused.
pub async fn wait_until_current(pool: &Pool) -> Result<(), StoreError> {
    let begun = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        let trouble = match within(db::migrate::is_current(pool)).await {
            Ok(true) => {
                within(ping(pool)).await?;
                return within(db::report(pool)).await;
            }
            Ok(false) => StoreError::NotMigrated,
            Err(error) if error.is_for_good() => return Err(error),
            Err(error) => error,
        };
        if begun.elapsed() > START_TIMEOUT {
            return Err(trouble);
        }
        tracing::warn!(%trouble, "waiting for the database");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Whether the server of a pool is the one that its URL asks for, as far as `sslmode` says so. A server that does not answer is not asked again.
///
/// # Errors
/// [`StoreError::Untrusted`].
pub async fn trusted(pool: &Pool) -> Result<(), StoreError> {
    match within(ping(pool)).await {
        Err(error @ StoreError::Untrusted(_)) => Err(error),
        _ => Ok(()),
    }
}

/// One page of a list: the rows, and where the next page starts (none: this was the last).
#[derive(Debug, Clone)]
pub struct Page<T, C> {
    /// At most as many as asked for.
    pub rows: Vec<T>,
    /// Where to go on.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// From one row more than asked for: the surplus only tells that there is a next page.
    fn cut(mut rows: Vec<T>, limit: i64, cursor: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }
}
