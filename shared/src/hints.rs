//! Hints between processes: LISTEN and NOTIFY, with a connection that heals itself.
//!
//! A hint says "look at the rows". Losing one, or all, costs latency and never an answer: whoever listens also looks
//! by itself now and then, and once after each connect.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use crate::store::Pool;

/// A run ended; the payload is its id. Sent by the transaction that ends it.
pub const RUN_ENDED: &str = "errand_run_ended";

/// Runs have new events; the payload is their ids, separated by commas, or empty: look at all.
pub const RUN_EVENTS: &str = "errand_run_events";

/// A conversation has a new run, or a run of it changed hands; the payload is the conversation's id.
pub const CONVERSATION: &str = "errand_conversation";

/// Somebody asks for a run to be cancelled; the payload is its id.
pub const CANCEL: &str = "errand_cancel";

/// A job was inserted (sent by a trigger of apalis) or given back (sent by us).
pub const JOB_READY: &str = "apalis::job::insert";

/// How long a silent connection is believed before it is asked.
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// How long a connection may take to answer or to be made.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
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
            hear(&mut listener, &mut on_hint).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            result = session => if let Err(error) = result && !outage_logged {
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
        let mut listener = PgListener::connect_with(pool).await?;
        // We reconnect ourselves, so that each reconnect is followed by a look at the rows.
        listener.eager_reconnect(false);
        listener.listen_all(channels.iter().copied()).await?;
        Ok(listener)
    };
    tokio::time::timeout(PROBE_TIMEOUT, connect)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Hears until the connection is lost. A black hole sends no reset, so a silent connection is probed.
async fn hear(
    listener: &mut PgListener,
    on_hint: &mut impl FnMut(Hint),
) -> Result<(), sqlx::Error> {
    loop {
        match tokio::time::timeout(PROBE_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(heard))) => on_hint(Hint::Heard {
                channel: heard.channel().to_owned(),
                payload: heard.payload().to_owned(),
            }),
            Ok(Ok(None)) => return Err(sqlx::Error::WorkerCrashed),
            Ok(Err(error)) => return Err(error),
            Err(_) => tokio::time::timeout(PROBE_TIMEOUT, probe(listener))
                .await
                .unwrap_or(Err(sqlx::Error::PoolTimedOut))?,
        }
    }
}

async fn probe(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("select 1")
        .execute(&mut *listener)
        .await
        .map(|_| ())
}
