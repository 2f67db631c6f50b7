//! Migrations: apalis's and ours, in this order, then roles and routines, under one advisory lock.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{Acquire, Connection as _, PgConnection, migrate::MigrateError};

use super::{isolation, routines};
use crate::{Connection, Pool, StoreError};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Any number that nobody else uses: "errand" in ASCII.
const LOCK: i64 = 0x6572_7261_6e64;

/// How long migrations may take, the wait for another process's included. The server sets no bound, so this is the one that
/// a network without an answer runs into.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Brings the database to this version. Safe to run twice and by several processes at once: the others wait.
///
/// # Errors
/// The database is unreachable, or does not answer for an hour; a migration failed (a later version's database included);
/// or the URL is a pooler's, where the lock would be anybody's.
pub async fn run(url: &str) -> Result<(), StoreError> {
    let patience = tokio::time::timeout(PATIENCE, migrate(url)).await;
    patience.unwrap_or(Err(StoreError::Timeout(PATIENCE)))
}

async fn migrate(url: &str) -> Result<(), StoreError> {
    // A migration takes as long as it takes, whatever the role's defaults. A transaction pooler refuses such options.
    let options = super::url::options(url)?.extra_float_digits(None).options([
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
    ]);
    let mut connection =
        crate::within(async { Ok::<_, StoreError>(PgConnection::connect_with(&options).await?) })
            .await?;
    sqlx::query!("select pg_advisory_lock($1)", LOCK)
        .execute(&mut connection)
        .await?;
    let result = apply(&mut connection).await;
    // Closing the session frees the lock, also after an error.
    connection.close().await?;
    result
}

/// Like [`run`], but waits up to a minute for a database that is still starting.
///
/// # Errors
/// As [`run`].
pub async fn run_when_up(url: &SecretString) -> Result<(), StoreError> {
    let begun = tokio::time::Instant::now();
    loop {
        match run(url.expose_secret()).await {
            Err(error) if error.is_for_good() => return Err(error),
            Err(error) if error.is_outage() && begun.elapsed() < crate::START_TIMEOUT => {
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            result => return result,
        }
    }
}

async fn apply(connection: &mut Connection) -> Result<(), StoreError> {
    apalis_postgres::PostgresStorage::<()>::migrations()
        .run(connection.acquire().await?)
        .await
        .map_err(failed)?;
    MIGRATIONS
        .run(connection.acquire().await?)
        .await
        .map_err(failed)?;
    isolation::make_roles(connection).await?;
    routines::apply(connection).await
}

fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Newer(version),
        error => sqlx::Error::from(error).into(),
    }
}

/// Whether every migration and routine of this version has been applied.
///
/// # Errors
/// The database cannot be asked; a database without any migration is no error but `false`.
pub async fn is_current(pool: &Pool) -> Result<bool, StoreError> {
    let mut db = pool.acquire_quietly().await?;
    let exists = sqlx::query_scalar!(
        r#"select to_regclass('public._sqlx_migrations') is not null as "exists!""#
    )
    .fetch_one(&mut *db)
    .await?;
    if !exists {
        return Ok(false);
    }
    let applied = sqlx::query_scalar!("select version from _sqlx_migrations where success")
        .fetch_all(&mut *db)
        .await?;
    let is_migrated = MIGRATIONS
        .iter()
        .all(|migration| applied.contains(&migration.version));
    let is_current = is_migrated && routines::are_current(&mut db).await?;
    db.release();
    Ok(is_current)
}
