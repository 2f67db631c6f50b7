//! What a load uses: processor time and memory by kind of process, and what the server counts.

use std::time::Duration;

use anyhow::Result;
use errand_bench::gauge;
use errand_devkit::proxy::{Counts, Proxy};
use sqlx::{Connection, PgConnection, Row};

use crate::system::{Programs, System};

/// Kinds of processes, in the order of [`Used::processor`].
pub(crate) const KINDS: [&str; 5] = ["postgres", "api", "worker", "model", "load"];

/// What was used in a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    /// Of [`KINDS`].
    pub(crate) processor: [Duration; 5],
    /// Of everything else on this machine.
    pub(crate) others: Duration,
    /// As `pg_stat_database` says it.
    pub(crate) commits: i64,
    pub(crate) wal_bytes: i64,
    /// Times that the log was flushed to the disk; Postgres 14 and newer.
    pub(crate) flushes: Option<i64>,
    /// Commit records in the log: transactions that wrote. With the extension pg_walinspect only (Postgres 15).
    pub(crate) written_commits: Option<i64>,
    /// Asked by APIs and workers, if that is counted.
    pub(crate) counts: Option<[Counts; 2]>,
    /// KiB of APIs and workers at their largest; all processes of a kind together.
    pub(crate) memory: [u64; 2],
}

/// What is read off, and where.
#[derive(Default)]
pub(crate) struct Gauges {
    /// Processes by kind, but for Postgres and ourselves.
    api: Vec<u32>,
    worker: Vec<u32>,
    model: Vec<u32>,
    postgres: Option<u32>,
    /// Asks about the database of this name, from another one.
    db: Option<(PgConnection, String)>,
    inspects: bool,
    /// Of APIs and workers.
    proxies: Option<[Proxy; 2]>,
    before: Option<Reading>,
    memory: [u64; 2],
}

/// One look at everything.
#[derive(Clone, Default)]
struct Reading {
    processor: [Duration; 5],
    all: Duration,
    commits: i64,
    wal: String,
    flushes: Option<i64>,
    counts: Option<[Counts; 2]>,
}

impl Gauges {
    /// Of these programs. Not all of the server's figures are to be had everywhere.
    pub(crate) async fn of(system: &System, programs: &Programs) -> Result<Self> {
        let [api, worker] = programs.pids();
        let mut gauges = Self {
            api,
            worker,
            model: vec![system.model_pid()],
            postgres: Some(system.postgres_pid()?),
            proxies: programs.proxies(),
            ..Self::default()
        };
        gauges.watch(system.maintenance(), "errand").await?;
        Ok(gauges)
    }

    /// Of one other program, which has its children with it, beside the system's Postgres and model.
    pub(crate) async fn of_process(system: &System, pid: u32, database: &str) -> Result<Self> {
        let mut gauges = Self {
            api: vec![pid],
            model: vec![system.model_pid()],
            postgres: Some(system.postgres_pid()?),
            ..Self::default()
        };
        gauges.watch(system.maintenance(), database).await?;
        Ok(gauges)
    }

    async fn watch(&mut self, url: &str, database: &str) -> Result<()> {
        let mut db = PgConnection::connect(url).await?;
        let create = "create extension if not exists pg_walinspect";
        self.inspects = sqlx::query(create).execute(&mut db).await.is_ok();
        self.db = Some((db, database.to_owned()));
        Ok(())
    }

    /// Counts from here.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.memory = [0; 2];
        self.look();
        self.before = Some(self.read().await?);
        Ok(())
    }

    /// Looks at what has a largest value.
    pub(crate) fn look(&mut self) {
        for (most, pids) in self.memory.iter_mut().zip([&self.api, &self.worker]) {
            // One that is gone uses nothing.
            let now = pids.iter().map(|&pid| gauge::memory(pid).unwrap_or(0));
            *most = now.sum::<u64>().max(*most);
        }
    }

    /// What was used since [`Gauges::begin`]. While the load is still on: what the server has not yet counted now is as much as
    /// it had not then.
    pub(crate) async fn end(&mut self) -> Result<Used> {
        let before = self.before.take().unwrap_or_default();
        let after = self.read().await?;
        self.look();
        let mut used = Used {
            commits: after.commits - before.commits,
            flushes: after
                .flushes
                .zip(before.flushes)
                .map(|(after, before)| after - before),
            memory: self.memory,
            ..Used::default()
        };
        for (nth, used) in used.processor.iter_mut().enumerate() {
            *used = after.processor[nth].saturating_sub(before.processor[nth]);
        }
        let ours: Duration = used.processor.iter().sum();
        used.others = (after.all.saturating_sub(before.all)).saturating_sub(ours);
        used.counts = after
            .counts
            .zip(before.counts)
            .map(|(after, before)| [after[0] - before[0], after[1] - before[1]]);
        if let Some((db, _)) = &mut self.db {
            let bytes = "select ($2::pg_lsn - $1::pg_lsn)::bigint";
            let bytes = sqlx::query_scalar(bytes).bind(&before.wal).bind(&after.wal);
            used.wal_bytes = bytes.fetch_one(&mut *db).await?;
            if self.inspects && used.wal_bytes > 0 {
                let commits = "select coalesce(sum(count), 0)::bigint from pg_get_wal_stats($1::pg_lsn, $2::pg_lsn, true)
                               where \"resource_manager/record_type\" like 'Transaction/COMMIT%'";
                let commits = sqlx::query_scalar(commits)
                    .bind(&before.wal)
                    .bind(&after.wal);
                used.written_commits = commits.fetch_one(&mut *db).await.ok();
            }
        }
        Ok(used)
    }

    async fn read(&mut self) -> Result<Reading> {
        let alone = |pids: &[u32]| {
            pids.iter()
                .map(|&pid| gauge::processor_time(pid, true))
                .sum()
        };
        let mut reading = Reading {
            processor: [
                self.postgres
                    .map_or(Duration::ZERO, |pid| gauge::processor_time(pid, true)),
                alone(&self.api),
                alone(&self.worker),
                alone(&self.model),
                gauge::processor_time(std::process::id(), false),
            ],
            all: gauge::all_processor_time(),
            counts: self
                .proxies
                .as_ref()
                .map(|proxies| proxies.each_ref().map(Proxy::counts)),
            ..Reading::default()
        };
        if let Some((db, database)) = &mut self.db {
            let read = "select (select xact_commit from pg_stat_database where datname = $1), pg_current_wal_flush_lsn()::text";
            let row = sqlx::query(read)
                .bind(&*database)
                .fetch_one(&mut *db)
                .await?;
            (reading.commits, reading.wal) = (row.get(0), row.get(1));
            let flushes = sqlx::query_scalar("select wal_sync from pg_stat_wal");
            reading.flushes = flushes.fetch_one(&mut *db).await.ok();
        }
        Ok(reading)
    }
}
