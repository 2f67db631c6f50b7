//! Listening for hints, over a connection that heals itself.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rest::Rest;
use crate::{Pool, StoreError, within_time};

/// Asks whether notifications arrive at all; heard by every listener, and no hint.
const ECHO: &str = "errand_echo";

/// How long a silent connection is believed before it is asked, while there is work and while there is none.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBE_AT_REST: Duration = Duration::from_secs(20);
/// How long a connection may take to answer or to be made.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it is not tried again where notifications do not arrive.
const DEAF_PAUSE: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The connection was (re)made: anything may have been missed, so look at everything.
    Connected,
    /// A notification.
    Notification {
        /// Its channel.
        channel: String,
        /// Its payload as sent.
        payload: String,
    },
}

/// Listens on `channels` until `stop`, calling `on_hint` for whatever is heard. Never fails: it reconnects for ever.
///
/// While the process sleeps it asks nothing, and a connection that is lost stays so until the process wakes: to connect again would
/// wake a database that sleeps, again and again.
pub async fn listen(
    pool: Pool,
    channels: &[&str],
    rest: &Rest,
    stop: CancellationToken,
    mut on_hint: impl FnMut(Heard),
) {
    let (mut ear, mut outage_logged) = (rest.ear(), false);
    while !stop.is_cancelled() {
        let session = async {
            let mut listener = connect(&pool, channels).await?;
            if outage_logged {
                tracing::info!("listening for notifications again");
                outage_logged = false;
            }
            on_hint(Heard::Connected);
            if hears(&pool, &mut listener, &mut on_hint).await? {
                ear.hears(true);
                return Ok::<_, StoreError>(hear(&mut listener, rest, &mut on_hint).await?);
            }
            tracing::error!(
                "notifications do not arrive, so answers are late: is DATABASE_DIRECT_URL a transaction pooler?"
            );
            // To listen on there would only hand notifications to other clients of the pooler.
            drop(listener);
            tokio::time::sleep(DEAF_PAUSE).await;
            Ok(())
        };
        tokio::select! {
            () = stop.cancelled() => return,
            result = session => {
                ear.hears(false);
                if rest.is_asleep() {
                    tracing::info!("the connection that listens for notifications is gone, and the process sleeps; it connects again when it wakes");
                } else if let Err(error) = result && !outage_logged {
                    tracing::warn!(%error, "lost the connection that listens for notifications; reconnecting");
                    outage_logged = true;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = between(rest) => {}
        }
    }
}

/// The time between two connections.
async fn between(rest: &Rest) {
    if !rest.awake().await {
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn connect(pool: &Pool, channels: &[&str]) -> Result<PgListener, sqlx::Error> {
    let connect = async {
        // A pool of its own: a dropped listener takes leave of its server first, and on a connection that has gone silent
        // that keeps the place in the pool for ever.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(pool.options().clone());
        let mut listener = PgListener::connect_with(&own).await?;
        // We reconnect ourselves, so that each reconnect is followed by a look at the rows.
        listener.eager_reconnect(false);
        listener
            .listen_all(channels.iter().copied().chain([ECHO]))
            .await?;
        Ok(listener)
    };
    tokio::time::timeout(PROBE_TIMEOUT, connect)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Whether the listener hears what another connection sends: a transaction pooler accepts LISTEN and delivers nothing, or to
/// whoever uses the server's connection just then.
async fn hears(
    pool: &Pool,
    listener: &mut PgListener,
    on_hint: &mut impl FnMut(Heard),
) -> Result<bool, StoreError> {
    let sign = Uuid::now_v7().to_string();
    let send = async {
        let mut db = pool.acquire().await?;
        sqlx::query("select pg_notify($1, $2)")
            .bind(ECHO)
            .bind(&sign)
            .execute(&mut *db)
            .await?;
        db.release();
        Ok(())
    };
    match within_time(PROBE_TIMEOUT, send).await {
        Ok(()) => {}
        // A notification that was not asked for.
        Err(StoreError::Database(sqlx::Error::Protocol(_))) => return Ok(false),
        Err(error) => return Err(error),
    }
    let echo = async {
        loop {
            let heard = listener.try_recv().await?;
            let heard = heard.ok_or(sqlx::Error::WorkerCrashed)?;
            if heard.channel() == ECHO && heard.payload() == sign {
                return Ok(true);
            }
            tell(&heard, on_hint);
        }
    };
    match tokio::time::timeout(PROBE_TIMEOUT, echo).await {
        Ok(heard) => heard,
        // Deaf, or dead?
        Err(_) => Ok(ask(listener).await.map(|()| false)?),
    }
}

/// Hears until the connection is lost. A black hole sends no reset, so a silent connection is probed.
async fn hear(
    listener: &mut PgListener,
    rest: &Rest,
    on_hint: &mut impl FnMut(Heard),
) -> Result<(), sqlx::Error> {
    loop {
        tokio::select! {
            heard = listener.try_recv() => match heard? {
                Some(heard) => tell(&heard, on_hint),
                None => return Err(sqlx::Error::WorkerCrashed),
            },
            () = rest.pause(PROBE_AFTER, PROBE_AT_REST) => ask(listener).await?,
        }
    }
}

fn tell(heard: &PgNotification, on_hint: &mut impl FnMut(Heard)) {
    if heard.channel() != ECHO {
        on_hint(Heard::Notification {
            channel: heard.channel().to_owned(),
            payload: heard.payload().to_owned(),
        });
    }
}

async fn ask(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let answer = sqlx::raw_sql("select 1").execute(&mut *listener);
    tokio::time::timeout(PROBE_TIMEOUT, answer)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map(|_| ())
}
