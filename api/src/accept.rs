//! Acceptance: message, run and job commit together or not at all.

use std::time::Instant;

use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use errand_core::faults;
use errand_server::trace;
use errand_store::{
    self as store, Connection, StoreError, UserTurn, WriteError,
    lifecycle::{self, Acceptance, NewRun},
    read::conversations,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{App, error::ApiError, quota::Quota, spans};

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
pub(crate) struct AcceptedRun {
    pub(crate) run_id: Uuid,
    pub(crate) conversation_id: Uuid,
    /// What the user may still ask for, if it was looked up.
    pub(crate) quota: Option<Quota>,
}

impl AcceptedRun {
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
pub(crate) async fn accept(app: &App, message: &Message<'_>) -> Result<AcceptedRun, ApiError> {
    app.policy.check_message(message.text)?;
    let begun = Instant::now();
    let mut span = spans::accepting(message.run_id);
    spans::of_run(message.run_id);
    let accepted = accept_in_turn(app, message).await;
    match &accepted {
        Ok(_) => app.metrics.stage("accept", begun.elapsed()),
        Err(error) if error.is_unavailable() => span.fail("unavailable"),
        Err(_) => span.set("errand.refused", true),
    }
    accepted
}

async fn accept_in_turn(app: &App, message: &Message<'_>) -> Result<AcceptedRun, ApiError> {
    let turn = app.users.enter(message.user_id).await?;
    faults::point("accept.begin");
    let mut attempt = Attempt {
        message_id: errand_core::ids::new_id(),
        is_second: false,
        is_lost: false,
    };
    let first = store::within(write(app, &turn, message, &mut attempt)).await;
    match (first, message.on_busy) {
        (Err(error), on_busy) if attempt.is_lost && error.is_unavailable() => {
            tracing::warn!(run = %message.run_id, "the outcome of an acceptance is unknown");
            match on_busy {
                OnBusy::Interrupt => find_out(&turn, message).await,
                // What was sent may still be on its way to the server. The same message is accepted once, by whichever try comes first.
                OnBusy::Enqueue | OnBusy::Reject => {
                    attempt.is_second = true;
                    store::within(write(app, &turn, message, &mut attempt)).await
                }
            }
        }
        (result, _) => result,
    }
}

/// One try to accept a message.
struct Attempt {
    /// The same for each try.
    message_id: Uuid,
    is_second: bool,
    /// If this ends without an answer, it may have taken effect.
    is_lost: bool,
}

async fn write(
    app: &App,
    turn: &UserTurn<'_>,
    message: &Message<'_>,
    attempt: &mut Attempt,
) -> Result<AcceptedRun, ApiError> {
    let opened = errand_core::ids::new_id();
    let (conversation_id, new_conversation_id, thread_name) = match message.thread {
        Thread::New => (None, Some(opened), None),
        Thread::Existing(id) => (Some(id), None, None),
        Thread::Own(id) => (Some(id), Some(id), None),
        Thread::Named(name) => (None, Some(opened), Some(name)),
    };
    let traceparent = trace::current().map(|trace| trace.traceparent());
    let new = NewRun {
        id: message.run_id,
        user_id: message.user_id,
        conversation_id,
        new_conversation_id,
        thread_name,
        message_id: attempt.message_id,
        is_second_try: attempt.is_second,
        text: message.text,
        metadata: message.metadata,
        time_zone: message.time_zone.map(Tz::name),
        idempotency_key: message.idempotency.map(|idempotency| idempotency.key),
        request_hash: message
            .idempotency
            .map(|idempotency| idempotency.request_hash),
        rejects_busy: message.on_busy == OnBusy::Reject,
        traceparent: traceparent.as_deref(),
    };
    faults::point("accept.before-commit");
    let acceptance = match message.on_busy {
        OnBusy::Interrupt => interrupt(app, turn, message, &new, attempt).await?,
        OnBusy::Enqueue | OnBusy::Reject => {
            attempt.is_lost = true;
            let accepted = lifecycle::accept(turn, &new, app.limits.of_acceptance()).await;
            accepted.map_err(|error| {
                attempt.is_lost = error.is_of_unknown_outcome();
                refused(error)
            })?
        }
    };
    let accepted = outcome(app, message, acceptance)?;
    faults::point("accept.committed");
    Ok(accepted)
}

/// Accepts a message, and has what is at work in its conversation cancelled: both, or neither.
async fn interrupt(
    app: &App,
    turn: &UserTurn<'_>,
    message: &Message<'_>,
    new: &NewRun<'_>,
    attempt: &mut Attempt,
) -> Result<Acceptance, ApiError> {
    let limits = app.limits.of_acceptance();
    let user_id = message.user_id;
    let mut tx = turn.lock().await?;
    let interrupted = match message.thread {
        Thread::New => None,
        Thread::Existing(id) | Thread::Own(id) => Some(id),
        Thread::Named(name) => conversations::by_thread_name(&mut tx, user_id, name).await?,
    };
    let interrupted = match interrupted {
        Some(id) => lifecycle::at_work(&mut tx, user_id, id).await?,
        None => None,
    };
    let is_repeated = match message.idempotency {
        Some(idempotency) => lifecycle::find_by_key(&mut tx, user_id, idempotency.key).await?,
        None => None,
    };
    if let (Some(run_id), None) = (interrupted, is_repeated) {
        lifecycle::cancel(&mut tx, user_id, run_id, limits.max_ready)
            .await
            .map_err(unfenced)?;
    }
    let acceptance = lifecycle::accept_within(&mut tx, new, limits).await;
    let acceptance = acceptance.map_err(refused)?;
    if let Acceptance::Accepted { .. } = acceptance {
        attempt.is_lost = true;
        store::commit(tx).await?;
    }
    Ok(acceptance)
}

fn refused(error: StoreError) -> ApiError {
    match error.constraint() {
        // A run id that the client made and that is taken, by whomever.
        Some("runs_pkey") => ApiError::idempotency_key_reused(),
        _ => error.into(),
    }
}

/// What the client is told.
fn outcome(
    app: &App,
    message: &Message<'_>,
    acceptance: Acceptance,
) -> Result<AcceptedRun, ApiError> {
    match acceptance {
        Acceptance::Accepted {
            conversation_id,
            usage,
        } => Ok(AcceptedRun {
            run_id: message.run_id,
            conversation_id,
            quota: Some(Quota::take(&usage, &app.limits)?),
        }),
        Acceptance::Repeated {
            run_id,
            conversation_id,
        } => Ok(AcceptedRun {
            run_id,
            conversation_id,
            quota: None,
        }),
        Acceptance::KeyReused => Err(ApiError::idempotency_key_reused()),
        // The same bounds, and which of them it was.
        Acceptance::Limited(usage) => Err(Quota::take(&usage, &app.limits)
            .err()
            .map_or_else(ApiError::internal, ApiError::from)),
        Acceptance::UnknownConversation => Err(ApiError::not_found("conversation")),
        Acceptance::Busy => Err(ApiError::conversation_busy()),
    }
}

/// The answer to the commit was lost, so the rows have to tell. The server may still be committing: the user's lock is free
/// only when that transaction is over, and what is read then stays true.
async fn find_out(turn: &UserTurn<'_>, message: &Message<'_>) -> Result<AcceptedRun, ApiError> {
    let found = store::within(async {
        let mut tx = turn.lock().await?;
        lifecycle::find(&mut tx, message.user_id, message.run_id).await
    });
    match found.await? {
        Some(run) => Ok(AcceptedRun {
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
/// It came with another request.
pub(crate) async fn earlier_run(
    db: &mut Connection,
    user_id: &str,
    idempotency: Option<Idempotency<'_>>,
) -> Result<Option<AcceptedRun>, ApiError> {
    let Some(idempotency) = idempotency else {
        return Ok(None);
    };
    match lifecycle::find_by_key(db, user_id, idempotency.key).await? {
        None => Ok(None),
        Some(run) if run.request_hash.as_deref() == Some(idempotency.request_hash) => {
            Ok(Some(AcceptedRun {
                run_id: run.id,
                conversation_id: run.conversation_id,
                quota: None,
            }))
        }
        Some(_) => Err(ApiError::idempotency_key_reused()),
    }
}

/// A cancel is not fenced: it asks, and the row's lock decides.
pub(crate) fn unfenced(error: WriteError) -> ApiError {
    match error {
        WriteError::Store(error) => error.into(),
        WriteError::Fenced => ApiError::internal(),
    }
}
