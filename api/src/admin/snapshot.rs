//! What the page shows, looked up once for all who look: ten open pages cost the database one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use errand_store::{
    self as store, Pool, StoreError,
    queue::{
        ended::{self, Ends, Failed},
        inspect::{self, AtWork, Heard, Ready},
        state,
        stops::{self, Stop},
    },
};
use serde::Serialize;
use tokio::sync::Mutex;

/// How old what is told may be, but for what the database counts once in five seconds for everybody.
const FRESH: Duration = Duration::from_secs(2);
/// How old the counts of the queue may be: as for `/metrics` and `/scaling`, which share them.
const COUNTS: Duration = Duration::from_secs(5);
/// How old what is told of ends may be. It reads up to 10,000 rows.
const ENDS: Duration = Duration::from_secs(10);
/// A look that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Rows of each list.
const MAX_READY: i64 = 20;
const MAX_AT_WORK: i64 = 50;
const MAX_WORKERS: i64 = 200;
/// Hours of failures.
const HOURS: i32 = 24;

/// The queue of the whole installation at a moment.
#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    /// By the database's clock, as all times are.
    at: DateTime<Utc>,
    counts: Counts,
    paused: Option<Stop>,
    workers: Vec<Heard>,
    at_work: Vec<AtWork>,
    ready: Vec<Ready>,
    ends: &'a [Ends],
    failed: &'a [Failed],
    /// More ended than is looked at: the earlier minutes are missing.
    is_cut: bool,
}

#[derive(Debug, Serialize)]
struct Counts {
    age_seconds: f64,
    ready: i64,
    oldest_ready_seconds: f64,
    running: i64,
    oldest_running_seconds: f64,
    behind: i64,
    awaiting_approval: i64,
    workers: i64,
    slots: i64,
}

/// The last look of this process.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    snapshot: Option<(Instant, Bytes)>,
    ends: Option<(Instant, Vec<Ends>, Vec<Failed>)>,
    /// The database failed then: who comes just behind need not wait for it once more.
    failed: Option<Instant>,
}

impl Snapshots {
    /// What the page shows, as JSON. Who asks while somebody looks waits for that look.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn get(&self, pool: &Pool) -> Result<Bytes, StoreError> {
        let mut seen = self.0.lock().await;
        let is_fresh = |at: &Instant, age| at.elapsed() < age;
        if let Some((at, snapshot)) = &seen.snapshot
            && is_fresh(at, FRESH)
        {
            return Ok(snapshot.clone());
        }
        if seen.failed.is_some_and(|at| is_fresh(&at, FRESH)) {
            return Err(StoreError::Timeout(TIMEOUT));
        }
        let looked = store::within_time(TIMEOUT, seen.look(pool)).await;
        seen.failed = looked.is_err().then(Instant::now);
        let snapshot = looked?;
        seen.snapshot = Some((Instant::now(), snapshot.clone()));
        Ok(snapshot)
    }

    /// Something was changed here: the next look is a new one.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = Seen::default();
    }
}

impl Seen {
    async fn look(&mut self, pool: &Pool) -> Result<Bytes, StoreError> {
        let mut db = store::connection(pool).await?;
        if !matches!(&self.ends, Some((at, ..)) if at.elapsed() < ENDS) {
            let ends = ended::ends(&mut db).await?;
            let failed = ended::failed(&mut db, HOURS).await?;
            self.ends = Some((Instant::now(), ends, failed));
        }
        let (ends, failed) = match &self.ends {
            Some((_, ends, failed)) => (&ends[..], &failed[..]),
            None => (&[][..], &[][..]),
        };
        let counts = state::queue_state(&mut db, COUNTS).await?;
        let workers = inspect::workers(&mut db, MAX_WORKERS).await?;
        let at_work = inspect::at_work(&mut db, MAX_AT_WORK).await?;
        let ready = inspect::ready(&mut db, MAX_READY).await?;
        let paused = stops::paused(&mut db).await?;
        let now = stops::now(&mut db).await;
        let snapshot = Snapshot {
            at: db.done(now)?,
            counts: Counts {
                age_seconds: counts.age.as_secs_f64(),
                ready: counts.ready,
                oldest_ready_seconds: counts.oldest_ready.as_secs_f64(),
                running: counts.running,
                oldest_running_seconds: counts.oldest_running.as_secs_f64(),
                behind: counts.behind,
                awaiting_approval: counts.awaiting_approval,
                workers: counts.workers,
                slots: counts.slots,
            },
            paused,
            workers,
            at_work,
            ready,
            is_cut: ends
                .last()
                .is_some_and(|all| all.completed + all.failed + all.cancelled >= ended::MAX_ENDED),
            ends,
            failed,
        };
        Ok(serde_json::to_vec(&snapshot).unwrap_or_default().into())
    }
}
