//! The pool: a bounded number of connections, and nobody finds on one what somebody else left there.
//!
//! To ask each connection before its use and to clean it after would make three round trips of what is one statement. So whoever
//! comes to the end of its work says so ([`Pooled::release`], [`Transaction::commit`]), and the connection goes back as it is. One
//! whose work was given up is in the middle of something: it is cleaned first, behind its borrower's back, or thrown away.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use connector::{Connector, Link};
use deadpool::{
    Runtime,
    managed::{self, Object, PoolError, QueueMode, Timeouts},
};
use errand_core::hints::Hint;
use sqlx::{Connection as _, postgres::PgConnectOptions};

use super::{
    clock::DbClock,
    lane::Lanes,
    rest::Rest,
    waits::{Wait, Waits},
};
use crate::{Connection, StoreError, lifecycle::HeldSteps, notify::Hints};

mod connector;

/// How long a caller waits for a connection: a free one that answers, or a new one. Less than [`crate::WORK_TIMEOUT`].
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a connection that was left in the middle of something may take to be clean again.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection that nobody needs is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(240);

/// What the server gives up by itself. A client that is gone without a trace must not keep its locks for longer than
/// others wait for them, so this is about as long as [`crate::WORK_TIMEOUT`].
const SERVER_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "6s"),
    ("lock_timeout", "4s"),
    ("idle_in_transaction_session_timeout", "5s"),
    // Every statement here is short: to compile one takes longer than to execute it.
    ("jit", "off"),
];

/// Connections to one database, at most so many; what goes together over one of them, and what is to be told behind what they commit. Cheap
/// to clone.
#[derive(Clone)]
pub struct Pool {
    connections: managed::Pool<Connector>,
    lanes: Arc<Lanes>,
    held_steps: Arc<HeldSteps>,
    hints: Arc<Hints>,
    clock: Arc<DbClock>,
    waits: Arc<Waits>,
    /// Stirred by whoever takes a connection.
    rest: Option<Arc<Rest>>,
}

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
    let mut options = super::url::options(url)?
        .application_name(application)
        // The driver's default, which matters for numbers as text only, is refused by a PgBouncer that is not told otherwise.
        .extra_float_digits(None);
    if direct {
        options = options.options(SERVER_SETTINGS);
    }
    let connections = managed::Pool::builder(Connector::new(options))
        .max_size(usize::try_from(max_connections).unwrap_or(usize::MAX))
        // The one that was used last: what a quiet hour does not need grows old, and is closed.
        .queue_mode(QueueMode::Lifo)
        .timeouts(Timeouts {
            wait: Some(ACQUIRE_TIMEOUT),
            create: Some(ACQUIRE_TIMEOUT),
            recycle: None,
        })
        .runtime(Runtime::Tokio1)
        .build();
    Ok(Pool {
        connections: connections
            .map_err(|error| StoreError::Database(sqlx::Error::Configuration(error.into())))?,
        lanes: Arc::default(),
        held_steps: Arc::default(),
        hints: Arc::default(),
        clock: Arc::default(),
        waits: Arc::default(),
        rest: None,
    })
}

/// How the connections of a pool are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Connections that somebody works with.
    pub in_use: usize,
    /// Connections that nobody works with.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
}

impl Pool {
    /// How its connections are used just now.
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        let status = self.connections.status();
        PoolUsage {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// How long ago a moment of the database's clock was, as far as this process knows that clock; none if it never read it.
    #[must_use]
    pub fn since(&self, moment: DateTime<Utc>) -> Option<Duration> {
        let now = self.clock.after(Duration::ZERO)?;
        Some((now - moment).to_std().unwrap_or_default())
    }

    /// This pool, whose use is work for a process: each connection that is taken ends its rest, but those taken quietly.
    #[must_use]
    pub fn stirring(mut self, rest: Arc<Rest>) -> Self {
        self.rest = Some(rest);
        self
    }

    /// Has each wait measured from now on. Only the first who asks for it is heard.
    pub fn measure_waits(&self, observe: impl Fn(Wait, Duration) + Send + Sync + 'static) {
        self.waits.measured_by(Box::new(observe));
    }

    /// Somebody has waited since then.
    pub(crate) fn waited(&self, wait: Wait, begun: Instant) {
        self.waits.waited(wait, begun.elapsed());
    }

    /// Takes a connection, for at most as long as the pool waits for one.
    ///
    /// # Errors
    /// The database is unreachable, or all connections are in use for 4 s.
    pub async fn acquire(&self) -> Result<Pooled, StoreError> {
        if let Some(rest) = &self.rest {
            rest.stir();
        }
        self.acquire_quietly().await
    }

    /// As [`Self::acquire`], for what is no work: see [`Self::stirring`].
    ///
    /// # Errors
    /// As there.
    pub async fn acquire_quietly(&self) -> Result<Pooled, StoreError> {
        let begun = Instant::now();
        let taken = tokio::time::timeout(ACQUIRE_TIMEOUT, self.connections.get()).await;
        self.waited(Wait::Connection, begun);
        let object = match taken {
            Ok(Ok(object)) => object,
            Ok(Err(PoolError::Backend(error))) => return Err(error.into()),
            Ok(Err(PoolError::Closed)) => return Err(sqlx::Error::PoolClosed.into()),
            Ok(Err(_)) | Err(_) => return Err(sqlx::Error::PoolTimedOut.into()),
        };
        self.close_idle();
        Ok(Pooled(Some(object)))
    }

    /// Begins a transaction: rolled back when it is dropped without a commit.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut db = self.acquire().await?;
        if sqlx::raw_sql("BEGIN").execute(&mut *db).await.is_err() {
            // Nothing is done yet, so it may as well begin on a connection that is not lost.
            self.lost_one();
            drop(db);
            db = self.acquire().await?;
            sqlx::raw_sql("BEGIN").execute(&mut *db).await?;
        }
        db.link_mut().in_transaction = true;
        Ok(Transaction {
            db,
            pool: self.clone(),
            hints: Vec::new(),
        })
    }

