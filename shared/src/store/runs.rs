//! Runs: accepted by the API, claimed and fenced by workers, read by whoever waits. How one ends is in `outcome`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, StoreError, WriteError, settings};
use crate::{faults, hints::CONVERSATION};

/// A run to accept.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: Uuid,
    /// The conversation it belongs to.
    pub conversation_id: Uuid,
    /// The owner of the conversation.
    pub user_id: &'a str,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of the request, kept with the key.
    pub request_hash: Option<&'a [u8]>,
    /// Where the user writes from, if the client says so: a name that was checked.
    pub time_zone: Option<&'a str>,
}

/// Accepts a run as `queued`, and tells whoever streams its conversation. The caller holds the user's lock and inserts the
/// message in the same transaction. The zone is remembered for the user; without one the run has the one that is remembered.
///
/// # Errors
/// The database failed; the key is taken (`runs_idempotency_key_key`).
pub async fn insert(db: &mut Connection, run: NewRun<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "with known as (
             select time_zone from user_settings where user_id = $3
         ),
         remembered as (
             insert into user_settings as s (user_id, time_zone)
             select $3, $7 where $7::text is not null and $7 is distinct from (select time_zone from known)
             on conflict (user_id) do update set time_zone = excluded.time_zone, updated_at = clock_timestamp()
         ),
         accepted as (
             insert into runs (id, conversation_id, user_id, idempotency_key, request_hash, time_zone)
             values ($1, $2, $3, $4, $5, coalesce($7, (select time_zone from known)))
         )
         select pg_notify($6, $2::uuid::text)",
        run.id,
        run.conversation_id,
        run.user_id,
        run.idempotency_key,
        run.request_hash,
        CONVERSATION,
        run.time_zone
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A run that goes on from another one, which is over.
#[derive(Debug, Clone, Copy)]
pub struct Successor<'a> {
    /// Its id.
    pub id: Uuid,
    /// The run that it goes on from.
    pub parent_run_id: Uuid,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of the request, kept with the key.
    pub request_hash: Option<&'a [u8]>,
    /// As for a new run.
    pub time_zone: Option<&'a str>,
}

/// Accepts a run that goes on from another of the user, in the same conversation and turn. The caller holds the user's lock.
/// Zones are as for a new run.
///
/// # Errors
/// The database failed; the id or the key is taken, or another run has gone on from there (`runs_continued_once`).
pub async fn insert_successor(
    db: &mut Connection,
    user_id: &str,
    run: Successor<'_>,
) -> Result<(), StoreError> {
    if let Some(zone) = run.time_zone {
        settings::remember_zone(db, user_id, zone).await?;
    }
    sqlx::query!(
        "insert into runs (id, conversation_id, user_id, parent_run_id, root_run_id, idempotency_key, request_hash, time_zone)
         select $3, conversation_id, user_id, id, coalesce(root_run_id, id), $4, $5,
                (select time_zone from user_settings where user_id = $2)
         from runs where id = $1 and user_id = $2",
        run.parent_run_id,
        user_id,
        run.id,
        run.idempotency_key,
        run.request_hash
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A run found by its idempotency key.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// The run.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// The hash of the request it came with.
    pub request_hash: Option<Vec<u8>>,
}

/// The user's run with this idempotency key.
///
/// # Errors
/// The database failed.
pub async fn find_by_key(
    db: &mut Connection,
    user_id: &str,
    key: &str,
) -> Result<Option<Keyed>, StoreError> {
    Ok(sqlx::query_as!(
        Keyed,
        "select id, conversation_id, request_hash from runs where user_id = $1 and idempotency_key = $2",
        user_id,
        key
    )
    .fetch_optional(db)
    .await?)
}

/// Whether a conversation has a run that is not over.
///
/// # Errors
/// The database failed.
pub async fn is_busy(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select 1 from runs where conversation_id = $1 and user_id = $2 and finished_at is null and status <> 'waiting'
           ) as "busy!""#,
        conversation_id,
        user_id
    )
    .fetch_one(db)
    .await?)
}

