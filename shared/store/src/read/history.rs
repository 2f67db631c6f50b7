//! History: what was said and done in a conversation before a run, and in the run itself by earlier attempts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use errand_core::{RunStatus, calendar::Moment};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Connection, StoreError,
    lifecycle::{self, Claimed, NewStep, RequestedCall},
};

/// Bytes of a turn's steps that are kept a second time, with its reply. Few turns have more: a list of fifty tasks has some 15,000.
const MAX_KEPT: usize = 64 * 1024;

/// A step that was committed, with the results its calls have so far.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStep {
    /// The run that executes its calls: the run itself, or an earlier one of the turn, which has done so.
    pub run_id: Uuid,
    /// The run that told of its calls: another if they had to wait for a decision.
    pub told_by: Uuid,
    /// Its number in the run.
    pub step: i32,
    /// The model's text.
    pub content: String,
    /// The calls, in order.
    pub calls: Vec<RecordedCall>,
    /// The model that gave the answer, if it is known.
    pub model: Option<String>,
    /// Fields of the message that are the provider's own.
    pub extra: Map<String, Value>,
}

/// A call of a committed step.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCall {
    /// As the model asked for it.
    pub asked: RequestedCall,
    /// The recorded result; none if the call has not been executed.
    pub result: Option<Value>,
    /// What the user decided about it; none if it needs no approval.
    pub approved: Option<bool>,
}

/// What a conversation said before a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Turns that no summary stands for, the latest first.
    pub turns: Vec<PastTurn>,
    /// What stands for those before them.
    pub before: Before,
}

/// What stands for the turns that are not shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Before {
    /// The place of the last of them; none if there are none.
    pub covers_to: Option<i64>,
    /// What they said, in short, as a model has written it.
    pub content: Option<String>,
    /// A summary that reaches further and is not in force: it is to be written, or could not be.
    pub next: Option<NextSummary>,
}

/// A summary that is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct NextSummary {
    /// Its own id.
    pub id: Uuid,
    /// The place of the last turn that it is to stand for.
    pub covers_to: i64,
    /// What became of it.
    pub status: SummaryStatus,
    /// How often it was begun.
    pub attempt: i32,
}

/// What became of a summary that is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SummaryStatus {
    /// It waits for a worker.
    Queued,
    /// It is being written.
    Running,
    /// It could not be written.
    Failed,
    /// The conversation went on.
    Cancelled,
}

/// An earlier turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct PastTurn {
    /// Its place in the order of acceptance.
    pub position: i64,
    /// What the user said.
    pub message: String,
    /// When, by the user's clock.
    pub said: Moment,
    /// What the agent did.
    pub steps: Vec<RecordedStep>,
    /// What the agent replied; none if it did not come to that.
    pub reply: Option<String>,
    /// How it ended.
    pub end: TurnEnd,
}

/// How an earlier turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a reply.
    Completed,
    /// It failed; what its tool calls did stays.
    Failed,
    /// It was cancelled; the reply, if there is one, is what had been said until then.
    Cancelled,
    /// It waits for the user's decision, or has not gone on since.
    Waits,
}

/// What was said before a run: of the turns that are over or wait for a decision the latest, at most `limit`.
pub async fn before(db: &mut Connection, run: &Claimed, limit: i64) -> Result<History, StoreError> {
    at(db, &run.user_id, run.conversation_id, run.position, limit).await
}

/// What a conversation of the user said before this place in its order; of the turns the latest, at most `limit`.
pub async fn at(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    position: i64,
    limit: i64,
) -> Result<History, StoreError> {
    let written = sqlx::query_scalar!(
        r#"select run_history($1, $2, $3, $4)::text as "turns!""#,
        user_id,
        conversation_id,
        position,
        limit
    )
    .fetch_one(db)
    .await?;
    read(&written)
}

/// Reads what `run_history` returns.
///
/// # Errors
/// It is something else.
pub(crate) fn read(written: &str) -> Result<History, StoreError> {
    // The error that serde has would repeat what was said.
    let mut turns: Vec<WrittenTurn> =
        serde_json::from_str(written).map_err(|_| malformed("malformed history"))?;
    let before = turns.first_mut().and_then(|latest| latest.before.take());
    Ok(History {
        turns: turns.into_iter().map(PastTurn::from).collect(),
        before: before.unwrap_or_default(),
    })
}

/// The steps of a turn that comes to its reply, as `run_history` returns them again; `last` is the reply. None if they are too large to be kept
/// twice, or have something that JSON cannot say in Postgres: then they are put together from where they are.
pub(crate) fn written(steps: &[RecordedStep], run: &Claimed, last: &NewStep<'_>) -> Option<String> {
    let last = KeptStep {
        run_id: run.id,
        told_by: run.id,
        step: last.step,
        content: last.content,
        calls: Vec::new(),
        model: Some(last.model),
        extra: Some(last.extra).filter(|extra| !extra.is_empty()),
        results: Vec::new(),
    };
    let steps: Vec<_> = steps.iter().map(KeptStep::from).chain([last]).collect();
    let text = serde_json::to_string(&steps).ok()?;
    (text.len() <= MAX_KEPT && !text.contains("\\u0000")).then_some(text)
}

fn malformed(what: &'static str) -> StoreError {
    StoreError::Database(sqlx::Error::Decode(what.into()))
}

#[derive(Deserialize)]
struct WrittenTurn {
    position: i64,
    before: Option<Before>,
    said_at: DateTime<Utc>,
    said_in: Option<String>,
    message: String,
    reply: Option<String>,
    status: RunStatus,
    steps: Vec<WrittenStep>,
}

