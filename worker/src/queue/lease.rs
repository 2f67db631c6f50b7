//! The lease: a heartbeat of its own, so that a worker full of long runs is never taken for dead.
//!
//! The same heartbeat takes over the jobs of workers that are, and gives back jobs that the database thinks are ours but whose
//! claim's answer never arrived.

use std::{sync::Arc, time::Duration};

use errand_core::hints::Hint;
use errand_store::{
    self as store, Pool, Rest, StoreError,
    queue::leases::{Found, Session},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Beside, InFlight, Settings};
use crate::metrics::Metrics;

/// Beats within one lease: so many may be lost before a live worker looks dead.
const BEATS_PER_LEASE: u32 = 5;

/// Time between two beats of a worker when there are no jobs. A beat looks for jobs, so this is what a lost hint costs then.
const AT_REST: Duration = Duration::from_millis(2500);

/// How long it may take to begin a session.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// The heartbeat of a worker.
///
/// It has a connection of its own: a pool whose places are all taken, or whose connections fell silent, would cost the lease.
pub(super) struct Heartbeat {
    pool: Pool,
    beside: Beside,
    in_flight: InFlight,
    lease: Duration,
    slots: i32,
    metrics: Arc<Metrics>,
    asked: Asked,
    rest: Arc<Rest>,
    beaten: watch::Sender<Option<Instant>>,
    session: Option<Session>,
}

/// What operators ask of a worker.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Rung when one may have asked for something: the heartbeat looks.
    pub(super) look: Arc<Notify>,
    /// Take no more runs, and end when those at work are over.
    pub(super) to_drain: CancellationToken,
}

impl Asked {
    /// Nothing yet.
    pub(super) fn by(look: Arc<Notify>) -> Self {
        Self {
            look,
            to_drain: CancellationToken::new(),
        }
    }
}

impl Heartbeat {
    pub(super) fn new(
        pool: Pool,
        beside: Beside,
        in_flight: InFlight,
        settings: Settings,
        metrics: Arc<Metrics>,
        asked: Asked,
        rest: Arc<Rest>,
    ) -> Self {
        Self {
            pool,
            beside,
            in_flight,
            lease: settings.lease,
            slots: i32::try_from(settings.concurrency).unwrap_or(i32::MAX),
            metrics,
            asked,
            rest,
            beaten: watch::Sender::new(None),
            session: None,
        }
    }

    /// For who has to know how fresh the lease is.
    pub(super) fn beats(&self) -> Beats {
        Beats {
            last: self.beaten.subscribe(),
            lease: self.lease,
        }
    }

    /// Beats until `over`.
    pub(super) async fn keep(mut self, over: CancellationToken) {
        let rest = Arc::clone(&self.rest);
        let busy = self.lease / BEATS_PER_LEASE;
        // Well within a lease, so that it is fresh when a job comes.
        let at_rest = AT_REST.min(self.lease * 5 / 8).max(busy);
        let mut outage_logged = false;
        loop {
            tokio::select! {
                () = over.cancelled() => return,
                () = self.asked.look.notified() => {}
                () = rest.pause(busy, at_rest) => {}
            }
            match self.tick().await {
                Ok(()) => outage_logged = false,
                Err(error) if !outage_logged => {
                    tracing::warn!(%error, "cannot renew the lease; others may take over this worker's runs");
                    outage_logged = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Beats once. If the session is over, or does not answer within half a lease, another is begun at once.
    pub(super) async fn tick(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        let found = match self.session.take() {
            Some(session) => match self.tick_over(session).await {
                Ok(found) => Ok(found),
                Err(_) => self.tick_anew().await,
            },
            None => self.tick_anew().await,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // Nobody knows what there is to do.
                self.rest.stir();
                return Err(error);
            }
        };
        self.beaten.send_replace(Some(begun));
        if found.has_jobs || !self.in_flight.is_empty() {
            self.rest.stir();
        }
        if found.freed > 0 {
            self.pool.tell(Hint::JobReady);
            self.beside.wake.notify_one();
        }
        self.metrics.rescued(found.rescued);
        if found.is_draining {
            self.asked.to_drain.cancel();
        }
        report(&found);
        Ok(())
    }

    async fn tick_anew(&mut self) -> Result<Found, StoreError> {
        let open = Session::open(&self.pool, &self.beside.worker, self.slots);
        let session = store::within_time(OPEN_TIMEOUT, open).await?;
        self.tick_over(session).await
    }

    /// Keeps the session if it answers.
    async fn tick_over(&mut self, mut session: Session) -> Result<Found, StoreError> {
        let mut in_flight = self.in_flight.job_ids();
        in_flight.extend(self.beside.in_flight.job_ids());
        let renewed = session.renew(&in_flight, self.lease);
        let found = store::within_time(self.lease / 2, renewed).await?;
        self.session = Some(session);
        Ok(found)
    }
}

/// When a worker last renewed its lease.
#[derive(Clone)]
pub(super) struct Beats {
    last: watch::Receiver<Option<Instant>>,
    lease: Duration,
}

impl Beats {
    /// Waits until the lease is fresh, for half of one at most: others would take what a worker claims that was not heard for long, as after a sleep.
    pub(super) async fn fresh(&mut self) {
        let lease = self.lease;
        let is_fresh = |last: &Option<Instant>| last.is_some_and(|at| at.elapsed() < lease * 3 / 4);
        let _ = tokio::time::timeout(lease / 2, self.last.wait_for(is_fresh)).await;
    }
}

fn report(found: &Found) {
    if found.rescued > 0 {
        let jobs = found.rescued;
        tracing::warn!(jobs, "took over the jobs of a worker that fell silent");
    }
    if found.unacknowledged > 0 {
        let jobs = found.unacknowledged;
        tracing::warn!(jobs, "gave back jobs that nobody here is working on");
    }
    if found.renewed > 0 {
        let workers = found.renewed;
        tracing::warn!(
            workers,
            "nobody was heard for a while; the leases of all that hold jobs begin anew"
        );
    }
}
