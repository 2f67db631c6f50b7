//! errand-worker: takes runs from the queue, runs the agent and its tools, commits the replies.
//!
//! `queue` delivers jobs, `run_executor` takes one run from claim to end, `journal` keeps and `publisher` streams what happens in it,
//! `metrics` measures it, `purge` deletes what is kept for a time only, `agent` asks the model and decides what to call (and knows neither
//! SQL nor HTTP nor the queue), `toolbox` is its way to the MCP server (which is `errand_tools`, and never sees the agent),
//! `mcp` is that of clients from outside: the second program of this package, errand-mcp.

use std::{sync::Arc, time::Duration};

use errand_core::user_queue::Bounds;
use errand_server::{
    config::Invalid,
    supervise::{Supervisor, TaskFailure},
};
use errand_store::{self as store, Pool, Rest, UserPool};
use errand_tools::TaskServer;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub mod agent;
mod cancels;
mod circuit;
pub mod config;
mod fallback;
mod guarded;
mod instructions;
mod journal;
mod listener;
pub mod mcp;
mod meter;
mod metrics;
mod models;
mod openai;
mod presets;
mod publisher;
mod purge;
mod queue;
mod run_executor;
mod spans;
mod summaries;
mod summary_writer;
mod titles;
mod toolbox;

use cancels::Cancels;
pub use config::Config;
use publisher::Publisher;

/// Ends of runs, which take their user's lock: one of each user at a time.
const ENDS: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 1_000,
    total: 100_000,
    patience: Duration::from_secs(20),
};

