//! Pools: connections that answer, or are replaced, within a bound.
//!
//! A network that swallows packets sends no reset, and the driver waits on such a connection for ever, also when it
//! gives one back. So each connection is asked with a time-out, before it is used and after it was; then it is also freed of
//! whatever was left open.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Connection, Pool, StoreError};

/// How long a caller waits for a connection: a free one that answers, or a new one. Less than [`super::WORK_TIMEOUT`].
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a connection that does nothing may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server gives up by itself. A client that is gone without a trace must not keep its locks for longer than
/// others wait for them, so this is about as long as [`super::WORK_TIMEOUT`].
const SERVER_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "6s"),
    ("lock_timeout", "4s"),
    ("idle_in_transaction_session_timeout", "5s"),
];

/// A pool that connects when it is first used: a database that is down is an error of the query, not of the start.
///
/// `direct` says that no pooler is in between, so the server is told its time-outs for statements, locks and
/// idle transactions when the connection is made. A transaction pooler refuses such start-up options.
///
/// # Errors
/// The URL is malformed.
pub fn pool(
    url: &str,
    application: &str,
    max_connections: u32,
    direct: bool,
) -> Result<Pool, StoreError> {
    let mut options = url
        .parse::<PgConnectOptions>()?
        .application_name(application)
        // The driver's default, which matters for numbers as text only, is refused by a PgBouncer that is not told otherwise.
        .extra_float_digits(None);
    if direct {
        options = options.options(SERVER_TIMEOUTS);
    }
    let silence = Silence::default();
    let idle = silence.clone();
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Duration::from_secs(240))
        // Its own test has no time-out; the next line has.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let silence = idle.clone();
            Box::pin(async move { silence.check(meta.idle_for, connection.ping()).await })
        })
        // Work that was given up leaves a connection in the middle of something, perhaps for ever.
        .after_release(move |connection, _| {
            let silence = silence.clone();
            Box::pin(async move { silence.check(Duration::ZERO, clear(connection)).await })
        })
        .connect_lazy_with(options))
}

/// Makes a connection like those of the pool but outside it: for work that must not wait for a place there.
///
/// # Errors
/// The database is unreachable.
pub(super) async fn connect(pool: &Pool) -> Result<Connection, StoreError> {
    Ok(Connection::connect_with(&pool.connect_options()).await?)
}

/// Ends a transaction that was left open. The driver forgets a BEGIN whose answer was not waited for (sqlx issue 4393): what
/// others do on that connection would belong to a transaction that they know nothing of, and be lost with it.
///
/// On a connection that is as it should be neither command is out of place, so the server has nothing to warn of.
async fn clear(connection: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection).await?;
    Ok(())
}

/// When a connection of the pool was last found silent. Those that were idle by then share its fate and are not asked, so
/// a pool full of dead connections costs one time-out and not one for each.
#[derive(Clone, Default)]
struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    /// Waits for the answer of a connection that has been idle for so long. An error makes the pool drop it.
    async fn check(
        &self,
        idle: Duration,
        answer: impl Future<Output = Result<(), sqlx::Error>>,
    ) -> Result<bool, sqlx::Error> {
        let silent = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        if self.last().is_some_and(|last| last.elapsed() < idle) {
            return Err(silent());
        }
        match tokio::time::timeout(PING_TIMEOUT, answer).await {
            Ok(answer) => answer.map(|()| true),
            Err(_) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Err(silent())
            }
        }
    }

    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
