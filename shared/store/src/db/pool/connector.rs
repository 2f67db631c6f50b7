//! How a pool's connections are made, and which of them are believed to be alive.
//!
//! A network that swallows packets sends no reset, and the driver waits on such a connection for ever. One that was idle for a
//! while is therefore asked before it is used, and one that was used a moment ago is believed: work on it has a time-out.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use deadpool::managed::{Manager, Metrics, RecycleError};
use sqlx::{Connection as _, postgres::PgConnectOptions};

use crate::Connection;

/// How long a connection may have done nothing and still be believed.
const BELIEVED: Duration = Duration::from_millis(250);

/// How long a connection that does nothing may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// How old a connection gets: what the server keeps for it grows, and its address may have changed.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// How often connections that nobody needs are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(30);

/// Pauses between two attempts to connect to a server that is starting.
const RECONNECT_PAUSES: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(500));

/// A connection, and what is known of it.
pub(super) struct Link {
    pub(super) db: Connection,
    /// Nothing is under way on it, and no transaction open.
    at_rest: bool,
    /// A transaction was begun and has not been ended.
    pub(super) in_transaction: bool,
    used: Instant,
}

impl Link {
    /// Takes it for work: until [`Link::rest`] it is in the middle of something.
    pub(super) fn work(&mut self) -> &mut Connection {
        self.at_rest = false;
        &mut self.db
    }

    pub(super) fn rest(&mut self) {
        self.at_rest = true;
        self.in_transaction = false;
        self.used = Instant::now();
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    pub(super) fn idle(&self) -> Duration {
        self.used.elapsed()
    }
}

/// Makes connections and looks after those that are idle.
pub(super) struct Connector {
    pub(super) options: PgConnectOptions,
    /// When a connection was last found silent. Those that were idle by then share its fate and are not asked, so a pool full of dead
    /// connections costs one time-out and not one for each.
    silence: Mutex<Option<Instant>>,
    /// When work on a connection was last given up or failed: it may be lost. Those that were used before are not believed.
    loss: Mutex<Option<Instant>>,
    idle_checked: Mutex<Instant>,
}

impl Connector {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            silence: Mutex::default(),
            loss: Mutex::default(),
            idle_checked: Mutex::new(Instant::now()),
        }
    }

    /// A connection did not answer.
    pub(super) fn heard_nothing(&self) {
        *lock(&self.silence) = Some(Instant::now());
    }

    /// A connection may be lost: a server that restarts takes all of them along.
    pub(super) fn lost_one(&self) {
        *lock(&self.loss) = Some(Instant::now());
    }

    pub(super) fn is_time_to_close_idle(&self) -> bool {
        let mut checked = lock(&self.idle_checked);
        let is_time = checked.elapsed() >= IDLE_CHECK;
        if is_time {
            *checked = Instant::now();
        }
        is_time
    }

    fn was_silent_since(&self, then: Instant) -> bool {
        lock(&self.silence).is_some_and(|silent| silent > then)
    }

    fn is_believed(&self, link: &Link) -> bool {
        let lost = lock(&self.loss).is_some_and(|lost| lost > link.used);
        !lost && link.idle() < BELIEVED
    }
}

impl Manager for Connector {
    type Type = Link;
    type Error = sqlx::Error;

    /// Connects. A server that is starting is tried again, for as long as the caller waits.
    async fn create(&self) -> Result<Link, sqlx::Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(RECONNECT_PAUSES.0)
            .with_max_delay(RECONNECT_PAUSES.1)
            .without_max_times();
        // Boxed: it is large, and few acquire a connection that has to be made.
        let db = (|| Box::pin(Connection::connect_with(&self.options)))
            .retry(pauses)
            .when(is_starting)
            .await?;
        Ok(Link {
            db,
            at_rest: true,
            in_transaction: false,
            used: Instant::now(),
        })
    }

    async fn recycle(
        &self,
        link: &mut Link,
        metrics: &Metrics,
    ) -> Result<(), RecycleError<sqlx::Error>> {
        let gone = |why| Err(RecycleError::message(why));
        if !link.at_rest {
            return gone("left in the middle of something");
        }
        if metrics.age() > MAX_AGE {
            return gone("old");
        }
        if self.was_silent_since(link.used) {
            return gone("silent like others");
        }
        if self.is_believed(link) {
            return Ok(());
        }
        match tokio::time::timeout(PING_TIMEOUT, link.work().ping()).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.heard_nothing();
                return gone("silent");
            }
        }
        link.rest();
        Ok(())
    }
}

/// Whether a server that refuses just now may accept soon: nobody listens yet, it is starting, or has no connection to spare.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P03" | "53300"))
        }
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
