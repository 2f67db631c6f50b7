//! Acceptance: message, run and job commit together or not at all.

use std::time::Duration;

use errand_shared::store::{
    self, Connection, StoreError,
    admission::{self, Usage},
    conversations,
    messages::{self, NewMessage},
    outcome,
    runs::{self, NewRun},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{App, config::Limits, error::ApiError};

/// When to try again after too many active runs; how soon one ends is anybody's guess.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// A message to accept.
pub(crate) struct Message<'a> {
    /// The run that answers it.
    pub(crate) run_id: Uuid,
    pub(crate) user_id: &'a str,
    pub(crate) conversation_id: Option<Uuid>,
    pub(crate) text: &'a str,
    pub(crate) metadata: Option<&'a Value>,
    /// Refuse if the conversation has a run that is not over.
    pub(crate) reject_if_busy: bool,
    pub(crate) idempotency: Option<Idempotency<'a>>,
}

/// A client's key, and the hash of the request it came with.
#[derive(Clone, Copy)]
pub(crate) struct Idempotency<'a> {
    pub(crate) key: &'a str,
    pub(crate) request_hash: &'a [u8],
}

/// Accepts a message, or finds the run that its key already began. Returns the run.
///
/// # Errors
/// A limit, an unknown conversation, a reused key; or the database is down and nothing was accepted.
pub(crate) async fn accept(app: &App, message: &Message<'_>) -> Result<Uuid, ApiError> {
    store::within(async {
        let mut tx = store::begin(&app.db).await?;
        admission::lock_user(&mut tx, message.user_id).await?;
        if let Some(earlier) = earlier_run(&mut tx, message).await? {
            return Ok(earlier);
        }
        check_limits(
            admission::usage(&mut tx, message.user_id).await?,
            &app.limits,
        )?;
        let conversation_id = conversation(&mut tx, message).await?;
        insert(&mut tx, message, conversation_id).await?;
        admission::admit(
            &mut tx,
            message.user_id,
            i64::from(app.limits.max_ready_runs),
        )
        .await?;
        outcome::announce(&mut tx, conversation_id).await?;
        store::commit(tx).await?;
        Ok(message.run_id)
    })
    .await
}

async fn earlier_run(db: &mut Connection, message: &Message<'_>) -> Result<Option<Uuid>, ApiError> {
    let Some(idempotency) = message.idempotency else {
        return Ok(None);
    };
    match runs::find_by_key(db, message.user_id, idempotency.key).await? {
        None => Ok(None),
        Some(run) if run.request_hash.as_deref() == Some(idempotency.request_hash) => {
            Ok(Some(run.id))
        }
        Some(_) => Err(ApiError::idempotency_key_reused()),
    }
}

fn check_limits(usage: Usage, limits: &Limits) -> Result<(), ApiError> {
    let active = i64::from(limits.max_active_runs);
    if active > 0 && usage.active >= active {
        let message = format!("At most {active} messages may be under way at the same time.");
        return Err(ApiError::rate_limited(message, BUSY_PAUSE));
    }
    let rate = i64::from(limits.rate_runs_per_minute);
    if rate > 0 && usage.last_minute >= rate {
        let pause = Duration::try_from_secs_f64(usage.window_frees_in).unwrap_or(BUSY_PAUSE);
        let message = format!("At most {rate} messages may be sent in a minute.");
        return Err(ApiError::rate_limited(message, pause));
    }
    Ok(())
}

/// The conversation: proven to be the user's, or opened.
async fn conversation(db: &mut Connection, message: &Message<'_>) -> Result<Uuid, ApiError> {
    let Some(id) = message.conversation_id else {
        let id = errand_shared::ids::new();
        conversations::open(db, id, message.user_id, message.text).await?;
        return Ok(id);
    };
    if !conversations::touch(db, id, message.user_id).await? {
        return Err(ApiError::not_found("conversation"));
    }
    if message.reject_if_busy && runs::is_busy(db, message.user_id, id).await? {
        return Err(ApiError::conversation_busy());
    }
    Ok(id)
}

async fn insert(
    db: &mut Connection,
    message: &Message<'_>,
    conversation_id: Uuid,
) -> Result<(), StoreError> {
    let run = NewRun {
        id: message.run_id,
        conversation_id,
        user_id: message.user_id,
        idempotency_key: message.idempotency.map(|idempotency| idempotency.key),
        request_hash: message
            .idempotency
            .map(|idempotency| idempotency.request_hash),
    };
    runs::insert(db, run).await?;
    let text = NewMessage {
        id: errand_shared::ids::new(),
        conversation_id,
        user_id: message.user_id,
        run_id: message.run_id,
        role: "user",
        content: message.text,
        metadata: message.metadata,
        partial: false,
    };
    messages::insert(db, text).await?;
    Ok(())
}