/// A run with its reply, as its owner sees it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// `queued`, `running`, `waiting`, `completed`, `failed` or `cancelled`.
    pub status: String,
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
///
/// # Errors
/// The database failed.
pub async fn find(db: &mut Connection, user_id: &str, id: Uuid) -> Result<Option<Run>, StoreError> {
    Ok(sqlx::query_as!(
        Run,
        r#"select r.id, r.conversation_id, r.status, r.attempt,
                  m.id as "message_id?", m.content as "response?",
                  r.error_code, r.error_message, r.input_tokens, r.cached_input_tokens, r.output_tokens, r.model_calls,
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

/// Which of these runs are over, or wait for a decision. For a process that waits on behalf of their owners, who were checked before.
///
/// # Errors
/// The database failed.
pub async fn ended(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs where id = any($1) and (finished_at is not null or status = 'waiting')",
        ids
    )
    .fetch_all(db)
    .await?)
}

/// A run that a worker has claimed: it may write for it as this attempt.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The run.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// The attempt that the claim began: the fence of every write.
    pub attempt: i32,
    /// Attempts that were lost or failed before this one.
    pub lost_attempts: i32,
    /// The run whose message it answers: itself, or, for one that goes on from another, the first of the turn.
    pub root_run_id: Uuid,
    /// The run that it goes on from: one that waited for a decision, or failed, or was cancelled.
    pub parent_run_id: Option<Uuid>,
    /// The run that it goes on from was interrupted: it failed, or was cancelled.
    pub is_retry: bool,
    /// The root's place in the order of acceptance.
    pub position: i64,
    /// The user's message.
    pub message: String,
    /// When the message was accepted.
    pub said_at: DateTime<Utc>,
    /// The user's zone then, if it was known.
    pub said_in: Option<String>,
    /// When the run itself was accepted: the same, unless it goes on from another.
    pub created_at: DateTime<Utc>,
    /// The user's zone then.
    pub time_zone: Option<String>,
    /// Somebody has asked for it to be cancelled.
    pub cancel_requested: bool,
    /// The client has asked for a title of the conversation that the message begins.
    pub wants_title: bool,
}

/// Begins a new attempt at a run, if it is not over and this worker still holds its job.
///
/// From here on every earlier attempt is fenced off: its next write finds another attempt number and changes nothing.
///
/// # Errors
/// The database failed.
pub async fn claim(
    db: &mut Connection,
    id: Uuid,
    worker: &str,
) -> Result<Option<Claimed>, StoreError> {
    Ok(sqlx::query_as!(
        Claimed,
        r#"with job as (
             update apalis.jobs set status = 'Running'
             where id = $2 and lock_by = $3 and status in ('Queued', 'Running')
             returning id
         )
         update runs r
         set status = 'running', attempt = r.attempt + 1, started_at = coalesce(r.started_at, clock_timestamp())
         from messages m, runs root
         where r.id = $1 and r.status in ('queued', 'running') and r.admitted_at is not null
           and root.id = coalesce(r.root_run_id, r.id) and m.run_id = root.id and m.role = 'user'
           and exists (select 1 from job)
         returning r.id, r.conversation_id, r.user_id, r.attempt, r.attempt - 1 - r.handbacks as "lost_attempts!",
                   root.id as root_run_id, r.parent_run_id, root.position, m.content as message,
                   root.created_at as said_at, root.time_zone as said_in, r.created_at, r.time_zone,
                   exists (
                       select 1 from runs p where p.id = r.parent_run_id and p.status in ('failed', 'cancelled')
                   ) as "is_retry!",
                   r.cancel_requested_at is not null as "cancel_requested!",
                   coalesce(m.metadata -> 'auto_title' = 'true'::jsonb, false) as "wants_title!""#,
        id,
        crate::jobs::job_id(id),
        worker
    )
    .fetch_optional(db)
    .await?)
}

