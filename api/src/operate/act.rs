//! The commands that change something.

use std::{os::unix::fs::MetadataExt, time::Duration};

use errand_core::{RunStatus, user_queue::Bounds};
use errand_server::{config::WakeConfig, wake::Wakes};
use errand_store::{UserPool, queue::stops::Stop};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{pool, print_either};
use crate::{
    ApiStartError,
    config::{ChangeConfig, ChangeRunConfig, DrainConfig},
    operator::{self, Operator, Refused},
};

/// One operator, one thing at a time.
const ALONE: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 1,
    total: 1,
    patience: Duration::from_secs(5),
};

/// `errand-api cancel`: asks for a run to be cancelled, as its user could.
///
/// # Errors
/// There is no such run; the database failed.
pub async fn cancel(config: &ChangeRunConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.change.database.direct_url().expose_secret(),
        "errand-api-cancel",
    )?;
    let users = UserPool::new(pool.clone(), ALONE);
    let (run_id, max_ready) = (config.run_id, i64::from(config.max_ready_runs));
    let cancelled = operator::cancel(&shell(), &pool, &users, run_id, max_ready).await;
    let status = cancelled.map_err(|refused| cannot("cancel", refused))?;
    // Hints are told behind the commit.
    pool.close().await;
    wake(&config.change.wake).await?;
    let text = match status {
        RunStatus::Running => "its worker is told".to_owned(),
        status => format!("it is {status}"),
    };
    print_either(
        config.change.json,
        &json!({"run_id": run_id, "status": status}),
        &format!("run {run_id}: {text}\n"),
    )
}

/// `errand-api requeue`: gives a failed run another chance.
///
/// # Errors
/// There is no such run, or it did not fail; the database failed.
pub async fn requeue(config: &ChangeRunConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.change.database.direct_url().expose_secret(),
        "errand-api-requeue",
    )?;
    let (run_id, max_ready) = (config.run_id, i64::from(config.max_ready_runs));
    let requeued = operator::requeue(&shell(), &pool, run_id, max_ready).await;
    requeued.map_err(|refused| cannot("requeue", refused))?;
    pool.close().await;
    wake(&config.change.wake).await?;
    print_either(
        config.change.json,
        &json!({"run_id": run_id, "status": RunStatus::Queued}),
        &format!("run {run_id}: it is queued\n"),
    )
}

/// `errand-api pause`: no worker takes any run, until `resume`.
///
/// # Errors
/// The database failed.
pub async fn pause(config: &ChangeConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.database.direct_url().expose_secret(),
        "errand-api-pause",
    )?;
    let paused = operator::pause(&shell(), &pool).await;
    let Stop { since, by } = paused.map_err(|refused| cannot("pause", refused))?;
    pool.close().await;
    wake(&config.wake).await?;
    print_either(
        config.json,
        &json!({"paused": true, "since": since, "by": by}),
        &format!(
            "paused since {}, by {by}: no worker takes any run\n",
            since.format("%H:%M:%S")
        ),
    )
}

/// `errand-api resume`: workers take runs again.
///
/// # Errors
/// The database failed.
pub async fn resume(config: &ChangeConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.database.direct_url().expose_secret(),
        "errand-api-resume",
    )?;
    let ended = operator::resume(&shell(), &pool).await;
    let ended = ended.map_err(|refused| cannot("resume", refused))?;
    pool.close().await;
    wake(&config.wake).await?;
    let text = match &ended {
        Some(_) => "resumed: workers take runs\n",
        None => "it was not paused: workers take runs\n",
    };
    print_either(
        config.json,
        &json!({"paused": false, "was_paused": ended.is_some()}),
        text,
    )
}

/// `errand-api drain`: a worker takes no more runs, and ends when those that it has are over.
///
/// # Errors
/// There is no such worker; the database failed.
pub async fn drain(config: &DrainConfig) -> Result<(), ApiStartError> {
    let pool = pool(
        config.change.database.direct_url().expose_secret(),
        "errand-api-drain",
    )?;
    let worker = &config.worker;
    let drained = operator::drain(&shell(), &pool, worker).await;
    let Stop { since, by } = drained.map_err(|refused| cannot("drain", refused))?;
    pool.close().await;
    wake(&config.change.wake).await?;
    print_either(
        config.change.json,
        &json!({"worker": worker, "draining_since": since, "draining_by": by}),
        &format!(
            "{worker} takes no more runs and ends when those that it has are over; asked for at {} by {by}\n",
            since.format("%H:%M:%S")
        ),
    )
}

/// Workers that sleep hear no hint.
async fn wake(config: &WakeConfig) -> Result<(), ApiStartError> {
    let wakes = Wakes::new(config.urls().unwrap_or_default())?;
    wakes.wake_all().await;
    Ok(())
}

fn cannot(what: &str, refused: Refused) -> ApiStartError {
    match refused {
        Refused::Store(error) => ApiStartError::Store(error),
        refused => ApiStartError::Operate(format!("cannot {what}: {refused}")),
    }
}

/// Who asks, as far as the system knows: containers often have no names for whom they run as.
fn shell() -> Operator {
    let named = std::env::var("USER").ok().filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| match std::fs::metadata("/proc/self") {
        Ok(process) => format!("uid {}", process.uid()),
        Err(_) => "unknown".to_owned(),
    });
    Operator::Shell(name)
}
