//! Hints between processes: LISTEN and NOTIFY, with a connection that heals itself.
//!
//! A hint says "look at the rows". Losing one, or all, costs latency and never an answer: whoever listens also looks
//! by itself now and then, and once after each connect.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Pool, StoreError};

mod owner;
mod task_change;

pub use owner::Owner;
pub use task_change::TaskChange;

/// A run ended; the payload is its id. Sent by the transaction that ends it.
pub const RUN_ENDED: &str = "errand_run_ended";

/// Runs have new events; the payload is their ids, separated by commas, or empty: look at all.
pub const RUN_EVENTS: &str = "errand_run_events";

/// A conversation has a new run, or a run of it changed hands; the payload is the conversation's id.
pub const CONVERSATION: &str = "errand_conversation";

/// Tasks changed; the payload is these [`TaskChange`]s, separated by commas. Sent behind the commit of the change.
pub const TASKS_CHANGED: &str = "errand_tasks_changed";

/// Somebody asks for a run to be cancelled; the payload is its id.
pub const CANCEL: &str = "errand_cancel";

/// A job was inserted (sent by a trigger of apalis) or given back (sent by us).
pub const JOB_READY: &str = "apalis::job::insert";

/// Asks whether notifications arrive at all; heard by every listener, and no hint.
const ECHO: &str = "errand_echo";

/// How long a silent connection is believed before it is asked.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How long a connection may take to answer or to be made.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it is not tried again where notifications do not arrive.
const DEAF_PAUSE: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The connection was (re)made: anything may have been missed, so look at everything.
    Connected,
    /// A notification's channel and payload.
    Heard {
        /// The channel.
        channel: String,
        /// The payload as sent.
        payload: String,
    },
}

/// Listens on `channels` until `stop`, calling `on_hint` for each hint. Never fails: it reconnects for ever.
pub async fn listen(
    pool: Pool,
    channels: &[&str],
    stop: CancellationToken,
    mut on_hint: impl FnMut(Hint),
) {
    let mut outage_logged = false;
    while !stop.is_cancelled() {
        let session = async {
            let mut listener = connect(&pool, channels).await?;
            if outage_logged {
                tracing::info!("listening for notifications again");
                outage_logged = false;
            }
            on_hint(Hint::Connected);
            if hears(&pool, &mut listener, &mut on_hint).await? {
                return hear(&mut listener, &mut on_hint).await;
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
            result = session => if let Err(error) = result.map_err(StoreError::from) && !outage_logged {
                tracing::warn!(%error, "lost the connection that listens for notifications; reconnecting");
                outage_logged = true;
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
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
            .connect_lazy_with((*pool.connect_options()).clone());
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
    on_hint: &mut impl FnMut(Hint),
) -> Result<bool, sqlx::Error> {
    let sign = Uuid::now_v7().to_string();
    let send = sqlx::query("select pg_notify($1, $2)")
        .bind(ECHO)
        .bind(&sign)
        .execute(pool);
    match tokio::time::timeout(PROBE_TIMEOUT, send).await {
        Ok(Ok(_)) => {}
        // A notification that was not asked for.
        Ok(Err(sqlx::Error::Protocol(_))) => return Ok(false),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(sqlx::Error::PoolTimedOut),
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
        Err(_) => ask(listener).await.map(|()| false),
    }
}

/// Hears until the connection is lost. A black hole sends no reset, so a silent connection is probed.
async fn hear(
    listener: &mut PgListener,
    on_hint: &mut impl FnMut(Hint),
) -> Result<(), sqlx::Error> {
    loop {
        match tokio::time::timeout(PROBE_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(heard))) => tell(&heard, on_hint),
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_) => ask(listener).await?,
        }
    }
}

fn tell(heard: &PgNotification, on_hint: &mut impl FnMut(Hint)) {
    if heard.channel() != ECHO {
        on_hint(Hint::Heard {
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
