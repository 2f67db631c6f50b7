//! Whether the database holds what the clients were told, and nothing else.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::turn::{Deed, Taken};

/// For runs to end that nobody waits for any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Turns that added a task, as the client was told.
    pub(crate) added: usize,
    /// Of these, tasks that are not there.
    pub(crate) lost: usize,
    /// Tasks that are there twice, however the turn ended.
    pub(crate) doubled: usize,
    /// Tasks that no turn was to add.
    pub(crate) unexplained: usize,
    /// Runs that are not over.
    pub(crate) unfinished: i64,
    /// Turns that were answered and whose runs are not there as completed.
    pub(crate) missing_runs: i64,
    /// Runs beyond one for each turn.
    pub(crate) surplus_runs: i64,
}

impl Verdict {
    pub(crate) fn holds(&self) -> bool {
        let none = [self.lost, self.doubled, self.unexplained] == [0; 3];
        none && [self.unfinished, self.missing_runs, self.surplus_runs] == [0; 3]
    }
}

/// Compares turns with what the database has of the users whose names begin so.
pub(crate) async fn check(database: &str, users: &str, turns: &[Taken]) -> Result<Verdict> {
    let mut db = PgConnection::connect(database).await?;
    let unfinished = unfinished(&mut db, users).await?;
    let mut verdict = tasks(database, "tasks", users, turns).await?;
    verdict.unfinished = unfinished;
    // What was made as a past has no first attempt.
    let runs = "select count(*), count(*) filter (where status = 'completed')
                from runs where starts_with(user_id, $1) and attempt > 0";
    let runs = sqlx::query_as(runs).bind(users);
    let (all, completed): (i64, i64) = runs.fetch_one(&mut db).await?;
    let answered = turns.iter().filter(|taken| taken.error.is_none()).count();
    verdict.missing_runs = (i64::try_from(answered)? - completed).max(0);
    verdict.surplus_runs = (all - i64::try_from(turns.len())?).max(0);
    db.close().await?;
    Ok(verdict)
}

/// Runs that are not over when all had time to end.
async fn unfinished(db: &mut PgConnection, users: &str) -> Result<i64> {
    let begun = Instant::now();
    loop {
        let unfinished =
            "select count(*) from runs where starts_with(user_id, $1) and finished_at is null";
        let unfinished = sqlx::query_scalar(unfinished).bind(users);
        let unfinished = unfinished.fetch_one(&mut *db).await?;
        if unfinished == 0 || begun.elapsed() > PATIENCE {
            return Ok(unfinished);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The part of it about tasks, in the table of this name.
pub(crate) async fn tasks(
    database: &str,
    table: &str,
    users: &str,
    turns: &[Taken],
) -> Result<Verdict> {
    let mut db = PgConnection::connect(database).await?;
    let mut verdict = Verdict::default();
    let tasks = format!(
        "select user_id, title, count(*) from {table} where starts_with(user_id, $1) group by 1, 2"
    );
    let tasks = sqlx::query_as(AssertSqlSafe(tasks)).bind(users);
    let tasks: Vec<(String, String, i64)> = tasks.fetch_all(&mut db).await?;
    let mut found: HashMap<(String, String), i64> = HashMap::new();
    for (user, title, count) in tasks {
        verdict.doubled += usize::from(count > 1);
        found.insert((user, title), count);
    }
    for taken in turns.iter().filter(|taken| taken.deed == Deed::Add) {
        let title = taken.message.trim_start_matches("add ").to_owned();
        let there = found.remove(&(taken.user.id.clone(), title)).is_some();
        if taken.error.is_none() {
            verdict.added += 1;
            verdict.lost += usize::from(!there);
        }
    }
    verdict.unexplained = found.len();
    db.close().await?;
    Ok(verdict)
}
