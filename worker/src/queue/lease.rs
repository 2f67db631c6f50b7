//! The lease: a heartbeat of its own, so that a worker full of long runs is never taken for dead.
//!
//! The same beat takes over the jobs of workers that are, and gives back jobs that the database thinks are ours but whose
//! claim's answer never arrived. Now and then it purges old jobs and events.

use std::{sync::Arc, time::Duration};

use errand_shared::store::{self, Pool, StoreError, events, leases};
use tokio::time::Instant;
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
    // Since when every beat has arrived in time.
    let mut healthy: Option<Instant> = None;
    let mut last = Instant::now();
    let mut next_purge = Instant::now() + PURGE_EVERY;
    let mut outage_logged = false;
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            _ = beat.tick() => {}
        }
        let purge = Instant::now() >= next_purge;
        if purge {
            next_purge += PURGE_EVERY;
        }
        // After an outage all workers look dead: nobody takes over before everybody had the time to beat again.
        let take_over = healthy.is_some_and(|since| since.elapsed() >= settings.lease);
        match store::within(once(&pool, &worker, &held, &settings, take_over, purge)).await {
            Ok(()) => {
                if healthy.is_none() || last.elapsed() >= settings.lease {
                    healthy = Some(Instant::now());
                }
                last = Instant::now();
                outage_logged = false;
            }
            Err(error) if !outage_logged => {
                healthy = None;
                tracing::warn!(%error, "cannot renew the lease; others may take over this worker's runs");
                outage_logged = true;
            }
            Err(_) => healthy = None,
        }
    }
}

async fn once(
    pool: &Pool,
    worker: &str,
    held: &Held,
    settings: &Settings,
    take_over: bool,
    purge: bool,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let given_back = leases::beat(
        &mut connection,
        worker,
        &held.job_ids(),
        settings.lease,
        take_over,
    )
    .await?;
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
