//! Purges: deletes what is kept for a time only, batch by batch until nothing is left, by one process in the whole installation.

use std::{sync::Arc, time::Duration};

use errand_store::{
    self as store, Pace, Pool, Rest, StoreError,
    queue::{
        periodic::Lease,
        purge::{self, Batch, Purge},
    },
    tasks::TRASH_DAYS,
};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, metrics::Metrics};

/// How often a worker looks whether it is time for a purge.
const LOOK: Duration = Duration::from_secs(10);
/// The same while there is nothing to do.
const LOOK_AT_REST: Duration = Duration::from_secs(60);
/// Pause between two purges of the whole installation.
const PAUSE: Duration = Duration::from_secs(60);
/// The same behind one that found nothing while there was nothing to do.
const PAUSE_AT_REST: Duration = Duration::from_secs(540);
/// How long one batch may take before it is given up. It is many statements if a run has very many events.
const BATCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Rows of the first batch. What follows is sized by the time that statements take.
const FIRST_LIMIT: i64 = 64;
const LIMITS: std::ops::RangeInclusive<i64> = 64..=1024;
/// A statement that took longer makes the next batch smaller, so that a slow disk or rows of an unusual size cost one slow statement.
const SLOW: Duration = Duration::from_millis(25);
/// One that took less makes it larger.
const FAST: Duration = Duration::from_millis(8);

/// Attempts at calls from outside that are kept: the limit on them looks back for a minute.
const KEEP_ATTEMPTS: Duration = Duration::from_secs(90);
/// Days of use that are kept.
const KEEP_USAGE_DAYS: Duration = Duration::from_secs(35 * 24 * 3600);

/// How long a deleted task is kept; the database admits no purge before.
const KEEP_TRASH: Duration = Duration::from_secs(TRASH_DAYS.unsigned_abs() * 24 * 3600);

/// How long the rows of a deleted conversation are kept: streams that follow it come to their end meanwhile, and an operator can still
/// bring it back (`deleted_at = null`).
const KEEP_DELETED: Duration = Duration::from_secs(3600);

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    events: Duration,
    jobs: Duration,
    calls: Duration,
    keys: Duration,
}

impl From<&Config> for Keep {
    fn from(config: &Config) -> Self {
        Self {
            events: config.keep_events,
            jobs: config.keep_jobs,
            calls: config.keep_calls,
            keys: config.keep_keys,
        }
    }
}

impl Keep {
    fn of(&self, purge: Purge) -> Duration {
        match purge {
            Purge::Events => self.events,
            Purge::Jobs | Purge::Workers => self.jobs,
            Purge::Calls => self.calls,
            Purge::Attempts => KEEP_ATTEMPTS,
            Purge::Keys => self.keys,
            Purge::UsageDays => KEEP_USAGE_DAYS,
            Purge::Trash => KEEP_TRASH,
            Purge::Conversations => KEEP_DELETED,
        }
    }
}

/// Purges until `over`, when no other worker does. What fails is left to the next time.
pub(crate) async fn keep(
    pool: Pool,
    keep: Keep,
    metrics: Arc<Metrics>,
    rest: Arc<Rest>,
    over: CancellationToken,
) {
    let lease = Lease::new("purge");
    let mut outage_logged = false;
    loop {
        let purged = async {
            let purged = purge_all(&pool, &lease, keep, &metrics, &rest).await;
            let failed = purged.is_err();
            if let Err(error) = purged
                && !outage_logged
            {
                tracing::warn!(%error, "cannot purge; trying again");
            }
            outage_logged = failed;
            rest.pause(LOOK, LOOK_AT_REST).await;
        };
        // What is under way is dropped: its transaction is rolled back.
        tokio::select! {
            () = over.cancelled() => return,
            () = purged => {}
        }
    }
}

/// Purges everything that is due, if it is time and nobody else does.
async fn purge_all(
    pool: &Pool,
    lease: &Lease,
    keep: Keep,
    metrics: &Metrics,
    rest: &Rest,
) -> Result<(), StoreError> {
    let take = async {
        let mut db = store::connection(pool).await?;
        let taken = lease.take(&mut db).await;
        db.done(taken)
    };
    if !store::within(take).await? {
        return Ok(());
    }
    let (mut result, mut rows) = (Ok(()), 0);
    for purge in Purge::ALL {
        metrics.purge_begins(purge.name());
        let purged = purge_one(pool, lease, purge, keep.of(purge), metrics).await;
        metrics.purge_ends(purge.name(), purged.is_err());
        match purged {
            Ok(Some(purged)) => rows += purged,
            Ok(None) => return Ok(()),
            // One table's trouble is not the others'.
            Err(error) => result = Err(error),
        }
    }
    let pause = match rows == 0 && rest.pace() != Pace::Busy {
        true => PAUSE_AT_REST,
        false => PAUSE,
    };
    store::within(async {
        let mut db = store::connection(pool).await?;
        let set = lease.rest(&mut db, pause).await;
        db.done(set)
    })
    .await?;
    result
}

/// Purges one kind. Returns how many rows; none if the lease was lost.
async fn purge_one(
    pool: &Pool,
    lease: &Lease,
    purge: Purge,
    keep: Duration,
    metrics: &Metrics,
) -> Result<Option<u64>, StoreError> {
    let mut limit = FIRST_LIMIT;
    let mut rows = 0;
    loop {
        let batch = purge::batch(pool, lease, purge, keep, limit);
        let Some(batch) = store::within_time(BATCH_TIMEOUT, batch).await? else {
            return Ok(None);
        };
        rows += batch.rows;
        metrics.purged(purge.name(), batch.rows);
        if batch.is_last {
            break;
        }
        limit = next_limit(limit, &batch);
        // As long as it took: the database has at least half of its time for everybody else.
        tokio::time::sleep(batch.slowest.clamp(Duration::from_millis(1), SLOW)).await;
    }
    if rows > 0 {
        tracing::debug!(what = purge.name(), rows, "purged");
    }
    Ok(Some(rows))
}

fn next_limit(limit: i64, batch: &Batch) -> i64 {
    let next = if batch.slowest > SLOW {
        limit / 2
    } else if batch.slowest < FAST {
        limit * 2
    } else {
        limit
    };
    next.clamp(*LIMITS.start(), *LIMITS.end())
}
