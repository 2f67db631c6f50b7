//! Runs as they are read: by their owners, by whoever waits for one, by streams.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{RunStatus, tool_call::ToolCall};
use crate::{
    Connection, StoreError, UserTurn,
    db::lane::{self, Answers, Lane, Lanes, Transition},
};

/// A run with its reply, as its owner sees it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// Where it is.
    pub status: RunStatus,
    /// How often a worker has taken it.
    pub attempt: i32,
    /// The reply's message, once there is one.
    pub message_id: Option<Uuid>,
    /// The reply's text.
    pub response: Option<String>,
    /// Why it failed: a stable code.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// Tokens the model read.
    pub input_tokens: i64,
    /// Of these, tokens from the provider's prompt cache.
    pub cached_input_tokens: i64,
    /// Tokens the model wrote.
    pub output_tokens: i64,
    /// Of these, tokens of reasoning that nobody is shown.
    pub reasoning_tokens: i64,
    /// Answers of the model.
    pub model_calls: i32,
    /// Some of the tokens are an estimate: the provider did not report them.
    pub usage_estimated: bool,
    /// Why the model stopped before the end of its reply: `length` or `content_filter`.
    pub cut_short: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The run that goes on from it: after a decision, or as a retry.
    pub continued_by: Option<Uuid>,
}

/// The user's run; none if its conversation is deleted.
pub async fn find(db: &mut Connection, user_id: &str, id: Uuid) -> Result<Option<Run>, StoreError> {
    Ok(sqlx::query_as!(
        Run,
        r#"select r.id, r.conversation_id, r.status as "status: RunStatus", r.attempt,
                  m.id as "message_id?", m.content as "response?",
                  r.error_code, r.error_message, r.input_tokens, r.cached_input_tokens, r.output_tokens, r.reasoning_tokens, r.model_calls,
                  r.usage_estimated, r.cut_short,
                  r.created_at, r.started_at, r.finished_at,
                  (select c.id from runs c where c.parent_run_id = r.id and c.user_id = r.user_id) as continued_by
           from runs r
           join conversations v on v.id = r.conversation_id and v.deleted_at is null
           left join messages m on m.run_id = r.id and m.user_id = r.user_id and m.role = 'assistant'
           where r.id = $1 and r.user_id = $2"#,
        id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// The user's run and its tool calls in order, in one round trip, as `run_view` has it and together with others; none if its conversation is
/// deleted.
pub async fn read(
    turn: &UserTurn<'_>,
    user_id: &str,
    id: Uuid,
) -> Result<Option<(Run, Vec<ToolCall>)>, StoreError> {
    let row = Row {
        user_id,
        run_id: id,
    };
    match lane::make::<Read>(turn.pool(), &row).await {
        // The connection was lost since its last use, and others may not be.
        Err(error) if error.is_of_unknown_outcome() => lane::make::<Read>(turn.pool(), &row).await,
        read => read,
    }
}

/// A row of `run_views`.
#[derive(Serialize)]
struct Row<'a> {
    user_id: &'a str,
    run_id: Uuid,
}

/// Looks at many runs, as `run_views` has it.
pub(in super::super) struct Read;

impl Transition for Read {
    type Answer = Option<(Run, Vec<ToolCall>)>;

    /// Reading waits for no lock, patient or not.
    async fn send(
        db: &mut Connection,
        rows: &str,
        _: bool,
    ) -> Result<Answers<Self::Answer>, StoreError> {
        let rows = sqlx::query!(
            r#"select place as "place!", run_id as "run_id!", conversation_id as "conversation_id!", status as "status!: RunStatus", attempt as "attempt!",
                      message_id, response, error_code, error_message, input_tokens as "input_tokens!",
                      cached_input_tokens as "cached_input_tokens!", output_tokens as "output_tokens!", reasoning_tokens as "reasoning_tokens!", model_calls as "model_calls!",
                      usage_estimated as "usage_estimated!", cut_short, created_at as "created_at!", started_at, finished_at, continued_by,
                      tool_names as "tool_names!", tool_parameters as "tool_parameters!", tool_results as "tool_results!",
                      tool_times as "tool_times!"
               from run_views($1::text::jsonb)"#,
            rows
        )
        .fetch_all(db)
        .await?;
        let read = rows.into_iter().map(|row| {
            let calls = (row.tool_names.into_iter())
                .zip(row.tool_parameters)
                .zip(row.tool_results)
                .zip(row.tool_times)
                .map(|(((tool_name, parameters), result), created_at)| {
                    ToolCall::read(tool_name, parameters, result, created_at)
                });
            let run = Run {
                id: row.run_id,
                conversation_id: row.conversation_id,
                status: row.status,
                attempt: row.attempt,
                message_id: row.message_id,
                response: row.response,
                error_code: row.error_code,
                error_message: row.error_message,
                input_tokens: row.input_tokens,
                cached_input_tokens: row.cached_input_tokens,
                output_tokens: row.output_tokens,
                reasoning_tokens: row.reasoning_tokens,
                model_calls: row.model_calls,
                usage_estimated: row.usage_estimated,
                cut_short: row.cut_short,
                created_at: row.created_at,
                started_at: row.started_at,
                finished_at: row.finished_at,
                continued_by: row.continued_by,
            };
            (row.place, Some(Some((run, calls.collect()))))
        });
        Ok(read.collect())
    }

    /// The user has no such run.
    fn unsaid() -> Option<Self::Answer> {
        Some(None)
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.read
    }
}

/// Which of these runs are over, or wait for a decision. For a process that waits on behalf of their owners, who were checked before.
pub async fn ended(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs where id = any($1) and (finished_at is not null or is_waiting)",
        ids
    )
    .fetch_all(db)
    .await?)
}

