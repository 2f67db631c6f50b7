//! Leases: which worker holds which job, for as long as its process is heard from.
//!
//! These are the rows `apalis.workers` and the locks in `apalis.jobs`. A lease only decides who is given a job; a
//! worker that lost one without noticing is stopped by the fence on the run.

use std::time::Duration;

use errand_core::jobs::{QUEUE, SUMMARIES};

use crate::{Connection, Pool, StoreError};

/// Gives back whatever a worker still holds, after its last handler: runs that it claimed and did not begin, which counts as no attempt.
/// Returns how many jobs. Its row stays until no job refers to it.
pub async fn leave(db: &mut Connection, worker: &str) -> Result<u64, StoreError> {
    let freed = sqlx::query_scalar!(
        r#"with freed as (
             update apalis.jobs set status = 'Pending', lock_by = null, lock_at = null
             where lock_by = $1 and status in ('Queued', 'Running')
             returning run_of_job(id) as run_id
         ),
         -- It takes no more.
         gone as (update apalis.workers set layers = 'slots=0' where id = $1),
         handed_back as (
             update runs r set status = 'queued', handbacks = r.handbacks + 1
             from freed where r.id = freed.run_id and r.status = 'running'
         )
         select count(*) as "freed!" from freed"#,
        worker
    )
    .fetch_one(db)
    .await?;
    Ok(u64::try_from(freed).unwrap_or(0))
}

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Jobs of workers that fell silent, given back.
    pub rescued: u64,
    /// Jobs that this worker holds by the database but does not know of, given back: the answer to its claim was lost.
    pub unacknowledged: u64,
    /// Jobs that can be claimed now: all of these.
    pub freed: u64,
    /// Workers with jobs whose lease begins anew, as nobody could be heard for a while.
    pub renewed: u64,
    /// An operator wants this worker to take no more runs.
    pub is_draining: bool,
    /// There are jobs, of whomever and in whoever's hands: it is no time to rest.
    pub has_jobs: bool,
}

/// A worker's session: the connection that its process is heard from over, and a lock that falls with it.
///
/// The server frees the lock at once when the process dies, and keeps it for one that is only frozen or cut off in
/// silence. So others need not wait for the whole lease of a worker that is gone.
pub struct Session {
    db: Connection,
    worker: String,
    slots: i32,
}

impl Session {
    /// Opens a session of a worker that can have so many runs at work (`slots`). One of the same worker that the server has not missed yet may still be there.
    ///
    /// A worker's name is new for each start of a process: a reused one would inherit jobs it never had.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn open(pool: &Pool, worker: &str, slots: i32) -> Result<Self, StoreError> {
        let mut db = pool.connect().await?;
        // Who looks whether it is free has it for the moment of a heartbeat.
        sqlx::query!(
            "select pg_advisory_lock_shared(hashtextextended($1, 2))",
            worker
        )
        .fetch_one(&mut db)
        .await?;
        Ok(Self {
            db,
            worker: worker.to_owned(),
            slots,
        })
    }

    /// Renews the lease: enters the worker or says that it lives, takes jobs from those that do not, and gives back its own that it
    /// does not know.
    ///
    /// `held` are the jobs the worker knows of. A claim younger than `lease` may still be on its way here and is left alone.
    ///
    /// A worker is dead after a lease of silence; after half of one if its session is gone, in which time it could have begun
    /// another. That says nothing after a crash of the server, which ends all sessions: one at least has to be older than
    /// its last heartbeat.
    ///
    /// Nobody can be told from dead when no heartbeat of anybody arrived for half a lease: that was an outage. The first heartbeat
    /// after it begins every lease anew, so that all have the time to be heard again. A `last_seen` in the future, left by a
    /// clock that was set back, is treated alike. All times are the database's.
    ///
    /// # Errors
    /// If the database failed, the session may be over.
    pub async fn renew(&mut self, held: &[String], lease: Duration) -> Result<Found, StoreError> {
        // One statement: all of it sees the heartbeats as they were before this one.
        let row = sqlx::query!(
            r#"with silence as (
                 select coalesce(max(last_seen) < now() - make_interval(secs => $2::float8 / 2), false) as was
                 from apalis.workers where worker_type = $1 and last_seen < now() + make_interval(secs => $2)
             ),
             beaten as (
                 insert into apalis.workers (id, worker_type, storage_name, layers, last_seen)
                 values ($3, $1, 'errand', 'slots=' || $5::integer, now())
                 on conflict (id) do update set last_seen = now(), layers = excluded.layers
             ),
             renewed as (
                 update apalis.workers set last_seen = now() where id in (
                     select w.id from apalis.workers w
                     where w.worker_type = $1 and w.id <> $3
                       and ((select was from silence) or w.last_seen > now() + make_interval(secs => $2))
                       and exists (select from apalis.jobs j where j.lock_by = w.id and j.status in ('Queued', 'Running'))
                     for update skip locked
                 )
                 returning id
             ),
             dead as (
                 select j.id from apalis.jobs j join apalis.workers w on w.id = j.lock_by
                 where j.status in ('Queued', 'Running') and j.job_type in ($1, $6)
                   and (w.last_seen < now() - make_interval(secs => $2)
                        or w.last_seen < now() - make_interval(secs => $2::float8 / 2)
                           and pg_try_advisory_xact_lock(hashtextextended(w.id, 2))
                           and exists (select from pg_stat_activity
                                       where backend_type = 'client backend' and backend_start < w.last_seen))
                   and not (select was from silence)
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
             select (select count(*) from dead) as "rescued!", (select count(*) from lost) as "unacknowledged!",
                    (select count(*) from renewed) as "renewed!", (select count(*) from freed) as "freed!",
                    exists (select from worker_drains where worker = $3) as "is_draining!",
                    exists (select from apalis.jobs
                            where job_type in ($1, $6) and (status in ('Pending', 'Queued', 'Running')
                                                     or status = 'Failed' and attempts < max_attempts)) as "has_jobs!""#,
            QUEUE,
            lease.as_secs_f64(),
            self.worker,
            held,
            self.slots,
            SUMMARIES
        )
        .fetch_one(&mut self.db)
        .await?;
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        Ok(Found {
            rescued: count(row.rescued),
            unacknowledged: count(row.unacknowledged),
            freed: count(row.freed),
            is_draining: row.is_draining,
            has_jobs: row.has_jobs,
            renewed: count(row.renewed),
        })
    }
}