/// Begins what an attempt writes for its run: proves that it still owns the run, keeps it so until the transaction ends (a
/// claim has to wait), and acts for the run's owner from here on.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the database failed.
pub async fn enter(
    db: &mut Connection,
    id: Uuid,
    user_id: &str,
    attempt: i32,
) -> Result<(), WriteError> {
    let is_fenced = !faults::is_mutated(faults::NO_FENCE);
    sqlx::query!(
        "select act_for($2) from runs
         where id = $1 and user_id = $2 and (not $4 or (attempt = $3 and status = 'running'))
         for share",
        id,
        user_id,
        attempt,
        is_fenced
    )
    .fetch_optional(db)
    .await?
    .map(|_| ())
    .ok_or(WriteError::Fenced)
}

/// As [`enter`], in a transaction that acts for the owner already and ends the run: it waits for whatever is still being
/// written for the run, so that nothing is dated, counted or committed behind the end.
///
/// # Errors
/// [`WriteError::Fenced`] if the run is over or another attempt has it; the database failed.
pub async fn fence(db: &mut Connection, id: Uuid, attempt: i32) -> Result<(), WriteError> {
    if faults::is_mutated(faults::NO_FENCE) {
        return Ok(());
    }
    sqlx::query_scalar!(
        "select 1 from runs where id = $1 and attempt = $2 and status = 'running' for no key update",
        id,
        attempt
    )
    .fetch_optional(db)
    .await?
    .map(|_| ())
    .ok_or(WriteError::Fenced)
}

/// Which of these runs somebody has asked to cancel. For the worker that has them.
///
/// # Errors
/// The database failed.
pub async fn to_cancel(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs where id = any($1) and cancel_requested_at is not null and finished_at is null",
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
    /// Its status.
    pub status: String,
    /// How often a worker has taken it.
    pub attempt: i32,
    /// Its place in the order of acceptance.
    pub position: i64,
    /// The seq of its last event, 0 if it has none.
    pub last_seq: i64,
}

/// The runs of a user's conversation that a stream has to deliver: those that are not over, or, with `since`, that run and
/// all later ones. In order, at most `limit`. Empty with `since` if the conversation has no such run.
///
/// # Errors
/// The database failed.
pub async fn to_follow(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
    since: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Followed>, StoreError> {
    Ok(sqlx::query_as!(
        Followed,
        r#"select r.id, r.conversation_id, r.status, r.attempt, r.position,
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
///
/// # Errors
/// The database failed.
pub async fn news(
    db: &mut Connection,
    conversations: &[Uuid],
    positions: &[i64],
    limit: i64,
) -> Result<Vec<Followed>, StoreError> {
    Ok(sqlx::query_as!(
        Followed,
        r#"select r.id as "id!", r.conversation_id as "conversation_id!", r.status as "status!", r.attempt as "attempt!",
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
                  and n.admitted_at is not null and n.finished_at is null and n.status <> 'waiting'
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
///
/// # Errors
/// The database failed.
pub async fn span(db: &mut Connection, conversation_id: Uuid) -> Result<Span, StoreError> {
    Ok(sqlx::query_as!(
        Span,
        r#"select coalesce((select max(position) from runs where conversation_id = $1), 0) as "last!",
                  (select min(position) from runs
                   where conversation_id = $1 and finished_at is null and status <> 'waiting') as first_open"#,
        conversation_id
    )
    .fetch_one(db)
    .await?)
}

/// The run that is at work in a conversation, or in the queue for it.
///
/// # Errors
/// The database failed.
pub async fn at_work(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from runs
         where conversation_id = $1 and user_id = $2 and finished_at is null and admitted_at is not null
           and status <> 'waiting'
         order by position limit 1",
        conversation_id,
        user_id
    )
    .fetch_optional(db)
    .await?)
}
