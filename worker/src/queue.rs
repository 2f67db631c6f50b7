//! The job queue: claims jobs from apalis's tables and hands each to a handler, under a lease.
//!
//! apalis gives the tables, the worker that drives handlers and the shutdown that waits for them. What its Postgres backend gets
//! wrong under load or failure is replaced here and nowhere else: the wake-up and the claim, which begins the run's attempt in the same
//! round trip (`claims`), the heartbeat (`lease`), and the acknowledgement (each run's own transactions, see `store::lifecycle`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use apalis::prelude::*;
use errand_core::{hints::Hint, jobs::job_id};
use errand_server::{supervise::Supervisor, trace::Span};
use errand_store::{self as store, Pool, Rest, StoreError, lifecycle::Taken, queue::leases};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{config::Config, metrics::Metrics};

mod claims;
mod feed;
mod lease;
mod sweep;

/// The queue could not go on.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The worker could not be entered, or the database failed at the end.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// apalis's worker ended with an error.
    #[error("apalis: {0}")]
    Apalis(String),
}

/// How a worker takes jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Handlers at work at the same time.
    pub(crate) concurrency: usize,
    /// Silence after which a worker is taken for dead.
    pub(crate) lease: Duration,
    /// Time that handlers get to finish after the stop.
    pub(crate) drain: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            concurrency: usize::from(config.worker_concurrency),
            lease: config.lease_timeout,
            drain: config.drain_timeout,
        }
    }
}

/// A claimed run that a handler has. While it lives, the slot is taken and the lease covers the job.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What to do.
    pub(crate) taken: Taken,
    /// The attempt, as traces have it.
    pub(crate) span: Span,
    pub(crate) guard: InFlightGuard,
}

/// What a process does beside its runs, under the same name and lease: it writes summaries.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    /// The worker.
    pub(crate) worker: Arc<str>,
    /// What it has at work.
    pub(crate) in_flight: InFlight,
    /// Rung when there may be something to claim.
    pub(crate) wake: Arc<Notify>,
    /// The places for runs, which go first.
    pub(crate) runs: Slots,
}

/// How a queue is told to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    /// Rung when there may be jobs.
    pub(crate) jobs: Arc<Notify>,
    /// Rung when an operator may have asked for a drain.
    pub(crate) drains: Arc<Notify>,
}

/// Takes jobs for one process.
pub(crate) struct Queue {
    pool: Pool,
    settings: Settings,
    worker: Arc<str>,
    in_flight: InFlight,
    beside: Beside,
    bells: Bells,
    supervisor: Supervisor,
    metrics: Arc<Metrics>,
    rest: Arc<Rest>,
}

impl Queue {
    /// A queue under a worker name of its own: one that a dead process used would inherit that process's jobs.
    pub(crate) fn new(
        pool: Pool,
        settings: Settings,
        supervisor: Supervisor,
        metrics: Arc<Metrics>,
        rest: Arc<Rest>,
    ) -> Self {
        let worker: Arc<str> = format!("errand-worker-{}", Uuid::now_v7().simple()).into();
        let in_flight = InFlight::default();
        let runs = Slots {
            in_flight: in_flight.clone(),
            all: settings.concurrency,
        };
        Self {
            pool,
            settings,
            beside: Beside {
                worker: Arc::clone(&worker),
                in_flight: InFlight::default(),
                wake: Arc::default(),
                runs,
            },
            bells: Bells::default(),
            worker,
            in_flight,
            supervisor,
            metrics,
            rest,
        }
    }

    /// How many runs this process has at work, and could have.
    pub(crate) fn slots(&self) -> Slots {
        self.beside.runs.clone()
    }

    /// For who hears of jobs and of operators.
    pub(crate) fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// For what is done beside the runs.
    pub(crate) fn beside(&self) -> Beside {
        self.beside.clone()
    }

    /// Hands jobs to `handle` until `stop`; then waits for the handlers, whose token is cancelled after the drain time.
    ///
    /// # Errors
    /// The worker cannot be entered in the database.
    pub(crate) async fn run<H, F>(
        self,
        stop: CancellationToken,
        handle: H,
    ) -> Result<(), QueueError>
    where
        H: Fn(Delivery, CancellationToken) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let asked = lease::Asked::by(Arc::clone(&self.bells.drains));
        let mut heartbeat = lease::Heartbeat::new(
            self.pool.clone(),
            self.beside.clone(),
            self.in_flight.clone(),
            self.settings,
            Arc::clone(&self.metrics),
            asked.clone(),
            Arc::clone(&self.rest),
        );
        let beats = heartbeat.beats();
        heartbeat.tick().await?;
        tracing::info!(worker = %self.worker, concurrency = self.settings.concurrency, "taking runs");