    /// A connection of the pool turned out to be lost: those that were used before are asked before they are used again.
    pub(crate) fn lost_one(&self) {
        self.connections.manager().lost_one();
    }

    /// Makes a connection like those of the pool but outside it: for work that must not wait for a place there.
    ///
    /// # Errors
    /// The database is unreachable.
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(Connection::connect_with(self.options()).await?)
    }

    /// How the connections are made.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.connections.manager().options
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(crate) fn held_steps(&self) -> &HeldSteps {
        &self.held_steps
    }

    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    pub(crate) fn clock(&self) -> &DbClock {
        &self.clock
    }

    /// Closes all connections that are not in use, once what was to be told is told; from here on there are no more.
    pub async fn close(&self) {
        self.told().await;
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        // The server is told, so that its log does not speak of clients that were lost; but nothing waits for one that is silent.
        let closing = futures::future::join_all(idle.into_iter().map(|link| link.db.close()));
        let _ = tokio::time::timeout(CLEAN_TIMEOUT, closing).await;
    }

    fn close_idle(&self) {
        if self.connections.manager().is_time_to_close_idle() {
            self.connections
                .retain(|link, _| link.idle() < IDLE_TIMEOUT);
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool")
            .field(&self.connections.status())
            .finish()
    }
}

/// A connection of a pool, given back when it is dropped.
pub struct Pooled(Option<Object<Connector>>);

impl Pooled {
    /// Gives the connection back as it is: every answer has been waited for, and no transaction is open.
    pub fn release(mut self) {
        if let Some(object) = &mut self.0 {
            object.rest();
        }
    }

    /// Gives the connection back behind its last query: as it is, if that succeeded.
    ///
    /// # Errors
    /// Those of the query.
    pub fn done<T, E>(self, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            self.release();
        }
        result
    }

    fn link(&self) -> &Link {
        self.0.as_ref().expect("is there until it is dropped")
    }

    fn link_mut(&mut self) -> &mut Link {
        self.0.as_mut().expect("is there until it is dropped")
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.link().db
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.link_mut().work()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        if object.is_at_rest() {
            return;
        }
        // It may be lost, and then others are as well. To ask them costs little.
        if let Some(pool) = Object::pool(&object) {
            pool.manager().lost_one();
        }
        // Behind the end of the process nobody needs it clean.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clean(object));
        }
    }
}

/// Ends whatever the connection was left in the middle of; one that does not answer in time is thrown away.
async fn clean(mut object: Object<Connector>) {
    match tokio::time::timeout(CLEAN_TIMEOUT, clear(&mut object)).await {
        Ok(Ok(())) => object.rest(),
        lost => {
            if lost.is_err()
                && let Some(pool) = Object::pool(&object)
            {
                pool.manager().heard_nothing();
            }
            drop(Object::take(object));
        }
    }
}

/// Ends a transaction that was left open, also one whose BEGIN was sent and not waited for (sqlx issue 4393): what others do on
/// that connection would belong to a transaction that they know nothing of, and be lost with it.
///
/// No command is out of place on a connection that is as is known of it, so the server has nothing to warn of.
async fn clear(link: &mut Link) -> Result<(), sqlx::Error> {
    let end = match link.in_transaction {
        true => "ROLLBACK",
        false => "BEGIN; ROLLBACK",
    };
    sqlx::raw_sql(end).execute(link.work()).await?;
    Ok(())
}

/// A transaction: rolled back when it is dropped without a commit.
pub struct Transaction {
    db: Pooled,
    pool: Pool,
    hints: Vec<Hint>,
}

impl Transaction {
    /// Has other processes told once this is committed.
    pub fn tell(&mut self, hint: Hint) {
        self.hints.push(hint);
    }

    /// Commits, and has others told.
    ///
    /// # Errors
    /// The database failed: whether the transaction took effect is unknown.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let (pool, hints) = (self.pool.clone(), std::mem::take(&mut self.hints));
        let result = self.end("COMMIT").await;
        // It may have taken effect also if that is not known, and to look costs little.
        pool.tell_all(hints);
        result
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// Nothing is written in any case.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    /// Ends a transaction that only read, behind its last query. One that is dropped ends as well, but keeps its connection for longer.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn done<T, E>(self, result: Result<T, E>) -> Result<T, E> {
        if result.is_ok() {
            // What was read stays true, whatever becomes of the connection.
            let _ = self.rollback().await;
        }
        result
    }

    async fn end(mut self, how: &'static str) -> Result<(), StoreError> {
        self.db.link_mut().in_transaction = false;
        sqlx::raw_sql(how).execute(&mut *self.db).await?;
        self.db.release();
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.db
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.db
    }
}
