//! The verdict: loads the history beside the data and asks the database.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::Result;
use sqlx::{Connection, PgConnection, Row};

/// How the runs came out.
pub(crate) struct Runs {
    /// By status, and code for those that failed.
    pub(crate) ends: Vec<(String, i64)>,
    pub(crate) accepted: i64,
    pub(crate) completed: i64,
    pub(crate) cancelled: i64,
    /// p50 and p99 in milliseconds of turns that needed one attempt, and of those that lost one.
    pub(crate) quick: [f64; 2],
    pub(crate) hit: [f64; 2],
    pub(crate) hits: i64,
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
    let row = sqlx::query(
        "with took as (
             select attempt > 1 as hit, status, extract(epoch from finished_at - created_at)::float8 * 1000 as ms from runs
         )
         select count(*), count(*) filter (where status = 'completed'), count(*) filter (where hit),
                count(*) filter (where status = 'cancelled'),
                percentile_cont(0.5) within group (order by ms) filter (where not hit),
                percentile_cont(0.99) within group (order by ms) filter (where not hit),
                percentile_cont(0.5) within group (order by ms) filter (where hit),
                percentile_cont(0.99) within group (order by ms) filter (where hit)
         from took",
    )
    .fetch_one(&mut db)
    .await?;
    let quantile = |at: usize| row.get::<Option<f64>, _>(at).unwrap_or(f64::NAN);
    Ok(Runs {
        ends,
        accepted: row.get(0),
        completed: row.get(1),
        hits: row.get(2),
        cancelled: row.get(3),
        quick: [quantile(4), quantile(5)],
        hit: [quantile(6), quantile(7)],
    })
}
