//! The claim loop: claims as many jobs as there are free slots, when woken and, while there are jobs, at least once a second.

use std::{
    iter,
    sync::Arc,
    time::{Duration, SystemTime},
};

use apalis::prelude::*;
use apalis_core::task::builder::TaskBuilder;
use errand_core::{faults, hints::Hint};
use errand_store::{
    self as store, Pool, Rest, StoreError,
    lifecycle::{self, Taken},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, InFlight,
    lease::{Asked, Beats},
};
use crate::{
    agent::READ_TURNS,
    metrics::Metrics,
    spans::{self, ClaimedAt},
};

/// The slow poll: what a lost notification costs at most, and how late a delayed retry may start. When there are no jobs, it is the heartbeat
/// that looks for them.
const POLL: Duration = Duration::from_secs(1);

/// Jobs that a worker without much to do claims in one statement, at most. Few, so that a crowd that becomes due at once, as after the death of a
/// worker, is shared by all that are left and does not fall with the next one as a whole.
const LEAST_BATCH: usize = 8;
/// And one that is busy: half as many as it has runs at work, up to this.
const MOST_BATCH: usize = 32;

/// What the loop needs.
pub(super) struct Claims {
    pub(super) pool: Pool,
    pub(super) worker: Arc<str>,
    pub(super) in_flight: InFlight,
    pub(super) metrics: Arc<Metrics>,
    pub(super) concurrency: usize,
    /// Rung when there may be jobs. It keeps one ring, so that a hint that arrives while a claim is under way leads to another claim.
    pub(super) wake: Arc<Notify>,
    pub(super) asked: Asked,
    pub(super) rest: Arc<Rest>,
    pub(super) beats: Beats,
}

impl Claims {
    /// Claims until `stop`, which it is itself that cancels if an operator drains the worker. A database that is down is asked again at each poll.
    pub(super) async fn run(mut self, jobs: mpsc::Sender<Task<Delivery>>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.forever(&jobs, &stop) => {}
        }
    }

    async fn forever(&mut self, jobs: &mpsc::Sender<Task<Delivery>>, stop: &CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let mut outage_logged = false;
        // Before then what becomes due is gathered.
        let mut next = Instant::now();
        loop {
            time::sleep_until(next).await;
            let Some(free) = self.free_slots(&slots).await else {
                return;
            };
            if self.asked.to_drain.is_cancelled() {
                drop(free);
                return self.drain(&slots, stop).await;
            }
            self.beats.fresh().await;
            match store::within(self.claim(free.len())).await {
                Ok((claimed, at)) => {
                    outage_logged = false;
                    // Less than there was room for is all there was; what comes now rings.
                    let (taken, is_full) = (claimed.len(), claimed.len() == free.len());
                    if !claimed.is_empty() {
                        self.rest.stir();
                        faults::point("queue.claimed");
                        if self.deliver(claimed, at, free, jobs).await.is_err() {
                            return;
                        }
                    }
                    if is_full {
                        continue;
                    }
                    next = Instant::now() + store::gather_after(taken);
                }
                Err(error) => {
                    if !outage_logged {
                        tracing::warn!(%error, "cannot claim jobs; trying again every second");
                        outage_logged = true;
                    }
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.asked.to_drain.cancelled() => {}
                () = self.rest.pause(POLL, Duration::MAX) => {}
            }
        }
    }

    /// Has the process stop when the last of its runs is over. None lasts for longer than its own time-out, so there is no other.
    async fn drain(&self, slots: &Semaphore, stop: &CancellationToken) {
        tracing::info!(worker = %self.worker, runs = self.concurrency - slots.available_permits(), "an operator drains this worker: it takes no more runs");
        let all = u32::try_from(self.concurrency).unwrap_or(u32::MAX);
        let _all = slots.acquire_many(all).await;
        stop.cancel();
    }

    async fn claim(&self, limit: usize) -> Result<(Vec<Taken>, ClaimedAt), StoreError> {
        let asked = SystemTime::now();
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let mut db = store::connection(&self.pool).await?;
        // One statement, so one transaction: nothing is held open between the claim and its answer.
        let claimed = lifecycle::claim(&mut db, &self.worker, limit, READ_TURNS).await;
        let claimed = db.done(claimed)?;
        let answered = SystemTime::now();
        if !claimed.is_empty() {
            let took = answered.duration_since(asked).unwrap_or_default();
            self.metrics.stage("claim", took);
        }
        for taken in claimed.iter().filter(|taken| taken.run.attempt == 1) {
            self.metrics
                .picked_up(self.pool.since(taken.run.created_at));
        }
        let begun = claimed.iter().filter(|taken| taken.run.attempt == 1);
        self.pool
            .tell_soon(begun.map(|taken| Hint::RunEvents(taken.run.id)));
        Ok((claimed, ClaimedAt { asked, answered }))
    }

    async fn deliver(
        &self,
        claimed: Vec<Taken>,
        at: ClaimedAt,
        slots: Vec<OwnedSemaphorePermit>,
        jobs: &mpsc::Sender<Task<Delivery>>,
    ) -> Result<(), mpsc::error::SendError<Task<Delivery>>> {
        // All are held before the first is sent, so that no heartbeat takes one for unacknowledged.
        let deliveries: Vec<_> = claimed
            .into_iter()
            .zip(slots)
            .map(|(taken, slot)| Delivery {
                guard: self.in_flight.hold(taken.run.id, slot),
                span: spans::attempt(&taken.run, at, self.pool.since(taken.run.created_at)),
                taken,
            })
            .collect();
        for delivery in deliveries {
            jobs.send(TaskBuilder::new(delivery).build()).await?;
        }
        Ok(())
    }

    /// Waits for a free slot and takes what else is free, up to a batch; behind a wait, what runs leave is gathered. None if the semaphore is closed.
    async fn free_slots(&self, slots: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
        let take = || Arc::clone(slots).try_acquire_owned();
        let mut free = vec![match take() {
            Ok(slot) => slot,
            Err(TryAcquireError::Closed) => return None,
            Err(TryAcquireError::NoPermits) => {
                let slot = Arc::clone(slots).acquire_owned().await.ok()?;
                time::sleep(store::gather_after(self.concurrency)).await;
                slot
            }
        }];
        let at_work = self.concurrency - slots.available_permits();
        let batch = (at_work / 2).clamp(LEAST_BATCH, MOST_BATCH);
        free.extend(iter::from_fn(|| take().ok()).take(batch - 1));
        Some(free)
    }
}
