//! The claim loop: claims as many jobs as there are free slots, when woken and at least once a second.

use std::{sync::Arc, time::Duration};

use apalis::prelude::*;
use apalis_postgres::{Config, PgTask, queries};
use errand_shared::{
    faults,
    hints::JOB_READY,
    jobs::{QUEUE, RunAgent},
    store::{self, Pool, StoreError, listen},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Delivery, Held};

/// The slow poll: what a lost notification costs at most, and how late a delayed retry may start.
const POLL: Duration = Duration::from_secs(1);

/// Jobs claimed in one statement at most. Few, so that a crowd that becomes due at once, as after the death of a worker, is shared
/// by all that are left and does not fall with the next one as a whole.
const BATCH: usize = 8;

/// What the loop needs.
pub(super) struct Claims {
    pub(super) pool: Pool,
    pub(super) worker: Arc<str>,
    pub(super) held: Held,
    pub(super) concurrency: usize,
    /// Rung when there may be jobs.
    pub(super) wake: Arc<Notify>,
}

impl Claims {
    /// Hears of new jobs until `stop`.
    pub(super) fn listen(&self, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let (pool, wake) = (self.pool.clone(), Arc::clone(&self.wake));
        // `notify_one` keeps one permit: a hint that arrives while a claim is under way leads to another claim.
        async move { listen::listen(pool, &[JOB_READY], stop, |_| wake.notify_one()).await }
    }

    /// Claims until `stop`. A database that is down is asked again at each poll.
    pub(super) async fn run(self, jobs: mpsc::Sender<Task<Delivery>>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.forever(&jobs) => {}
        }
    }

    async fn forever(&self, jobs: &mpsc::Sender<Task<Delivery>>) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let context = WorkerContext::new(&self.worker);
        let mut outage_logged = false;
        loop {
            let Some(free) = free_slots(&slots).await else {
                return;
            };
            match store::within(self.claim(&context, free.len())).await {
                Ok(claimed) => {
                    outage_logged = false;
                    if !claimed.is_empty() {
                        faults::point("queue.claimed");
                        if self.deliver(claimed, free, jobs).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    drop(free);
                }
                Err(error) => {
                    if !outage_logged {
                        tracing::warn!(%error, "cannot claim jobs; trying again every second");
                        outage_logged = true;
                    }
                }
            }
            let _ = tokio::time::timeout(POLL, self.wake.notified()).await;
        }
    }

    async fn claim(
        &self,
        context: &WorkerContext,
        limit: usize,
    ) -> Result<Vec<PgTask>, StoreError> {
        let config = Config::default().queue(QUEUE).batch_size(limit);
        let mut connection = self.pool.acquire().await?;
        // One statement, so one transaction: nothing is held open between the claim and its answer.
        let claimed = queries::fetch_next(&mut *connection, &config, context).await?;
        connection.release();
        Ok(claimed)
    }

    async fn deliver(
        &self,
        claimed: Vec<PgTask>,
        slots: Vec<OwnedSemaphorePermit>,
        jobs: &mpsc::Sender<Task<Delivery>>,
    ) -> Result<(), mpsc::error::SendError<Task<Delivery>>> {
        // All are held before the first is sent, so that no beat of the lease takes one for unknown.
        let mut deliveries = Vec::with_capacity(claimed.len());
        for (task, slot) in claimed.into_iter().zip(slots) {
            let id = task.ctx().task_id().map(ToString::to_string);
            match task.try_map_args(|payload| serde_json::from_slice::<RunAgent>(&payload)) {
                Ok(task) => deliveries.push(task.map_args(|job| Delivery {
                    _hold: self.held.hold(job.run_id, slot),
                    worker: Arc::clone(&self.worker),
                    job,
                })),
                Err(error) => {
                    tracing::error!(%error, "a job that is none of ours is in the queue");
                    self.kill(&id.unwrap_or_default()).await;
                }
            }
        }
        for delivery in deliveries {
            jobs.send(delivery).await?;
        }
        Ok(())
    }

    /// Takes a job out of the queue that nobody could ever do.
    async fn kill(&self, id: &str) {
        let killed = store::within(async {
            let mut db = store::connection(&self.pool).await?;
            let killed = store::jobs::kill(&mut db, id).await;
            db.done(killed)
        });
        if let Err(error) = killed.await {
            tracing::warn!(%error, "cannot take the job out of the queue; it comes back when the lease is over");
        }
    }
}

/// Waits for a free slot and takes what else is free, up to a batch. None if the semaphore is closed.
async fn free_slots(slots: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
    let mut free = vec![Arc::clone(slots).acquire_owned().await.ok()?];
    while free.len() < BATCH {
        match Arc::clone(slots).try_acquire_owned() {
            Ok(slot) => free.push(slot),
            Err(_) => break,
        }
    }
    Some(free)
}
