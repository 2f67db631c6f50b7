//! What the queue is like: what waits, what is at work, and who works.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

use crate::{Connection, StoreError};

/// Rows of a kind that are counted, at most: what is more than that is "very many".
pub const MAX_COUNTED: i64 = 100_000;

/// The queue of the whole installation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueState {
    /// How old this is: it is counted once for all who ask.
    pub age: Duration,
    /// Runs that a worker could take now.
    pub ready: i64,
    /// How long the oldest of them has been ready; zero if there is none.
    pub oldest_ready: Duration,
    /// Runs at work.
    pub running: i64,
    /// How long the oldest of them has been at work, by the attempt under way.
    pub oldest_running: Duration,
    /// Runs behind others of their conversation or their user.
    pub behind: i64,
    /// Runs whose user has to decide.
    pub awaiting_approval: i64,
    /// Workers that were heard of in the last 30 s.
    pub workers: i64,
    /// Runs that these can have at work together.
    pub slots: i64,
    /// No worker takes any run, as an operator wants it. Never older than the question.
    pub paused: bool,
}

/// The queue as it was at most `max_age` ago, as the routine `queue_state` has it. Counts go no further than [`MAX_COUNTED`].
pub async fn queue_state(db: &mut Connection, max_age: Duration) -> Result<QueueState, StoreError> {
    let max_age = PgInterval::try_from(max_age).map_err(sqlx::Error::Encode)?;
    let row = sqlx::query!(
        r#"select seconds_old as "seconds_old!", ready as "ready!", oldest_ready_seconds as "oldest_ready_seconds!", running as "running!",
                  oldest_running_seconds as "oldest_running_seconds!", behind as "behind!", awaiting_approval as "awaiting_approval!",
                  workers as "workers!", slots as "slots!", exists (select from queue_pause) as "paused!"
           from queue_state($1, $2)"#,
        max_age,
        MAX_COUNTED
    )
    .fetch_one(db)
    .await?;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(QueueState {
        age: seconds(row.seconds_old),
        ready: row.ready,
        oldest_ready: seconds(row.oldest_ready_seconds),
        running: row.running,
        oldest_running: seconds(row.oldest_running_seconds),
        behind: row.behind,
        awaiting_approval: row.awaiting_approval,
        workers: row.workers,
        slots: row.slots,
        paused: row.paused,
    })
}
