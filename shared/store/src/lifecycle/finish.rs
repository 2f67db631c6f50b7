//! A run ends, or waits for a decision, in one fenced transaction.

use errand_core::{
    events::{Event, Usage},
    faults,
    hints::Hint,
};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    RunStatus, admit,
    claim::{self, Claimed},
    complete::complete,
    decide,
    ending::{Ending, Outcome},
    read,
    step::{self},
};
use crate::{
    Connection, StoreError, Transaction, UserTurn, WriteError, events,
    queue::jobs,
    read::{
        messages::{self, NewMessage},
        usage::Tokens,
    },
};

/// Ends a run, or lets it wait: last step, reply, events, status, job and the admission of the next run commit together, then waiters
/// get a hint. The turn is that of the run's owner.
///
/// # Errors
/// [`WriteError::Fenced`]: another attempt owns the run, nothing was written. The database failed: whether the
/// transaction committed is unknown, and doing it again is safe, because a run that ended is fenced.
pub async fn finish(
    turn: &UserTurn<'_>,
    run: &Claimed,
    ending: &Ending<'_>,
    max_ready: i64,
) -> Result<(), WriteError> {
    if let Outcome::Completed { reply, cut_short } = ending.outcome {
        return complete(turn, run, ending, reply, *cut_short, max_ready).await;
    }
    // The same order of locks as acceptance: the user, then the run.
    let mut tx = turn.lock().await?;
    claim::lock_for_finish(&mut tx, run.id, run.attempt).await?;
    if let Some(step) = ending.step.clone() {
        step::insert(&mut tx, run, step).await?;
    }
    let mut events = ending.events.to_vec();
    let outcome = match ending.outcome {
        Outcome::AwaitingApproval(_) if is_to_cancel(&mut tx, run.id).await? => {
            events.pop();
            events.push(CANCELLED.event(run.conversation_id, run.id));
            &CANCELLED
        }
        outcome => outcome,
    };
    let took = end(&mut tx, run.id, outcome, ending.cut_off, Some(ending.model)).await?;
    if let Some(last) = events.last_mut() {
        last.set_usage(took);
    }
    if let Outcome::AwaitingApproval(pending) = outcome {
        decide::ask(&mut tx, &run.user_id, pending).await?;
    }
    if let Some((content, partial)) = outcome.reply() {
        let reply = NewMessage {
            id: ending.message_id,
            conversation_id: run.conversation_id,
            user_id: &run.user_id,
            run_id: run.id,
            role: "assistant",
            content,
            metadata: None,
            partial,
        };
        messages::insert(&mut tx, reply).await?;
    }
    let (first_seq, events) = match outcome {
        Outcome::Failed { .. } | Outcome::Cancelled { .. } => {
            behind_the_last(&mut tx, run, ending.first_seq, events).await?
        }
        Outcome::Completed { .. } | Outcome::AwaitingApproval(_) => (ending.first_seq, events),
    };
    events::write(&mut tx, run.id, first_seq, &events).await?;
    after_end(
        &mut tx,
        &run.user_id,
        run.conversation_id,
        run.id,
        max_ready,
    )
    .await?;
    faults::point("finish.before-commit");
    tx.commit().await?;
    faults::point("finish.committed");
    Ok(())
}

/// The last events of a run, at a place that follows what the store has.
///
/// A cancel or a time-out may have cut the commit of a step off. Its events had their places and are lost, which nobody has
/// noticed: they were to appear with that commit. The end takes their first place then, and closes what they would have
/// closed. The caller has locked the run's row, so that a commit that did take effect is seen here.
async fn behind_the_last(
    db: &mut Connection,
    run: &Claimed,
    first_seq: i64,
    mut events: Vec<Event>,
) -> Result<(i64, Vec<Event>), StoreError> {
    let (last, mut behind) = closing(db, run.id, run.conversation_id, run.parent_run_id).await?;
    if last + 1 == first_seq {
        return Ok((first_seq, events));
    }
    behind.extend(events.pop());
    Ok((last + 1, behind))
}

/// The seq of the last event in the store, and what closes a run that ends behind it, but for the terminal event.
pub(super) async fn closing(
    db: &mut Connection,
    run_id: Uuid,
    conversation_id: Uuid,
    parent_run_id: Option<Uuid>,
) -> Result<(i64, Vec<Event>), StoreError> {
    let (last, mut open) = events::state(db, run_id).await?;
    let mut closing = open.close();
    if !open.started {
        closing.push(Event::run_started(conversation_id, run_id, parent_run_id));
    }
    Ok((last, closing))
}

/// A cancel without a word of a reply.
pub(super) const CANCELLED: Outcome = Outcome::Cancelled {
    partial: String::new(),
};

/// Whether a cancel was asked for that the run's worker has not heard of. A run at its end is past that; one that is about to
/// wait would wait in spite of it, and nobody would act on it any more.
async fn is_to_cancel(db: &mut Connection, run_id: Uuid) -> Result<bool, StoreError> {
    Ok(!read::to_cancel(db, &[run_id]).await?.is_empty())
}

/// The end of the run in its own row, and the user's tokens of the day, as `run_end` has it; those who wait are told. Returns what the run
/// took, by `model` as far as this attempt knows.
pub(super) async fn end(
    tx: &mut Transaction,
    run_id: Uuid,
    outcome: &Outcome,
    cut_off: Tokens,
    model: Option<&str>,
) -> Result<Usage, StoreError> {
    let cut_short = match outcome {
        Outcome::Completed { cut_short, .. } => *cut_short,
        _ => None,
    };
    let (status, code, message) = match outcome {
        Outcome::Completed { .. } => (RunStatus::Completed, None, None),
        Outcome::Failed { code, message } => {
            (RunStatus::Failed, Some(*code), Some(message.as_str()))
        }
        Outcome::Cancelled { .. } => (
            RunStatus::Cancelled,
            Some("cancelled"),
            Some("The run was cancelled."),
        ),
        Outcome::AwaitingApproval(_) => (RunStatus::AwaitingApproval, None, None),
    };
    let took = sqlx::query_scalar!(
        r#"select run_end($1, $2, $3, $4, $5, $6, $7, $8, $9) as "took!: Json<Usage>""#,
        run_id,
        status.name(),
        code,
        message,
        cut_short,
        cut_off.input,
        cut_off.output,
        cut_off.is_estimate,
        model
    )
    .fetch_one(&mut **tx)
    .await?;
    tx.tell(Hint::RunEnded(run_id));
    Ok(took.0)
}

/// What follows the end of a run, in the same transaction: its job is done, the next may start.
pub(super) async fn after_end(
    tx: &mut Transaction,
    user_id: &str,
    conversation_id: Uuid,
    run_id: Uuid,
    max_ready: i64,
) -> Result<(), StoreError> {
    jobs::forget(tx, run_id).await?;
    admit::admit(tx, user_id, conversation_id, max_ready).await?;
    Ok(())
}