/// A run as streams follow it.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The run.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// Where it is.
    pub status: RunStatus,
    /// How often a worker has taken it.
    pub attempt: i32,
    /// Its place in the order of acceptance.
    pub position: i64,
    /// The seq of its last event, 0 if it has none.
    pub last_seq: i64,
}

/// The runs of a user's conversation that a stream has to deliver: those that are not over, or, with `since`, that run and
/// all later ones. In order, at most `limit`. Empty with `since` if the conversation has no such run.
pub async fn to_follow(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    since: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Followed>, StoreError> {
    Ok(sqlx::query_as!(
        Followed,
        r#"select r.id, r.conversation_id, r.status as "status: RunStatus", r.attempt, r.position,
                  coalesce((select max(e.seq) from run_events e where e.run_id = r.id), 0) as "last_seq!"
           from runs r
           where r.conversation_id = $1 and r.user_id = $2
             and case when $3::uuid is null then r.finished_at is null
                 else r.position >= (select position from runs where id = $3 and conversation_id = $1) end
           order by r.position
           limit $4"#,
        conversation_id,
        user_id,
        since,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The runs of these conversations behind a known place, in the order of acceptance and at most `limit` of each conversation; and of each the
/// run that is at work or in the job queue, if that stands before the place. For a process that streams on behalf of their owners, who were
/// checked before.
///
/// The limit is that of each, so that none waits for another's; each side is one descent of an index, however long a conversation is.
pub async fn news(
    db: &mut Connection,
    conversations: &[Uuid],
    positions: &[i64],
    limit: i64,
) -> Result<Vec<Followed>, StoreError> {
    Ok(sqlx::query_as!(
        Followed,
        r#"select r.id as "id!", r.conversation_id as "conversation_id!", r.status as "status!: RunStatus", r.attempt as "attempt!",
                  r.position as "position!",
                  coalesce((select max(e.seq) from run_events e where e.run_id = r.id), 0) as "last_seq!"
           from unnest($1::uuid[], $2::bigint[]) as w (conversation_id, position)
           cross join lateral (
               (select n.id, n.conversation_id, n.status, n.attempt, n.position from runs n
                where n.conversation_id = w.conversation_id and n.position > w.position
                order by n.position
                limit $3)
               union all
               (select n.id, n.conversation_id, n.status, n.attempt, n.position from runs n
                where n.conversation_id = w.conversation_id and n.position <= w.position
                  and n.admitted_at is not null and is_active(n)
                limit 1)
           ) r
           order by r.conversation_id, r.position"#,
        conversations,
        positions,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Which runs of a conversation there are, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The last one's place; 0 if there is none.
    pub last: i64,
    /// The place of the first that is not over; none if all are.
    pub first_open: Option<i64>,
}

/// The places of a conversation's runs.
pub async fn span(db: &mut Connection, conversation_id: Uuid) -> Result<Span, StoreError> {
    Ok(sqlx::query_as!(
        Span,
        r#"select coalesce((select max(position) from runs where conversation_id = $1), 0) as "last!",
                  (select min(position) from runs r
                   where conversation_id = $1 and is_active(r)) as first_open"#,
        conversation_id
    )
    .fetch_one(db)
    .await?)
}

/// The run that is at work in a conversation, or in the queue for it.
pub async fn at_work(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs r
         where conversation_id = $1 and user_id = $2 and admitted_at is not null and is_active(r)
         order by position limit 1",
        conversation_id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}

/// Which of these runs somebody has asked to cancel. For the worker that has them.
pub async fn to_cancel(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs where id = any($1) and cancel_requested_at is not null and finished_at is null",
        ids
    )
    .fetch_all(db)
    .await?)
}
