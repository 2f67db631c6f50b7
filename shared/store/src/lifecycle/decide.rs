//! A run that waits is decided about: it is over, and a run of its own goes on from it.

use std::collections::HashMap;

use errand_core::{
    RunStatus,
    hints::Hint,
    ids::CallKey,
    pending::{Effect, PendingCall, Subject},
};
use uuid::Uuid;

use super::{
    super::{Connection, StoreError, Transaction},
    accept::{self, Successor},
    admit,
};

/// Asks for approval of these calls, as part of the transaction that puts their run to `waiting`.
pub(super) async fn ask(
    db: &mut Connection,
    user_id: &str,
    pending: &[PendingCall],
) -> Result<(), StoreError> {
    for call in pending {
        let effect = call.effect.as_ref();
        let task = effect.and_then(|effect| effect.task.as_ref());
        let changes = effect.and_then(|effect| serde_json::to_value(&effect.changes).ok());
        sqlx::query!(
            "insert into approvals (run_id, step, ordinal, user_id, tool_name, parameters, task_id, task_title, changes)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            call.key.run_id,
            call.key.step,
            call.key.ordinal,
            user_id,
            call.tool_name,
            call.parameters,
            task.map(|task| task.id),
            task.map(|task| task.title.as_str()),
            changes
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// The calls of a run that nobody has decided about, in order.
pub async fn pending(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
) -> Result<Vec<PendingCall>, StoreError> {
    let rows = sqlx::query!(
        "select step, ordinal, tool_name, parameters, task_id, task_title, changes from approvals
         where run_id = $1 and user_id = $2 and approved is null
         order by step, ordinal",
        run_id,
        user_id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| PendingCall {
            key: CallKey {
                run_id,
                step: row.step,
                ordinal: row.ordinal,
            },
            tool_name: row.tool_name,
            parameters: row.parameters,
            effect: row.changes.map(|changes| Effect {
                task: row
                    .task_id
                    .zip(row.task_title)
                    .map(|(id, title)| Subject { id, title }),
                changes: serde_json::from_value(changes).unwrap_or_default(),
            }),
        })
        .collect())
}

/// What a user decided: the same for every call of the run, or for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All are approved, or all rejected.
    All(bool),
    /// By the call's key as text.
    Each(HashMap<String, bool>),
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// This run goes on; the same decision has started it before, perhaps.
    Run {
        /// The run.
        run_id: Uuid,
        /// Its conversation.
        conversation_id: Uuid,
        /// The calls and what was decided about each; empty if the decision was made before.
        calls: Vec<(PendingCall, bool)>,
    },
    /// The user has no such run.
    Unknown,
    /// The run does not wait, or was decided otherwise.
    NotWaiting,
    /// The decision leaves calls out, or names others.
    Incomplete,
}

/// Decides about the calls of a waiting run: the run is over, and `child` goes on from its recorded steps. As part of the
/// caller's transaction, which holds the user's lock.
///
/// # Errors
/// The child's id is taken (`runs_pkey`).
pub async fn decide(
    tx: &mut Transaction,
    user_id: &str,
    decision: &Decision,
    child: Successor<'_>,
    max_ready: i64,
) -> Result<Decided, StoreError> {
    let run_id = child.parent_run_id;
    let Some(run) = sqlx::query!(
        r#"select r.conversation_id, r.status as "status: RunStatus" from runs r join conversations v on v.id = r.conversation_id and v.deleted_at is null
         where r.id = $1 and r.user_id = $2
         for update of r"#,
        run_id,
        user_id
    )
    .fetch_optional(&mut **tx)
    .await?
    else {
        return Ok(Decided::Unknown);
    };
    let conversation_id = run.conversation_id;
    if run.status != RunStatus::AwaitingApproval {
        return Ok(repeated(tx, user_id, run_id, decision).await?.map_or(
            Decided::NotWaiting,
            |run_id| Decided::Run {
                run_id,
                conversation_id,
                calls: Vec::new(),
            },
        ));
    }
    let pending = pending(tx, user_id, run_id).await?;
    let Some(answers) = answers(decision, &pending) else {
        return Ok(Decided::Incomplete);
    };
    go_on(tx, user_id, child).await?;
    for (call, approved) in pending.iter().zip(&answers) {
        sqlx::query!(
            "update approvals set approved = $4, decided_at = clock_timestamp(), decision_run_id = $5
             where run_id = $1 and step = $2 and ordinal = $3",
            run_id,
            call.key.step,
            call.key.ordinal,
            approved,
            child.id
        )
        .execute(&mut **tx)
        .await?;
    }
    admit::admit(tx, user_id, conversation_id, max_ready).await?;
    tx.tell(Hint::Conversation(conversation_id));
    Ok(Decided::Run {
        run_id: child.id,
        conversation_id,
        calls: pending.into_iter().zip(answers).collect(),
    })
}

/// One answer for each call; none if the decision does not fit.
fn answers(decision: &Decision, pending: &[PendingCall]) -> Option<Vec<bool>> {
    match decision {
        Decision::All(approved) => Some(vec![*approved; pending.len()]),
        Decision::Each(each) if each.len() == pending.len() => pending
            .iter()
            .map(|call| each.get(&call.key.to_string()).copied())
            .collect(),
        Decision::Each(_) => None,
    }
}

/// The run that this very decision has started before.
async fn repeated(
    db: &mut Connection,
    user_id: &str,
    run_id: Uuid,
    decision: &Decision,
) -> Result<Option<Uuid>, StoreError> {
    let rows = sqlx::query!(
        r#"select step, ordinal, approved as "approved!", decision_run_id as "decision_run_id!" from approvals
           where run_id = $1 and user_id = $2 and approved is not null
           order by step, ordinal"#,
        run_id,
        user_id
    )
    .fetch_all(db)
    .await?;
    let is_same = match decision {
        Decision::All(approved) => rows.iter().all(|row| row.approved == *approved),
        Decision::Each(each) => {
            each.len() == rows.len()
                && rows.iter().all(|row| {
                    let (step, ordinal) = (row.step, row.ordinal);
                    let key = CallKey {
                        run_id,
                        step,
                        ordinal,
                    };
                    each.get(&key.to_string()) == Some(&row.approved)
                })
        }
    };
    Ok(rows
        .first()
        .filter(|_| is_same)
        .map(|row| row.decision_run_id))
}

/// Ends the run that waited and accepts the one that goes on, with the step whose calls are now decided as its first.
async fn go_on(db: &mut Connection, user_id: &str, child: Successor<'_>) -> Result<(), StoreError> {
    let run_id = child.parent_run_id;
    sqlx::query!(
        "update runs set status = 'completed', finished_at = clock_timestamp() where id = $1",
        run_id
    )
    .execute(&mut *db)
    .await?;
    accept::accept_successor(db, user_id, child).await?;
    // Its tokens are the other run's.
    sqlx::query!(
        "insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, model, extra)
         select $2, step, 0, content, tool_calls, finish_reason, model, extra from steps
         where run_id = $1
         order by step desc
         limit 1",
        run_id,
        child.id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was decided about the calls that a run goes on with, by step and ordinal.
pub async fn decisions(
    db: &mut Connection,
    user_id: &str,
    child: Uuid,
) -> Result<HashMap<(i32, i32), bool>, StoreError> {
    let rows = sqlx::query!(
        r#"select step, ordinal, approved as "approved!" from approvals
           where decision_run_id = $1 and user_id = $2"#,
        child,
        user_id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.step, row.ordinal), row.approved))
        .collect())
}
