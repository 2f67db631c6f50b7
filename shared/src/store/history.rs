//! History: what was said and done in a conversation before a run, and in the run itself by earlier attempts.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::{Connection, StoreError, runs::Claimed, steps::AskedCall};

/// A step that was committed, with the results its calls have so far.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStep {
    /// Its number in the run.
    pub step: i32,
    /// The model's text.
    pub content: String,
    /// The calls, in order.
    pub calls: Vec<RecordedCall>,
}

/// A call of a committed step.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCall {
    /// As the model asked for it.
    pub asked: AskedCall,
    /// The recorded result; none if the call has not been executed.
    pub result: Option<Value>,
}

/// An earlier turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct PastTurn {
    /// What the user said.
    pub message: String,
    /// What the agent did.
    pub steps: Vec<RecordedStep>,
    /// What the agent replied; none if the run failed.
    pub reply: Option<String>,
}

/// The turns before a run, the latest first, at most `limit`.
///
/// # Errors
/// The database failed.
pub async fn before(
    db: &mut Connection,
    run: &Claimed,
    limit: i64,
) -> Result<Vec<PastTurn>, StoreError> {
    let turns = sqlx::query!(
        r#"select r.id, u.content as message, a.content as "reply?"
           from runs r
           join messages u on u.run_id = r.id and u.role = 'user'
           left join messages a on a.run_id = r.id and a.role = 'assistant'
           where r.conversation_id = $1 and r.user_id = $2 and r.position < $3 and r.finished_at is not null
           order by r.position desc
           limit $4"#,
        run.conversation_id,
        run.user_id,
        run.position,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let ids: Vec<Uuid> = turns.iter().map(|turn| turn.id).collect();
    let mut steps = steps_of(db, &run.user_id, &ids).await?;
    Ok(turns
        .into_iter()
        .map(|turn| PastTurn {
            message: turn.message,
            steps: steps.remove(&turn.id).unwrap_or_default(),
            reply: turn.reply,
        })
        .collect())
}

/// The steps that earlier attempts of the run committed.
///
/// # Errors
/// The database failed.
pub async fn of_run(db: &mut Connection, run: &Claimed) -> Result<Vec<RecordedStep>, StoreError> {
    let mut steps = steps_of(db, &run.user_id, &[run.id]).await?;
    Ok(steps.remove(&run.id).unwrap_or_default())
}

async fn steps_of(
    db: &mut Connection,
    user_id: &str,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, Vec<RecordedStep>>, StoreError> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let steps = sqlx::query!(
        "select s.run_id, s.step, s.content, s.tool_calls
         from steps s join runs r on r.id = s.run_id
         where s.run_id = any($1) and r.user_id = $2
         order by s.run_id, s.step",
        runs,
        user_id
    )
    .fetch_all(&mut *db)
    .await?;
    let mut results: HashMap<(Uuid, i32, i32), Value> = sqlx::query!(
        r#"select run_id, step, ordinal, result as "result!" from tool_calls
           where run_id = any($1) and user_id = $2 and result is not null"#,
        runs,
        user_id
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|call| ((call.run_id, call.step, call.ordinal), call.result))
    .collect();

    let mut by_run: HashMap<Uuid, Vec<RecordedStep>> = HashMap::new();
    for row in steps {
        let asked: Vec<AskedCall> = serde_json::from_value(row.tool_calls)
            .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))?;
        let calls = asked
            .into_iter()
            .zip(0..)
            .map(|(asked, ordinal)| RecordedCall {
                asked,
                result: results.remove(&(row.run_id, row.step, ordinal)),
            })
            .collect();
        by_run.entry(row.run_id).or_default().push(RecordedStep {
            step: row.step,
            content: row.content,
            calls,
        });
    }
    Ok(by_run)
}
