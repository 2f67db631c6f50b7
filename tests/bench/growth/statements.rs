//! Statements: how long those of the purges took, by the server's own account.

use anyhow::Result;
use sqlx::{Connection, PgConnection};

/// What no statement of a purge may take, in milliseconds.
const MOST: f64 = 100.0;

/// Has the server count statements from its next start on.
pub(crate) async fn prepare(admin_url: &str) -> Result<()> {
    let mut db = PgConnection::connect(admin_url).await?;
    for setting in [
        "alter system set shared_preload_libraries = 'pg_stat_statements'",
        "alter system set max_wal_size = '4GB'",
    ] {
        sqlx::raw_sql(setting).execute(&mut db).await?;
    }
    db.close().await?;
    Ok(())
}

/// Begins to count, from nothing.
pub(crate) async fn begin(admin_url: &str) -> Result<()> {
    let mut db = PgConnection::connect(admin_url).await?;
    let statement =
        "create extension if not exists pg_stat_statements; select pg_stat_statements_reset()";
    sqlx::raw_sql(statement).execute(&mut db).await?;
    db.close().await?;
    Ok(())
}

/// Prints the purges' statements; whether none took too long.
pub(crate) async fn report(admin_url: &str) -> Result<bool> {
    let mut db = PgConnection::connect(admin_url).await?;
    let statements: Vec<(String, i64, i64, f64, f64)> = sqlx::query_as(
        r"select regexp_replace(query, '\s+', ' ', 'g'), calls, rows, mean_exec_time, max_exec_time from pg_stat_statements
          where query ~ 'purge_cursors|periodic_work|delete from (run_events|mcp_calls|usage_days|apalis)|set idempotency_key = null'
             or query ~ 'finished_at, id\)|conversation_id > .* and admitted_at|as u \(run_id, job_id\)\s+where not exists'
          order by max_exec_time desc",
    )
    .fetch_all(&mut db)
    .await?;
    println!(
        "\n{:>9} {:>10} {:>9} {:>9}  statement of a purge or sweep",
        "calls", "rows", "mean ms", "max ms"
    );
    let mut fast = true;
    for (query, calls, rows, mean, max) in statements {
        let text: String = query.chars().take(110).collect();
        println!("{calls:>9} {rows:>10} {mean:>9.2} {max:>9.2}  {text}");
        fast &= max < MOST;
    }
    println!(
        "{}",
        if fast {
            "all under 100 ms"
        } else {
            "NOT all under 100 ms"
        }
    );
    db.close().await?;
    Ok(fast)
}
