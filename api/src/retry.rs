//! Retries: another run goes on behind what one that failed or was cancelled has done.

use chrono_tz::Tz;
use errand_server::trace;
use errand_store::{
    self as store, UserTurn,
    lifecycle::{self, Retriable, Successor},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    App,
    accept::{AcceptedRun, Idempotency, earlier_run},
    error::{ApiError, Code},
    quota::Quota,
    spans,
};

/// A retry to accept.
pub(crate) struct Retry<'a> {
    pub(crate) user_id: &'a str,
    /// The run that did not come to its end.
    pub(crate) run_id: Uuid,
    /// The run that is to go on.
    pub(crate) child: Uuid,
    /// The client's name for this retry.
    pub(crate) key: Option<&'a str>,
    /// Where the user is, if the client says so.
    pub(crate) time_zone: Option<Tz>,
}

/// Accepts a retry, or finds the run that its key has started before. It counts as a message does.
///
/// # Errors
/// The user has no such run, it cannot be retried, a limit, a reused key; or the database is down.
pub(crate) async fn retry(app: &App, wanted: &Retry<'_>) -> Result<AcceptedRun, ApiError> {
    let _span = spans::accepting(wanted.child);
    spans::of_run(wanted.child);
    let turn = app.users.enter(wanted.user_id).await?;
    match store::within(write(app, &turn, wanted)).await {
        // If the first try took effect after all, the second finds the run under the same id.
        Err(error) if error.is_unavailable() => store::within(write(app, &turn, wanted)).await,
        result => result,
    }
}

async fn write(
    app: &App,
    turn: &UserTurn<'_>,
    wanted: &Retry<'_>,
) -> Result<AcceptedRun, ApiError> {
    let request_hash = wanted.hash();
    let idempotency = wanted.key.map(|key| Idempotency {
        key,
        request_hash: &request_hash,
    });
    let mut tx = turn.lock().await?;
    if let Some(earlier) = earlier_run(&mut tx, wanted.user_id, idempotency).await? {
        return Ok(earlier);
    }
    let conversation_id = match lifecycle::retriable(&mut tx, wanted.user_id, wanted.run_id).await?
    {
        Retriable::Yes { conversation_id } => conversation_id,
        Retriable::Continued {
            run_id,
            conversation_id,
        } if run_id == wanted.child => {
            return Ok(AcceptedRun {
                run_id,
                conversation_id,
                quota: None,
            });
        }
        Retriable::Continued { .. } => {
            return Err(conflict("Another run has gone on from this one already."));
        }
        Retriable::NotStopped => {
            return Err(conflict(
                "Only a run that failed or was cancelled can be retried.",
            ));
        }
        Retriable::Unknown => return Err(ApiError::not_found("run")),
    };
    let usage = lifecycle::usage(&mut tx, wanted.user_id, app.limits.bounds()).await?;
    let quota = Quota::take(&usage, &app.limits)?;
    let traceparent = trace::current().map(|trace| trace.traceparent());
    let successor = Successor {
        id: wanted.child,
        parent_run_id: wanted.run_id,
        idempotency_key: wanted.key,
        request_hash: idempotency.map(|idempotency| idempotency.request_hash),
        time_zone: wanted.time_zone.map(Tz::name),
        traceparent: traceparent.as_deref(),
    };
    let max_ready = i64::from(app.limits.max_ready_runs);
    lifecycle::retry(
        &mut tx,
        wanted.user_id,
        conversation_id,
        successor,
        max_ready,
    )
    .await
    .map_err(|error| match error.constraint() {
        // A run id that the client made and that is taken, by whomever.
        Some("runs_pkey") => ApiError::idempotency_key_reused(),
        _ => error.into(),
    })?;
    store::commit(tx).await?;
    Ok(AcceptedRun {
        run_id: wanted.child,
        conversation_id,
        quota: Some(quota),
    })
}

fn conflict(message: &str) -> ApiError {
    ApiError::conflict(Code::InvalidRequest, message)
}

impl Retry<'_> {
    /// What makes two requests under one key the same; no message has this hash.
    fn hash(&self) -> Vec<u8> {
        Sha256::new()
            .chain_update("retry of ")
            .chain_update(self.run_id)
            .finalize()
            .to_vec()
    }
}
