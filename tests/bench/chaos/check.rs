//! The verdict: loads the history beside the data and asks the database.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use anyhow::Result;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

/// How the runs came out.
pub(crate) struct Runs {
    /// By status, and code for those that failed.
    pub(crate) ends: Vec<(String, i64)>,
    pub(crate) accepted: i64,
    pub(crate) completed: i64,
    pub(crate) cancelled: i64,
    pub(crate) times: Vec<Times>,
}

/// How long turns took that were lost to faults as often.
#[derive(sqlx::FromRow)]
pub(crate) struct Times {
    /// How many attempts were lost with their worker or failed; what was given back in good order or because of an outage is not
    /// counted.
    pub(crate) lost: i32,
    pub(crate) turns: i64,
    /// Milliseconds from acceptance to end.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// How many took longer than [`BOUND`]; shares of several campaigns add up, percentiles do not.
    pub(crate) late: i64,
}

/// Milliseconds that a turn hit by a kill may take, but for one in a hundred.
pub(crate) const BOUND: f64 = 12_000.0;

/// For summaries that the last turns made due.
const LAST: Duration = Duration::from_secs(30);

/// Waits until nothing is left to do, while those who could do it are still there; what is left after that is a violation.
pub(crate) async fn rest(database: &str) -> Result<()> {
    let mut db = PgConnection::connect(database).await?;
    let end = Instant::now() + LAST;
    let left = "select exists (select from apalis.jobs where status not in ('Done', 'Killed'))";
    while Instant::now() < end
        && sqlx::query_scalar::<_, bool>(left)
            .fetch_one(&mut db)
            .await?
    {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(db.close().await?)
}

/// Violations: the invariant and what was found.
pub(crate) async fn check(database: &str, history: &Path) -> Result<Vec<(String, String)>> {
    let mut db = PgConnection::connect(database).await?;
    sqlx::raw_sql("create schema chaos; create table chaos.history (line jsonb not null)")
        .execute(&mut db)
        .await?;
    let mut lines = BufReader::new(File::open(history)?).lines();
    loop {
        let chunk = lines.by_ref().take(2000).collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            break;
        }
        sqlx::query("insert into chaos.history select unnest($1::text[])::jsonb")
            .bind(chunk)
            .execute(&mut db)
            .await?;
    }
    sqlx::raw_sql("analyze").execute(&mut db).await?;
    Ok(sqlx::query_as(include_str!("check.sql"))
        .fetch_all(&mut db)
        .await?)
}

/// Counts and latencies of the runs.
pub(crate) async fn runs(database: &str) -> Result<Runs> {
    let mut db = PgConnection::connect(database).await?;
    let ends = sqlx::query_as(
        "select status || coalesce(' ' || error_code, ''), count(*) from runs group by 1 order by 1",
    )
    .fetch_all(&mut db)
    .await?;
    let (accepted, completed, cancelled) = sqlx::query_as(
        "select count(*), count(*) filter (where status = 'completed'), count(*) filter (where status = 'cancelled')
         from runs",
    )
    .fetch_one(&mut db)
    .await?;
    let times = sqlx::query_as(
        // A run that waited took as long as its user.
        "with took as (
             select greatest(r.attempt - 1 - r.handbacks, 0) as lost,
                    extract(epoch from r.finished_at - r.created_at)::float8 * 1000 as ms
             from runs r
             where r.finished_at is not null and not exists (select from approvals a where a.run_id = r.id)
         )
         select lost, count(*) as turns, percentile_cont(0.5) within group (order by ms) as p50,
                percentile_cont(0.99) within group (order by ms) as p99, count(*) filter (where ms > $1) as late
         from took group by lost order by lost",
    )
    .bind(BOUND)
    .fetch_all(&mut db)
    .await?;
    Ok(Runs {
        ends,
        accepted,
        completed,
        cancelled,
        times,
    })
}
