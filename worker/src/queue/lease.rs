//! The lease: a heartbeat of its own, so that a worker full of long runs is never taken for dead.
//!
//! The same beat takes over the jobs of workers that are, and gives back jobs that the database thinks are ours but whose
//! claim's answer never arrived. Now and then it purges old jobs and events.

use std::{sync::Arc, time::Duration};

use errand_shared::store::{self, Pool, StoreError, events, leases};
use tokio_util::sync::CancellationToken;

use super::{Held, Settings};

/// Beats within one lease: so many may be lost before a live worker looks dead.
const BEATS_PER_LEASE: u32 = 5;

/// How long a done job stays for an operator to see.
const KEEP_DONE: Duration = Duration::from_secs(3600);

/// Pause between two purges.
const PURGE_EVERY: Duration = Duration::from_secs(60);

/// Beats until `over`.
pub(super) async fn keep(
    pool: Pool,
    worker: Arc<str>,
    held: Held,
    settings: Settings,
    over: CancellationToken,
) {
    let mut beat = tokio::time::interval(settings.lease / BEATS_PER_LEASE);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_purge = tokio::time::Instant::now() + PURGE_EVERY;
    let mut outage_logged = false;
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            _ = beat.tick() => {}
        }
        let purge = tokio::time::Instant::now() >= next_purge;
        if purge {
            next_purge += PURGE_EVERY;
        }
        match store::within(once(&pool, &worker, &held, &settings, purge)).await {
            Ok(()) => outage_logged = false,
            Err(error) if !outage_logged => {
                tracing::warn!(%error, "cannot renew the lease; others may take over this worker's runs");
                outage_logged = true;
            }
            Err(_) => {}
        }
    }
}

async fn once(
    pool: &Pool,
    worker: &str,
    held: &Held,
    settings: &Settings,
    purge: bool,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let given_back = leases::beat(&mut connection, worker, &held.job_ids(), settings.lease).await?;
    if given_back.orphaned > 0 {
        tracing::warn!(
            jobs = given_back.orphaned,
            "took over the jobs of a worker that fell silent"
        );
    }
    if given_back.unknown > 0 {
        tracing::warn!(
            jobs = given_back.unknown,
            "gave back jobs that nobody here is working on"
        );
    }
    if purge {
        leases::purge(&mut connection, KEEP_DONE).await?;
        events::purge(&mut connection, settings.keep_events).await?;
    }
    Ok(())
}
