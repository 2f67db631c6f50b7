//! errand-worker: takes runs from the queue, runs the agent and its tools, commits the replies.
//!
//! The rooms: `queue` delivers jobs, `turn` walks one run from claim to end, `agent` thinks (and knows neither SQL nor
//! HTTP nor the queue), `tools` is the MCP server (and never sees the agent), `toolbox` is the agent's way to it.

use std::sync::Arc;

use errand_shared::store::{self, Pool};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub mod agent;
pub mod config;
mod openai;
mod queue;
mod toolbox;
pub mod tools;
mod turn;

pub use config::Config;

/// Why a worker could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The model's client could not be built.
    #[error("model client: {0}")]
    Model(#[from] reqwest::Error),
    /// The tool server could not be started.
    #[error("tool server: {0}")]
    Tools(#[from] toolbox::ToolboxError),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The queue gave up.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
}

/// A worker that is ready to run.
pub struct Worker {
    pool: Pool,
    queue: queue::Queue,
    turns: Arc<turn::Turns>,
}

impl Worker {
    /// Builds a worker from its configuration; the database need not be up yet.
    ///
    /// # Errors
    /// The model's client or the tool server cannot be built.
    pub async fn build(config: &Config) -> Result<Self, WorkerError> {
        let concurrency = u32::from(config.worker_concurrency);
        let pool = store::pool(
            config.database.direct_url().expose_secret(),
            "errand-worker",
            // A run holds a connection only for moments; 2 are for the lease and the listener.
            (concurrency / 4).clamp(4, 24) + 2,
            true,
        )?;
        let model = openai::OpenAi::new(&config.model)?;
        let toolbox = toolbox::Toolbox::start(tools::TaskServer::new(pool.clone())).await?;
        let queue = queue::Queue::new(pool.clone(), config.queue_settings());
        let turns = Arc::new(turn::Turns {
            pool: pool.clone(),
            model,
            toolbox,
            limits: config.limits(),
        });
        Ok(Self { pool, queue, turns })
    }

    /// Takes runs until `stop`, then drains: what is under way gets `DRAIN_TIMEOUT`, the rest goes back to the queue.
    ///
    /// # Errors
    /// The database could not be reached at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        wait_for_database(&self.pool, &stop).await?;
        let turns = self.turns;
        self.queue
            .run(stop, move |delivery, drain| {
                let turns = Arc::clone(&turns);
                async move { turns.take(delivery, drain).await }
            })
            .await?;
        self.pool.close().await;
        Ok(())
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