/// Why a worker could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The models' clients could not be built.
    #[error("models: {0}")]
    Models(#[from] models::ModelsError),
    /// The instructions cannot be read any more.
    #[error(transparent)]
    Instructions(#[from] Invalid),
    /// The port for metrics is taken, or may not be used.
    #[error("cannot listen for METRICS_PORT: {0}")]
    Metrics(#[source] std::io::Error),
    /// The tool server could not be started.
    #[error("tool server: {0}")]
    Tools(#[from] toolbox::ToolboxError),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The queue gave up.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// A task that the process cannot do without has ended.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

/// A worker that is ready to run.
///
/// What is awaited here is boxed, so that its code is made once, in this library, and not again in each program and test.
pub struct Worker {
    pool: Pool,
    keep: purge::Keep,
    queue: queue::Queue,
    executor: Arc<run_executor::RunExecutor>,
    orders: summaries::Orders,
    rest: Arc<Rest>,
    /// Time after which it wakes by itself, if it may sleep.
    wake_every: Option<Duration>,
    supervisor: Supervisor,
    /// Where it can be asked how it is, if anywhere.
    metrics: Option<metrics::Server>,
}

impl Worker {
    /// Builds a worker from its configuration; the database need not be up yet.
    ///
    /// # Errors
    /// The model's client or the tool server cannot be built.
    pub fn build(config: &Config) -> BoxFuture<'_, Result<Self, WorkerError>> {
        Box::pin(Self::start(config))
    }

    async fn start(config: &Config) -> Result<Self, WorkerError> {
        let concurrency = u32::from(config.worker_concurrency);
        let pool = store::pool(
            config.database.direct_url().expose_secret(),
            "errand-worker",
            // A run holds a connection only for moments; 4 more are for the publisher, hints, sweeps and purges.
            (concurrency / 4).clamp(4, 24) + 4,
            true,
        )?;
        let instructions = instructions::Instructions::load(&config.instructions)?;
        // Whatever lives as long as the process is started by this, and nowhere with a bare spawn.
        let supervisor = Supervisor::default();
        let server = TaskServer::for_agent(pool.clone());
        let toolbox =
            toolbox::Toolbox::start(server, supervisor.clone(), config.tool_timeout).await?;
        let mut metrics = metrics::Metrics::default();
        metrics.measure_waits(&pool);
        let metrics = Arc::new(metrics);
        let models = models::Models::new(config, &metrics)?;
        let rest = Arc::new(Rest::new(config.sleep.sleep_after));
        if rest.may_sleep() && config.metrics_port.is_none() {
            tracing::warn!(
                "SLEEP_AFTER is set and METRICS_PORT is not: nobody can wake this worker, and a message may wait for as long as WAKE_EVERY"
            );
        }
        let queue = queue::Queue::new(
            pool.clone(),
            config.into(),
            supervisor.clone(),
            Arc::clone(&metrics),
            Arc::clone(&rest),
        );
        let server = match config.metrics_port {
            None => None,
            Some(port) => {
                let (metrics, rest) = (Arc::clone(&metrics), Arc::clone(&rest));
                let server =
                    metrics::Server::bind(port, metrics, queue.slots(), pool.clone(), rest);
                Some(server.await.map_err(WorkerError::Metrics)?)
            }
        };
        let (summaries, orders) = summaries::channel(config);
        let executor = Arc::new(run_executor::RunExecutor {
            users: UserPool::new(pool.clone(), ENDS),
            pool: pool.clone(),
            models,
            instructions,
            guardrails: config.guardrails(),
            toolbox,
            publisher: Publisher::default(),
            cancels: Cancels::default(),
            summaries,
            limits: config.into(),
            metrics,
        });
        Ok(Self {
            pool,
            keep: config.into(),
            queue,
            executor,
            orders,
            wake_every: rest.may_sleep().then_some(config.wake_every),
            rest,
            supervisor,
            metrics: server,
        })
    }

    /// Takes runs until `stop`, then drains: what is under way gets `DRAIN_TIMEOUT`, the rest goes back to the queue.
    ///
    /// # Errors
    /// The database could not be reached at the start.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, Result<(), WorkerError>> {
        Box::pin(self.run_until_stopped(stop))
    }

    async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let supervisor = self.supervisor.clone();
        let pool = self.pool.clone();
        let work = Box::pin(self.work(stop.clone()));
        supervisor.watch(&stop, work).await?;
        pool.close().await;
        Ok(())
    }

    async fn work(self, stop: CancellationToken) -> Result<(), WorkerError> {
        // They go on until the last run is over.
        let over = CancellationToken::new();
        if let Some(server) = self.metrics {
            self.supervisor
                .permanent("metrics", &over, server.serve(over.clone()));
        }
        wait_for_database(&self.pool, &stop).await?;
        let executor = self.executor;
        let publisher = executor
            .publisher
            .clone()
            .run(self.pool.clone(), over.clone());
        self.supervisor.permanent("publisher", &over, publisher);
        let cancels = executor.cancels.clone();
        let rest = Arc::clone(&self.rest);
        let listening = listener::listen(
            self.pool.clone(),
            Arc::clone(&rest),
            self.queue.bells(),
            cancels.clone(),
            over.clone(),
        );
        self.supervisor.permanent("listener", &over, listening);
        let looking = cancels.poll(self.pool.clone(), over.clone());
        self.supervisor.permanent("cancels", &over, looking);
        // Nothing waits for a purge: it ends with the claims.
        let measured = Arc::clone(&executor.metrics);
        let purges = purge::keep(
            self.pool.clone(),
            self.keep,
            measured,
            Arc::clone(&rest),
            stop.clone(),
        );
        self.supervisor.permanent("purge", &stop, purges);
        // Nor for a summary.
        let writer = summary_writer::Writer::new(
            Arc::clone(&executor),
            self.queue.beside(),
            self.orders,
            Arc::clone(&rest),
        );
        self.supervisor
            .permanent("summaries", &stop, writer.run(stop.clone()));
        if let Some(time) = self.wake_every {
            let waking = stop.clone();
            let alarm = async move {
                tokio::select! {
                    () = waking.cancelled() => {}
                    () = rest.wake_every(time) => {}
                }
            };
            self.supervisor.permanent("alarm", &stop, alarm);
        }
        let work = Arc::clone(&executor);
        let result = self
            .queue
            .run(stop, move |delivery, drain| {
                let executor = Arc::clone(&work);
                async move { executor.handle(delivery, drain).await }
            })
            .await;
        executor.toolbox.told().await;
        executor.toolbox.close().await;
        over.cancel();
        self.supervisor.ended().await;
        Ok(result?)
    }
}

/// Waits, for a bounded time, until the database answers and is migrated.
async fn wait_for_database(pool: &Pool, stop: &CancellationToken) -> Result<(), WorkerError> {
    let ready = store::wait_until_current(pool);
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        result = ready => Ok(result?),
    }
}