        let over = CancellationToken::new();
        let supervisor = self.supervisor.clone();
        let heartbeat = supervisor.permanent("heartbeat", &over, heartbeat.keep(over.clone()));
        let sweeps = sweep::keep(self.pool.clone(), Arc::clone(&self.rest), over.clone());
        supervisor.permanent("sweep", &over, sweeps);
        let (jobs, feed) = mpsc::channel(self.settings.concurrency);
        let claims = claims::Claims {
            pool: self.pool.clone(),
            worker: Arc::clone(&self.worker),
            in_flight: self.in_flight.clone(),
            metrics: Arc::clone(&self.metrics),
            concurrency: self.settings.concurrency,
            wake: Arc::clone(&self.bells.jobs),
            asked,
            rest: Arc::clone(&self.rest),
            beats,
        };
        let claims = supervisor.permanent("claims", &stop, claims.run(jobs, stop.clone()));

        let drain = CancellationToken::new();
        let expiring = expire(
            stop.clone(),
            over.clone(),
            self.settings.drain,
            supervisor.clone(),
            drain.clone(),
        );
        supervisor.permanent("drain", &stop, expiring);
        let result = work(&self.worker, feed, stop, drain, handle).await;

        // The lease is kept until the last handler is done; only then do the jobs that were not begun go back.
        over.cancel();
        let _ = tokio::join!(claims, heartbeat);
        self.leave().await?;
        tracing::info!(worker = %self.worker, "drained");
        result
    }
}

impl Queue {
    /// Gives back what was not begun. Once more if the connection was lost: nobody else does it as soon.
    async fn leave(&self) -> Result<(), StoreError> {
        let leave = || {
            store::within(async {
                let mut db = store::connection(&self.pool).await?;
                let freed = leases::leave(&mut db, &self.worker).await;
                db.done(freed)
            })
        };
        let freed = match leave().await {
            Err(error) if error.is_outage() => leave().await,
            freed => freed,
        };
        if freed? > 0 {
            self.pool.tell(Hint::JobReady);
        }
        Ok(())
    }
}

/// Drives apalis's worker over the feed. Boxed, because the compiler cannot see through its type that it is `Send`.
fn work<H, F>(
    worker: &str,
    feed: mpsc::Receiver<Task<Delivery>>,
    stop: CancellationToken,
    drain: CancellationToken,
    handle: H,
) -> BoxFuture<'static, Result<(), QueueError>>
where
    H: Fn(Delivery, CancellationToken) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handler = move |delivery: Delivery| {
        // A task of its own: turns run on all threads, and a panic in one ends there.
        #[expect(
            clippy::disallowed_methods,
            reason = "one turn: what becomes of it is in the database"
        )]
        let turn = tokio::spawn(handle(delivery, drain.clone()));
        async move {
            let _ = turn.await;
        }
    };
    let stopped = async move {
        stop.cancelled().await;
        Ok::<(), std::io::Error>(())
    };
    WorkerBuilder::new(worker)
        .backend(feed::Feed::new(feed))
        .build(handler)
        .run_until(stopped)
        .map_err(|error| QueueError::Apalis(error.to_string()))
        .boxed()
}

/// Tells the handlers to give back what they hold, once the drain time after the stop is over; at once if the process cannot go on.
async fn expire(
    stop: CancellationToken,
    over: CancellationToken,
    drain: Duration,
    supervisor: Supervisor,
    expired: CancellationToken,
) {
    stop.cancelled().await;
    tokio::select! {
        () = over.cancelled() => {}
        () = tokio::time::sleep(drain) => expired.cancel(),
        _ = supervisor.failed() => expired.cancel(),
    }
}

/// The jobs this process knows to be its own, with the number of handlers that have each: a job that was given back in an outage may
/// come here again while its first handler is still on its way out.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<Uuid, usize>>>);

/// The places for runs in this process.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    in_flight: InFlight,
    /// All of them.
    pub(crate) all: usize,
}

impl Slots {
    /// Those in which a run is at work.
    pub(crate) fn busy(&self) -> usize {
        self.in_flight.lock().values().sum()
    }

    /// Whether a run that comes now has to wait.
    pub(crate) fn are_taken(&self) -> bool {
        self.busy() >= self.all
    }
}

impl InFlight {
    /// Holds a job and its slot until the returned guard is dropped.
    fn hold(&self, run_id: Uuid, slot: OwnedSemaphorePermit) -> InFlightGuard {
        self.guard(run_id, Some(slot))
    }

    /// Holds a job that takes no slot of a run.
    pub(crate) fn hold_beside(&self, run_id: Uuid) -> InFlightGuard {
        self.guard(run_id, None)
    }

    fn guard(&self, run_id: Uuid, slot: Option<OwnedSemaphorePermit>) -> InFlightGuard {
        *self.lock().entry(run_id).or_default() += 1;
        InFlightGuard {
            run_id,
            in_flight: self.clone(),
            _slot: slot,
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn job_ids(&self) -> Vec<String> {
        self.lock().keys().map(|&run_id| job_id(run_id)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct InFlightGuard {
    run_id: Uuid,
    in_flight: InFlight,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.lock();
        if let Some(handlers) = in_flight.get_mut(&self.run_id) {
            *handlers -= 1;
            if *handlers == 0 {
                in_flight.remove(&self.run_id);
            }
        }
    }
}
