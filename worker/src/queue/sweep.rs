//! The sweep: runs that have lost their job get another one.

use std::{sync::Arc, time::Duration};

use errand_store::{
    self as store, Pace, Pool, Rest, StoreError,
    queue::{periodic::Lease, sweep},
};
use tokio_util::sync::CancellationToken;

/// Pause between two sweeps of the whole installation.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause between two looks of one worker when there are no jobs.
const AT_REST: Duration = Duration::from_secs(10);

/// Sweeps until `over`, when no other worker does.
pub(super) async fn keep(pool: Pool, rest: Arc<Rest>, over: CancellationToken) {
    let lease = Lease::new("sweep");
    let mut outage_logged = false;
    loop {
        let swept = async {
            rest.pause(PAUSE, AT_REST).await;
            if rest.pace() == Pace::Busy || finds(&pool).await? {
                sweep(&pool, &lease).await?;
            }
            Ok::<_, StoreError>(())
        };
        tokio::select! {
            () = over.cancelled() => return,
            swept = swept => match swept {
                Ok(()) => outage_logged = false,
                Err(error) if !outage_logged => {
                    tracing::warn!(%error, "cannot look for runs without a job; trying again");
                    outage_logged = true;
                }
                Err(_) => {}
            },
        }
    }
}

async fn finds(pool: &Pool) -> Result<bool, StoreError> {
    store::within(async {
        let mut db = store::connection(pool).await?;
        let finds = sweep::finds(&mut db).await;
        db.done(finds)
    })
    .await
}

async fn sweep(pool: &Pool, lease: &Lease) -> Result<(), StoreError> {
    if !store::within(take(pool, lease)).await? {
        return Ok(());
    }
    let mut after = None;
    loop {
        let Some(swept) = store::within(sweep::page(pool, lease, after)).await? else {
            return Ok(());
        };
        if !swept.enqueued.is_empty() {
            let runs = swept.enqueued.len();
            tracing::warn!(runs, "runs had lost their jobs and were enqueued again");
        }
        if swept.killed > 0 {
            tracing::error!(
                jobs = swept.killed,
                "jobs that are none of ours were in the queue"
            );
        }
        after = swept.next;
        if after.is_none() {
            break;
        }
    }
    store::within(rest(pool, lease)).await
}

async fn take(pool: &Pool, lease: &Lease) -> Result<bool, StoreError> {
    let mut db = store::connection(pool).await?;
    let taken = lease.take(&mut db).await;
    db.done(taken)
}

async fn rest(pool: &Pool, lease: &Lease) -> Result<(), StoreError> {
    let mut db = store::connection(pool).await?;
    let set = lease.rest(&mut db, PAUSE).await;
    db.done(set)
}
