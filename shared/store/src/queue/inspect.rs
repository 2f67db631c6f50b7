//! What an operator looks at: who has what at work, what failed lately and why, and the story of one run. For all users, and without a word
//! of what anybody said.

use chrono::{DateTime, Utc};
use errand_core::RunStatus;
use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, StoreError};

/// A run at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AtWork {
    /// The run.
    pub run_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// Which attempt it is.
    pub attempt: i32,
    /// The worker that has it.
    pub worker: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When that worker was heard of last.
    pub heard: DateTime<Utc>,
}

/// Runs at work, those first that have been so for the longest time; at most `limit`.
pub async fn at_work(db: &mut Connection, limit: i64) -> Result<Vec<AtWork>, StoreError> {
    Ok(sqlx::query_as!(
        AtWork,
        r#"select r.id as run_id, r.user_id, r.attempt, w.id as worker, j.lock_at as "since!", w.last_seen as heard
           from apalis.jobs j
           join apalis.workers w on w.id = j.lock_by
           join runs r on r.id = run_of_job(j.id)
           where j.lock_by is not null and j.status in ('Running', 'Queued') and j.lock_at is not null
           order by j.lock_at
           limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A run that waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The run.
    pub run_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// Attempts so far.
    pub attempt: i32,
    /// Since when a worker could take it.
    pub since: DateTime<Utc>,
}

/// Runs that a worker could take now, in the order in which they are taken; at most `limit`.
///
/// # Errors
/// The database failed.
pub async fn ready(db: &mut Connection, limit: i64) -> Result<Vec<Ready>, StoreError> {
    Ok(sqlx::query_as!(
        Ready,
        r#"select r.id as run_id, r.user_id, r.attempt, j.run_at as since
           from (select id, run_at, priority from apalis.jobs
                 where job_type = 'errand.run' and (status = 'Pending' or (status = 'Failed' and attempts < max_attempts)) and run_at <= now()
                 order by priority desc, run_at
                 limit $1) j
           join runs r on r.id = run_of_job(j.id)
           order by j.priority desc, j.run_at"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A worker that was heard of lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Its name: another one for each start of a process.
    pub worker: String,
    /// Runs that it can have at work.
    pub slots: i64,
    /// Runs that it has.
    pub busy: i64,
    /// When it was heard of last.
    pub heard: DateTime<Utc>,
    /// Since when it is to take no more; none if it takes runs.
    pub draining_since: Option<DateTime<Utc>>,
    /// Who wanted that.
    pub draining_by: Option<String>,
}

/// Workers that were heard of in the last ten minutes and have not ended in good order, by name; at most `limit`. One that says nothing for a
/// lease is dead, and what it had is with others by then.
///
/// # Errors
/// The database failed.
pub async fn workers(db: &mut Connection, limit: i64) -> Result<Vec<Heard>, StoreError> {
    Ok(sqlx::query_as!(
        Heard,
        r#"select w.id as worker, coalesce(substring(w.layers from '^slots=(\d{1,6})$')::bigint, 0) as "slots!", w.last_seen as heard,
                  (select count(*) from apalis.jobs j where j.lock_by = w.id and j.status in ('Running', 'Queued') and j.job_type = 'errand.run') as "busy!",
                  d.since as "draining_since?", d.asked_by as "draining_by?"
           from apalis.workers w left join worker_drains d on d.worker = w.id
           where w.worker_type = 'errand.run' and w.last_seen > now() - interval '10 minutes' and w.layers <> 'slots=0'
           order by w.id
           limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// How often runs failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The code of the error.
    pub code: String,
    /// How many runs.
    pub runs: i64,
    /// The last of them.
    pub last_run_id: Uuid,
}

/// What made runs fail in the last so many hours, the most frequent first. No more than the last 10,000 runs that ended are looked at.
pub async fn causes(db: &mut Connection, hours: i32) -> Result<Vec<Cause>, StoreError> {
    Ok(sqlx::query_as!(
        Cause,
        r#"select coalesce(error_code, 'unknown') as "code!", count(*) as "runs!", (array_agg(id order by finished_at desc))[1] as "last_run_id!"
           from (select id, status, error_code, finished_at from runs
                 where finished_at > now() - make_interval(hours => $1)
                 order by finished_at desc
                 limit 10000) ended
           where status = 'failed'
           group by 1
           order by 2 desc, 1"#,
        hours
    )
    .fetch_all(db)
    .await?)
}

/// What became of a run so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The run.
    pub run_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// Where it is.
    pub status: RunStatus,
    /// How often a worker has taken it.
    pub attempt: i32,
    /// How often one has given it back without failing.
    pub given_back: i32,
    /// Why it failed: a stable code.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// The run that it goes on from.
    pub parent_run_id: Option<Uuid>,
    /// The run that goes on from it.
    pub continued_by: Option<Uuid>,
    /// Events that are kept.
    pub events: i64,
    /// The worker that has it.
    pub worker: Option<String>,
    /// What happened, in order.
    pub happened: Vec<Happened>,
}

/// One thing that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// When.
    pub at: DateTime<Utc>,
    /// What: `accepted`, `admitted`, `started`, `step`, `tool_call` or `ended`.
    pub what: String,
    /// Which one, and how it was: the model and its tokens, or the tool and how long it took.
    pub detail: String,
}

/// A run's story; none if there is no such run. Of tools those names are told that are `known`: a model may make up any.
pub async fn story(
    db: &mut Connection,
    run_id: Uuid,
    known: &[String],
) -> Result<Option<Story>, StoreError> {
    let run = sqlx::query!(
        r#"select r.user_id, r.conversation_id, r.status as "status: RunStatus", r.attempt, r.handbacks, r.error_code, r.error_message,
                  r.input_tokens, r.output_tokens, r.parent_run_id,
                  (select c.id from runs c where c.parent_run_id = r.id) as continued_by,
                  (select count(*) from run_events e where e.run_id = r.id) as "events!",
                  (select j.lock_by from apalis.jobs j where j.id = job_of_run(r.id)) as worker
           from runs r where r.id = $1"#,
        run_id
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(run) = run else { return Ok(None) };
    let happened = sqlx::query_as!(
        Happened,
        r#"select at as "at!", what as "what!", detail as "detail!"
           from (
               select r.created_at as at, 0 as place, 'accepted' as what, '' as detail from runs r where r.id = $1
               union all
               select greatest(r.admitted_at, r.created_at), 1, 'admitted', 'to the queue' from runs r where r.id = $1 and r.admitted_at is not null
               union all
               select r.started_at, 2, 'started', '' from runs r where r.id = $1 and r.started_at is not null
               union all
               select s.created_at, 3, 'step', format('%s, attempt %s: %s, %s tokens read and %s written, %s calls', s.step, s.attempt,
                      coalesce(s.model, 'unknown model'), s.input_tokens, s.output_tokens, jsonb_array_length(s.tool_calls))
               from steps s where s.run_id = $1
               union all
               select c.created_at, 4, 'tool_call', format('%s/%s: %s, %s%s', c.step, c.ordinal,
                      case when c.tool_name = any ($2) then c.tool_name else 'unknown tool' end,
                      case when c.is_error then 'refused' else 'done' end, coalesce(', ' || c.duration_ms || ' ms', ''))
               from tool_calls c where c.run_id = $1
               union all
               select r.finished_at, 5, 'ended', r.status || coalesce(': ' || r.error_code, '') from runs r
               where r.id = $1 and r.finished_at is not null
           ) h
           order by at, place"#,
        run_id,
        known
    )
    .fetch_all(db)
    .await?;
    Ok(Some(Story {
        run_id,
        user_id: run.user_id,
        conversation_id: run.conversation_id,
        status: run.status,
        attempt: run.attempt,
        given_back: run.handbacks,
        error_code: run.error_code,
        error_message: run.error_message,
        input_tokens: run.input_tokens,
        output_tokens: run.output_tokens,
        parent_run_id: run.parent_run_id,
        continued_by: run.continued_by,
        events: run.events,
        worker: run.worker,
        happened,
    }))
}

/// Whose run this is.
pub async fn owner(db: &mut Connection, run_id: Uuid) -> Result<Option<String>, StoreError> {
    Ok(
        sqlx::query_scalar!("select user_id from runs where id = $1", run_id)
            .fetch_optional(db)
            .await?,
    )
}
