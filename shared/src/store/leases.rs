//! Leases: which worker holds which job, for as long as its heart beats.
//!
//! These are the rows `apalis.workers` and the locks in `apalis.jobs`. A lease only decides who is given a job; a
//! worker that lost one without noticing is stopped by the fence on the run.

use std::time::Duration;

use super::{Connection, StoreError};
use crate::jobs::QUEUE;

/// Enters a worker. Its name is new for each start of a process: a reused one would inherit jobs it never had.
///
/// # Errors
/// The database failed.
pub async fn register(db: &mut Connection, worker: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into apalis.workers (id, worker_type, storage_name, layers, last_seen)
         values ($1, $2, 'errand', '', now())
         on conflict (id) do update set last_seen = now()",
        worker,
        QUEUE
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives back whatever a worker still holds, after its last handler. Its row stays until no job refers to it.
///
/// # Errors
/// The database failed.
pub async fn leave(db: &mut Connection, worker: &str) -> Result<(), StoreError> {
    sqlx::query!(
        r#"with freed as (
             update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
             where lock_by = $1 and status in ('Queued', 'Running')
             returning id
         )
         select pg_notify($2, '') from freed limit 1"#,
        worker,
        crate::hints::JOB_READY
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Jobs that were given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBack {
    /// Jobs of workers whose heart stopped.
    pub orphaned: u64,
    /// Jobs that this worker holds by the database but does not know of: the answer to its claim was lost.
    pub unknown: u64,
}

/// One beat: says that this worker lives, takes jobs from those that do not, and gives back its own that it does not know.
///
/// Others' jobs are taken only with `take_over`. `held` are the jobs the worker knows of. A claim younger than `lease` may still be on its way here and is left alone.
///
/// # Errors
/// The database failed.
pub async fn beat(
    db: &mut Connection,
    worker: &str,
    held: &[String],
    lease: Duration,
    take_over: bool,
) -> Result<GivenBack, StoreError> {
    register(db, worker).await?;
    let row = sqlx::query!(
        r#"with dead as (
             select j.id from apalis.jobs j join apalis.workers w on w.id = j.lock_by
             where j.status in ('Queued', 'Running') and j.job_type = $1
               and w.last_seen < now() - make_interval(secs => $2) and $6
             for update of j skip locked
         ),
         lost as (
             select id from apalis.jobs
             where lock_by = $3 and status in ('Queued', 'Running') and id <> all($4)
               and lock_at < now() - make_interval(secs => $2)
             for update skip locked
         ),
         freed as (
             update apalis.jobs j set status = 'Pending', lock_by = null, lock_at = null, attempts = attempts + 1
             from (select id from dead union select id from lost) stale
             where j.id = stale.id
             returning j.id
         )
         select (select count(*) from dead) as "orphaned!", (select count(*) from lost) as "unknown!",
                (select count(pg_notify($5, '')) from freed) as notified"#,
        QUEUE,
        lease.as_secs_f64(),
        worker,
        held,
        crate::hints::JOB_READY,
        take_over
    )
    .fetch_one(db)
    .await?;
    Ok(GivenBack {
        orphaned: u64::try_from(row.orphaned).unwrap_or(0),
        unknown: u64::try_from(row.unknown).unwrap_or(0),
    })
}

/// Deletes jobs done long ago and workers gone long ago, a bounded number at a time. Returns how many jobs.
///
/// # Errors
/// The database failed.
pub async fn purge(db: &mut Connection, keep: Duration) -> Result<u64, StoreError> {
    let jobs = sqlx::query!(
        "delete from apalis.jobs where id in (
             select id from apalis.jobs
             where status in ('Done', 'Killed') and done_at < now() - make_interval(secs => $1)
             order by done_at limit 1000
             for update skip locked
         )",
        keep.as_secs_f64()
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    sqlx::query!(
        "delete from apalis.workers w
         where w.last_seen < now() - make_interval(secs => $1)
           and not exists (select 1 from apalis.jobs j where j.lock_by = w.id)",
        keep.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(jobs)
}