#[derive(Deserialize)]
struct WrittenStep {
    run_id: Uuid,
    told_by: Uuid,
    step: i32,
    content: String,
    calls: Vec<RequestedCall>,
    model: Option<String>,
    extra: Option<Map<String, Value>>,
    results: Option<Vec<(usize, Value)>>,
}

/// A step on its way to where [`WrittenStep`] comes from.
#[derive(Serialize)]
struct KeptStep<'a> {
    run_id: Uuid,
    told_by: Uuid,
    step: i32,
    content: &'a str,
    calls: Vec<&'a RequestedCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<(usize, &'a Value)>,
}

impl<'a> From<&'a RecordedStep> for KeptStep<'a> {
    fn from(step: &'a RecordedStep) -> Self {
        let results = step.calls.iter().enumerate();
        Self {
            run_id: step.run_id,
            told_by: step.told_by,
            step: step.step,
            content: &step.content,
            model: step.model.as_deref(),
            extra: Some(&step.extra).filter(|extra| !extra.is_empty()),
            results: results
                .filter_map(|(ordinal, call)| Some((ordinal, call.result.as_ref()?)))
                .collect(),
            calls: step.calls.iter().map(|call| &call.asked).collect(),
        }
    }
}

impl From<WrittenTurn> for PastTurn {
    fn from(turn: WrittenTurn) -> Self {
        Self {
            position: turn.position,
            message: turn.message,
            said: Moment::new(turn.said_at, turn.said_in.as_deref()),
            steps: turn.steps.into_iter().map(RecordedStep::from).collect(),
            reply: turn.reply,
            end: match turn.status {
                RunStatus::Completed => TurnEnd::Completed,
                RunStatus::Failed => TurnEnd::Failed,
                RunStatus::Cancelled => TurnEnd::Cancelled,
                RunStatus::Queued | RunStatus::Running | RunStatus::AwaitingApproval => {
                    TurnEnd::Waits
                }
            },
        }
    }
}

impl From<WrittenStep> for RecordedStep {
    fn from(step: WrittenStep) -> Self {
        let mut results: HashMap<usize, Value> =
            step.results.unwrap_or_default().into_iter().collect();
        let calls = step.calls.into_iter().enumerate();
        Self {
            run_id: step.run_id,
            told_by: step.told_by,
            step: step.step,
            content: step.content,
            calls: calls
                .map(|(ordinal, asked)| RecordedCall {
                    asked,
                    result: results.remove(&ordinal),
                    approved: None,
                })
                .collect(),
            model: step.model,
            extra: step.extra.unwrap_or_default(),
        }
    }
}

/// The steps that the turn has so far: those of earlier attempts, and of earlier runs if a decision started this one.
pub async fn of_run(db: &mut Connection, run: &Claimed) -> Result<Vec<RecordedStep>, StoreError> {
    let mut turns = steps_of(db, &run.user_id, &[run.root_run_id]).await?;
    let mut steps = turns.remove(&run.root_run_id).unwrap_or_default();
    if run.root_run_id != run.id {
        let decisions = lifecycle::decisions(db, &run.user_id, run.id).await?;
        for step in steps.iter_mut().filter(|step| step.run_id == run.id) {
            for (call, ordinal) in step.calls.iter_mut().zip(0..) {
                call.approved = decisions.get(&(step.step, ordinal)).copied();
            }
        }
    }
    Ok(steps)
}

/// The steps of these turns, each turn named by its first run. A step whose calls had to wait is there twice: in the run that
/// waited, and in the one that executes them; the latter counts.
async fn steps_of(
    db: &mut Connection,
    user_id: &str,
    roots: &[Uuid],
) -> Result<HashMap<Uuid, Vec<RecordedStep>>, StoreError> {
    if roots.is_empty() {
        return Ok(HashMap::new());
    }
    let steps = sqlx::query!(
        r#"select distinct on (coalesce(r.root_run_id, r.id), s.step)
                  coalesce(r.root_run_id, r.id) as "root!", s.run_id, s.step, s.content, s.tool_calls,
                  s.model, s.extra,
                  case when s.attempt = 0 then coalesce(r.parent_run_id, r.id) else r.id end as "told_by!"
           from runs r join steps s on s.run_id = r.id
           where (r.id = any($1) or r.root_run_id = any($1)) and r.user_id = $2
           order by coalesce(r.root_run_id, r.id), s.step, r.position desc"#,
        roots,
        user_id
    )
    .fetch_all(&mut *db)
    .await?;
    let runs: Vec<Uuid> = steps.iter().map(|step| step.run_id).collect();
    let mut results: HashMap<(Uuid, i32, i32), Value> = sqlx::query!(
        r#"select run_id, step, ordinal, result as "result!" from tool_calls
           where run_id = any($1) and user_id = $2 and result is not null"#,
        &runs,
        user_id
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|call| ((call.run_id, call.step, call.ordinal), call.result))
    .collect();

    let mut by_turn: HashMap<Uuid, Vec<RecordedStep>> = HashMap::new();
    for row in steps {
        // The error that serde has would repeat the row.
        let asked: Vec<RequestedCall> = serde_json::from_value(row.tool_calls).map_err(|_| {
            StoreError::Database(sqlx::Error::Decode("malformed steps.tool_calls".into()))
        })?;
        let calls = asked
            .into_iter()
            .zip(0..)
            .map(|(asked, ordinal)| RecordedCall {
                asked,
                result: results.remove(&(row.run_id, row.step, ordinal)),
                approved: None,
            })
            .collect();
        by_turn.entry(row.root).or_default().push(RecordedStep {
            run_id: row.run_id,
            told_by: row.told_by,
            step: row.step,
            content: row.content,
            calls,
            model: row.model,
            extra: match row.extra {
                Some(Value::Object(extra)) => extra,
                _ => Map::new(),
            },
        });
    }
    Ok(by_turn)
}
