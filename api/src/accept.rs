//! Acceptance: message, run and job commit together or not at all.

use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use errand_shared::{
    faults,
    store::{
        self, Connection, StoreError, Transaction, UserTurn, WriteError, conversations,
        lifecycle::{self, NewRun},
        messages::{self, NewMessage},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{App, error::ApiError, quota::Quota};

/// A message to accept.
pub(crate) struct Message<'a> {
    /// The run that answers it.
    pub(crate) run_id: Uuid,
    pub(crate) user_id: &'a str,
    pub(crate) thread: Thread<'a>,
    pub(crate) text: &'a str,
    pub(crate) metadata: Option<&'a Value>,
    /// Where the user writes from, if the client says so.
    pub(crate) time_zone: Option<Tz>,
    pub(crate) on_busy: OnBusy,
    pub(crate) idempotency: Option<Idempotency<'a>>,
}

/// Which conversation is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Thread<'a> {
    /// One that is to be opened.
    New,
    /// One that there is.
    Existing(Uuid),
    /// One by an id that the client has made: opened if there is none.
    Own(Uuid),
    /// The user's own by this name, 1 to 128 characters: opened if there is none.
    Named(&'a str),
}

/// What to do if the conversation has a run that is not over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnBusy {
    /// Wait in line.
    #[default]
    Enqueue,
    /// Answer 409.
    Reject,
    /// Cancel the one that is at work.
    Interrupt,
}

/// A client's key, and the hash of the request it came with.
#[derive(Clone, Copy)]
pub(crate) struct Idempotency<'a> {
    pub(crate) key: &'a str,
    pub(crate) request_hash: &'a [u8],
}

/// A run that is as good as its commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) run_id: Uuid,
    pub(crate) conversation_id: Uuid,
    /// What the user may still ask for, if it was looked up.
    pub(crate) quota: Option<Quota>,
}

impl Accepted {
    /// Adds to an answer, be it an error, what the user may still ask for.
    pub(crate) fn tell_quota(&self, answer: Result<Response, ApiError>) -> Response {
        let mut response = answer.into_response();
        if let Some(quota) = &self.quota {
            quota.write(response.headers_mut());
        }
        response
    }
}

/// Accepts a message, or finds the run that its key already began.
///
/// # Errors
/// A limit, an unknown conversation, a reused key; or the database is down and nothing is known to be accepted.
pub(crate) async fn accept(app: &App, message: &Message<'_>) -> Result<Accepted, ApiError> {
    let turn = app.users.enter(message.user_id).await?;
    faults::point("accept.begin");
    let mut committing = false;
    match store::within(write(app, &turn, message, &mut committing)).await {
        Err(error) if committing && error.is_unavailable() => find_out(&turn, message).await,
        result => result,
    }
}

async fn write(
    app: &App,
    turn: &UserTurn<'_>,
    message: &Message<'_>,
    committing: &mut bool,
) -> Result<Accepted, ApiError> {
    let mut tx = turn.lock().await?;
    if let Some(earlier) = earlier_run(&mut tx, message.user_id, message.idempotency).await? {
        return Ok(earlier);
    }
    let usage = lifecycle::usage(&mut tx, message.user_id, app.limits.bounds()).await?;
    let quota = Quota::take(&usage, &app.limits)?;
    let conversation_id = conversation(&mut tx, app, message).await?;
    insert(&mut tx, message, conversation_id)
        .await
        .map_err(|error| match error.constraint() {
            // A run id that the client made and that is taken, by whomever.
            Some("runs_pkey") => ApiError::idempotency_key_reused(),
            _ => error.into(),
        })?;
    lifecycle::admit(
        &mut tx,
        message.user_id,
        conversation_id,
        i64::from(app.limits.max_ready_runs),
    )
    .await?;
    faults::point("accept.before-commit");
    *committing = true;
    store::commit(tx).await?;
    faults::point("accept.committed");
    Ok(Accepted {
        run_id: message.run_id,
        conversation_id,
        quota: Some(quota),
    })
}

