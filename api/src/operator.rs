//! What an operator may do, on the command line and on the page: each is one transaction, and one line of the log that says who did it.

use std::{fmt, net::IpAddr};

use errand_core::RunStatus;
use errand_store::{
    self as store, Pool, StoreError, UserPool, WriteError,
    lifecycle::{self, Requeued},
    queue::{
        inspect,
        stops::{self, Stop},
    },
};
use uuid::Uuid;

/// Who acts.
#[derive(Debug, Clone)]
pub(crate) enum Operator {
    /// Whoever may run programs on this machine, by the name that the system has for them.
    Shell(String),
    /// Whoever has the token of the page, at this address.
    Page(IpAddr),
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(name) => f.write_str(name),
            Self::Page(address) => write!(f, "admin at {address}"),
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such run")]
    NoRun,
    #[error("there is no such worker, or it has ended")]
    NoWorker,
    #[error("the run is {0}; only one that failed can be requeued")]
    NotFailed(RunStatus),
    #[error("its user has retried the run; run {0} has gone on from it")]
    Continued(Uuid),
    #[error("the run changed hands; try again")]
    Fenced,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Fenced => Self::Fenced,
        }
    }
}

/// Asks for a run to be cancelled, as its user could. Returns its status: one at work goes on until its worker has heard.
///
/// # Errors
/// There is no such run; it changed hands just now; the database failed.
pub(crate) async fn cancel(
    by: &Operator,
    pool: &Pool,
    users: &UserPool,
    run_id: Uuid,
    max_ready: i64,
) -> Result<RunStatus, Refused> {
    let owner = store::within(async {
        let mut db = store::connection(pool).await?;
        let owner = inspect::owner(&mut db, run_id).await;
        db.done(owner)
    });
    let owner = owner.await?.ok_or(Refused::NoRun)?;
    let turn = users.enter(&owner).await.map_err(StoreError::from)?;
    let cancelled = store::within(async {
        let mut tx = turn.lock().await?;
        let status = lifecycle::cancel(&mut tx, &owner, run_id, max_ready).await?;
        store::commit(tx).await?;
        Ok::<_, WriteError>(status)
    });
    let status = cancelled.await?.ok_or(Refused::NoRun)?;
    tracing::info!(run = %run_id, %status, operator = %by, "a cancel was asked for");
    Ok(status)
}

/// Gives a failed run another chance.
///
/// # Errors
/// There is no such run, it did not fail, or its user has retried it; the database failed.
pub(crate) async fn requeue(
    by: &Operator,
    pool: &Pool,
    run_id: Uuid,
    max_ready: i64,
) -> Result<(), Refused> {
    let requeued = store::within(async {
        let mut tx = store::begin(pool).await?;
        let requeued = lifecycle::requeue(&mut tx, run_id, max_ready).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(requeued)
    });
    match requeued.await? {
        Requeued::Queued => {
            tracing::info!(run = %run_id, operator = %by, "the run is in the queue again");
            Ok(())
        }
        Requeued::Unknown => Err(Refused::NoRun),
        Requeued::NotFailed(status) => Err(Refused::NotFailed(status)),
        Requeued::Continued(run_id) => Err(Refused::Continued(run_id)),
    }
}

/// Pauses the queue: no worker takes any run. Returns the pause, which may be an earlier one.
///
/// # Errors
/// The database failed.
pub(crate) async fn pause(by: &Operator, pool: &Pool) -> Result<Stop, Refused> {
    let paused = store::within(async {
        let mut tx = store::begin(pool).await?;
        let paused = stops::pause(&mut tx, &by.to_string()).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(paused)
    });
    let paused = paused.await?;
    tracing::info!(operator = %by, "the queue is paused");
    Ok(paused)
}

/// Ends the pause. Returns it; none if there was none.
///
/// # Errors
/// The database failed.
pub(crate) async fn resume(by: &Operator, pool: &Pool) -> Result<Option<Stop>, Refused> {
    let ended = store::within(async {
        let mut tx = store::begin(pool).await?;
        let ended = stops::resume(&mut tx).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(ended)
    });
    let ended = ended.await?;
    tracing::info!(operator = %by, "the queue is resumed");
    Ok(ended)
}

/// Has a worker take no more runs, and end when those that it has are over. Returns the drain, which may be an earlier one.
///
/// # Errors
/// There is no such worker, or it has ended; the database failed.
pub(crate) async fn drain(by: &Operator, pool: &Pool, worker: &str) -> Result<Stop, Refused> {
    let drained = store::within(async {
        let mut tx = store::begin(pool).await?;
        let drained = stops::drain(&mut tx, worker, &by.to_string()).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(drained)
    });
    let drain = drained.await?.ok_or(Refused::NoWorker)?;
    tracing::info!(worker, operator = %by, "a worker is drained");
    Ok(drain)
}
