//! What is read off: the time, quantiles, and what processes and the database have used. Linux only, as `/proc` is.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use errand_devkit::process;
use sqlx::{Connection, PgConnection, Row};

/// USER_HZ is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The time in microseconds, the same in all processes of this machine.
pub fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Durations in microseconds, in the end one line of a table.
#[derive(Debug, Default)]
pub struct Sample(Vec<u64>);

impl Sample {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value below which this share lies; not a number if there is none.
    pub fn milliseconds(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.0
            .get(at)
            .map_or(f64::NAN, |&micros| micros as f64 / 1e3)
    }
}

impl Extend<u64> for Sample {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, micros: I) {
        self.0.extend(micros);
    }
}

/// KiB of memory that a process has in use.
pub fn memory(pid: u32) -> Result<u64> {
    process::memory(pid, "VmRSS")
}

/// Open files of a process, sockets included.
pub fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Starts this program again under a higher limit if it may open too few files.
///
/// # Errors
/// The system allows no more, or refuses the start.
pub fn allow_files(needed: usize) -> Result<()> {
    let (now, most) = file_limits()?;
    let needed = u64::try_from(needed)?;
    if now >= needed {
        return Ok(());
    }
    if most < needed {
        bail!("needs {needed} open files, may have {most}: raise `ulimit -Hn` or ask for less");
    }
    let raised = format!("ulimit -n {needed} && exec \"$0\" \"$@\"");
    let mut again = Command::new("sh");
    again.args(["-c", &raised]).arg(std::env::current_exe()?);
    Err(again.args(std::env::args().skip(1)).exec().into())
}

/// Files that this process may open: now, and at most.
fn file_limits() -> Result<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line.context("no limit of open files")?.split_whitespace();
    let mut next = || numbers.next().map(|n| n.parse().unwrap_or(u64::MAX));
    next().zip(next()).context("no limit of open files")
}

/// Processor time of a process. With `family` also of its children, those that have ended included.
pub fn processor_time(pid: u32, family: bool) -> Duration {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything.
        let Some((id, rest)) = stat.split_once(" (") else {
            continue;
        };
        let fields: Vec<u32> = rest
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let [_, parent, ..] = fields.as_slice() else {
            continue;
        };
        let itself = id == pid.to_string();
        if itself || family && *parent == pid {
            let counted = if itself && family { 11..15 } else { 11..13 };
            ticks += fields[counted].iter().sum::<u32>();
        }
    }
    TICK * ticks
}

/// Processor time of everything on this machine.
pub fn all_processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // user, nice, system, idle, waiting for disks, interrupts, soft interrupts
    let fields = stat.split_whitespace().skip(1).take(7);
    let busy = fields.enumerate().filter(|(nth, _)| !(3..5).contains(nth));
    let ticks = busy.map(|(_, ticks)| ticks.parse::<u32>().unwrap_or(0));
    TICK * ticks.sum::<u32>()
}

/// The process id of the server whose data this is.
pub fn postmaster(data: &Path) -> Result<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid"))?;
    Ok(text.lines().next().unwrap_or_default().parse()?)
}

/// Counts what the database is asked to do.
#[derive(Debug)]
pub struct Statements {
    db: PgConnection,
    /// Whether single statements are counted, or else transactions.
    pub single: bool,
    transactions: i64,
}

/// A statement and how often it ran.
#[derive(Debug)]
pub struct Statement {
    pub text: String,
    pub calls: i64,
    pub mean_ms: f64,
}

impl Statements {
    /// `url` is another database than the one that is watched: what is asked here does not count.
    pub async fn connect(url: &str) -> Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let create = "create extension if not exists pg_stat_statements";
        let single = sqlx::query(create).execute(&mut db).await.is_ok();
        let transactions = 0;
        Ok(Self {
            db,
            single,
            transactions,
        })
    }

    /// Counts from here.
    pub async fn reset(&mut self) -> Result<()> {
        if self.single {
            let reset = "select pg_stat_statements_reset()";
            sqlx::query(reset).execute(&mut self.db).await?;
        } else {
            self.transactions = self.transactions().await?;
        }
        Ok(())
    }

    /// How many since the reset.
    pub async fn count(&mut self) -> Result<i64> {
        if !self.single {
            return Ok(self.transactions().await? - self.transactions);
        }
        let calls = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements s
                     join pg_database d on d.oid = s.dbid where d.datname = 'errand'";
        Ok(sqlx::query_scalar(calls).fetch_one(&mut self.db).await?)
    }

    /// The ones that ran most often since the reset.
    pub async fn busiest(&mut self) -> Result<Vec<Statement>> {
        let busiest = "select regexp_replace(query, '\\s+', ' ', 'g'), calls, mean_exec_time from pg_stat_statements s
                       join pg_database d on d.oid = s.dbid where d.datname = 'errand' order by calls desc limit 25";
        let rows = sqlx::query(busiest).fetch_all(&mut self.db).await?;
        let statements = rows.iter().map(|row| Statement {
            text: row.get(0),
            calls: row.get(1),
            mean_ms: row.get(2),
        });
        Ok(statements.collect())
    }

    async fn transactions(&mut self) -> Result<i64> {
        let ended =
            "select xact_commit + xact_rollback from pg_stat_database where datname = 'errand'";
        Ok(sqlx::query_scalar(ended).fetch_one(&mut self.db).await?)
    }
}