/// The answer to the commit was lost, so the rows have to tell. The server may still be committing: the user's lock is free
/// only when that transaction is over, and what is read then stays true.
async fn find_out(turn: &UserTurn<'_>, message: &Message<'_>) -> Result<Accepted, ApiError> {
    tracing::warn!(run = %message.run_id, "the outcome of an acceptance is unknown; looking for the run");
    let found = store::within(async {
        let mut tx = turn.lock().await?;
        lifecycle::find(&mut tx, message.user_id, message.run_id).await
    });
    match found.await? {
        Some(run) => Ok(Accepted {
            run_id: run.id,
            conversation_id: run.conversation_id,
            quota: None,
        }),
        None => Err(ApiError::unavailable(
            "The database was not available; the message was not accepted.",
        )),
    }
}

/// The run that this key has begun before, if there is a key.
///
/// # Errors
/// It came with another request; the database failed.
pub(crate) async fn earlier_run(
    db: &mut Connection,
    user_id: &str,
    idempotency: Option<Idempotency<'_>>,
) -> Result<Option<Accepted>, ApiError> {
    let Some(idempotency) = idempotency else {
        return Ok(None);
    };
    match lifecycle::find_by_key(db, user_id, idempotency.key).await? {
        None => Ok(None),
        Some(run) if run.request_hash.as_deref() == Some(idempotency.request_hash) => {
            Ok(Some(Accepted {
                run_id: run.id,
                conversation_id: run.conversation_id,
                quota: None,
            }))
        }
        Some(_) => Err(ApiError::idempotency_key_reused()),
    }
}

/// The conversation: proven to be the user's, or opened.
async fn conversation(
    tx: &mut Transaction,
    app: &App,
    message: &Message<'_>,
) -> Result<Uuid, ApiError> {
    let user_id = message.user_id;
    let open = async |db: &mut Connection, id: Uuid, name: Option<&str>| {
        conversations::open(db, id, user_id, name, message.text).await
    };
    let id = match message.thread {
        Thread::New => None,
        Thread::Existing(id) | Thread::Own(id) => Some(id),
        Thread::Named(name) => conversations::by_thread_name(tx, user_id, name).await?,
    };
    let Some(id) = id else {
        let id = errand_shared::ids::new_id();
        let name = match message.thread {
            Thread::Named(name) => Some(name),
            Thread::New | Thread::Existing(_) | Thread::Own(_) => None,
        };
        open(tx, id, name).await?;
        return Ok(id);
    };
    if !conversations::touch(tx, id, user_id).await? {
        let Thread::Own(_) = message.thread else {
            return Err(ApiError::not_found("conversation"));
        };
        return match open(tx, id, None).await {
            Ok(()) => Ok(id),
            // Another user's: for this one there is none.
            Err(error) if error.constraint().is_some() => Err(ApiError::not_found("conversation")),
            Err(error) => Err(error.into()),
        };
    }
    match message.on_busy {
        OnBusy::Enqueue => {}
        OnBusy::Reject if lifecycle::is_busy(tx, message.user_id, id).await? => {
            return Err(ApiError::conversation_busy());
        }
        OnBusy::Reject => {}
        OnBusy::Interrupt => {
            if let Some(run_id) = lifecycle::at_work(tx, message.user_id, id).await? {
                let max_ready = i64::from(app.limits.max_ready_runs);
                lifecycle::cancel(tx, message.user_id, run_id, max_ready)
                    .await
                    .map_err(unfenced)?;
            }
        }
    }
    Ok(id)
}

/// A cancel is not fenced: it asks, and the row's lock decides.
pub(crate) fn unfenced(error: WriteError) -> ApiError {
    match error {
        WriteError::Store(error) => error.into(),
        WriteError::Fenced => ApiError::internal(),
    }
}

async fn insert(
    tx: &mut Transaction,
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
        time_zone: message.time_zone.map(Tz::name),
    };
    lifecycle::accept(tx, run).await?;
    let text = NewMessage {
        id: errand_shared::ids::new_id(),
        conversation_id,
        user_id: message.user_id,
        run_id: message.run_id,
        role: "user",
        content: message.text,
        metadata: message.metadata,
        partial: false,
    };
    messages::insert(tx, text).await?;
    Ok(())
}
