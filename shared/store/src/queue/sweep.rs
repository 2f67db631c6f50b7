//! The sweep: finds runs that are at work by their own row but have no job, so that no worker would ever take them, and jobs that have no run.
//!
//! No transaction of ours leaves either; an operator who deleted a job does, or a table that was restored without the other.

use std::time::Duration;

use errand_core::jobs::job_id;
use uuid::Uuid;

use super::{jobs, periodic::Lease};
use crate::{Connection, Pool, StoreError, Transaction};

/// Runs that were admitted this lately are left alone.
const GRACE: Duration = Duration::from_secs(3);

/// Runs of one page.
const PAGE: i64 = 500;

/// What one page came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that were none of ours and were taken out of the queue.
    pub killed: u64,
    /// Runs that have a job again.
    pub enqueued: Vec<Uuid>,
    /// Where the next page begins; none if this was the last.
    pub next: Option<Uuid>,
}

/// Whether there is anything to sweep in a queue without jobs: one statement, for a time when there is nothing to do.
///
/// # Errors
/// The database failed.
pub async fn finds(db: &mut Connection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select sweep_finds(make_interval(secs => $1)) as "finds!""#,
        GRACE.as_secs_f64()
    )
    .fetch_one(db)
    .await?)
}

/// Gives runs without a job one, a page at a time, in a transaction of its own, while the lease is held. None if it was lost.
///
/// The pages go along the index of the runs at work (one for each conversation), so the cost follows these and not the age of the table.
/// If a worker still has such a run, the new job begins another attempt and that one is fenced.
pub async fn page(
    pool: &Pool,
    lease: &Lease,
    after: Option<Uuid>,
) -> Result<Option<Swept>, StoreError> {
    let mut tx = pool.begin().await?;
    if !lease.hold(&mut tx).await? {
        return Ok(None);
    }
    let killed = match after {
        None => jobs::kill_unreadable(&mut tx).await?,
        Some(_) => 0,
    };
    let at_work = sqlx::query!(
        "select id, conversation_id from runs r
         where conversation_id > $1 and admitted_at is not null and is_active(r)
           and admitted_at < now() - make_interval(secs => $2)
         order by conversation_id
         limit $3",
        after.unwrap_or_default(),
        GRACE.as_secs_f64(),
        PAGE
    )
    .fetch_all(&mut *tx)
    .await?;
    let is_full = i64::try_from(at_work.len()).is_ok_and(|found| found == PAGE);
    let next = at_work.last().map(|run| run.conversation_id);
    let runs: Vec<Uuid> = at_work.into_iter().map(|run| run.id).collect();
    let enqueued = enqueue_missing(&mut tx, &runs).await?;
    tx.commit().await?;
    Ok(Some(Swept {
        killed,
        enqueued,
        next: next.filter(|_| is_full),
    }))
}

async fn enqueue_missing(tx: &mut Transaction, runs: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let job_ids: Vec<String> = runs.iter().map(|&run_id| job_id(run_id)).collect();
    let missing = sqlx::query_scalar!(
        r#"select u.run_id as "run_id!" from unnest($1::uuid[], $2::text[]) as u (run_id, job_id)
           where not exists (
               select 1 from apalis.jobs j
               where j.id = u.job_id
                 and (j.status in ('Pending', 'Queued', 'Running') or j.status = 'Failed' and j.attempts < j.max_attempts)
           )"#,
        runs,
        &job_ids
    )
    .fetch_all(&mut **tx)
    .await?;
    if missing.is_empty() {
        return Ok(missing);
    }
    // A run may have ended since it was read, with its job. The lock keeps it as it is until the job is committed, and who has one now is at it.
    let stuck = sqlx::query!(
        r#"select id, floor(extract(epoch from now()))::bigint as "now!" from runs
           where id = any ($1) and admitted_at is not null and finished_at is null and status in ('queued', 'running')
           for update skip locked"#,
        &missing
    )
    .fetch_all(&mut **tx)
    .await?;
    let now = stuck.first().map_or(0, |run| run.now);
    let stuck: Vec<Uuid> = stuck.into_iter().map(|run| run.id).collect();
    for &run_id in &stuck {
        // One that is done, though its run is not.
        jobs::forget(tx, run_id).await?;
    }
    jobs::enqueue(tx, &stuck, now).await?;
    Ok(stuck)
}
