//! Summaries of conversations, each written in a run of its own kind: asked for, claimed, ended; its job in the same queue, its attempt the fence.
//!
//! The rows are claimed and ended for all users by the owner of the tables; each statement names the user. What is read of a conversation,
//! and what is written into its summary, is so as its user.

use std::time::Duration;

use errand_core::{
    hints::Hint,
    jobs::{SUMMARIES, job_id},
};
use uuid::Uuid;

use crate::{
    Connection, Pool, StoreError, WriteError, db,
    read::usage::{self, Tokens},
};

/// How often one summary is begun, whatever came of it. Then the conversation does without, until it has grown by another.
pub const MAX_ATTEMPTS: i32 = 3;

/// Turns that are to be replaced by a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Whose they are.
    pub user_id: String,
    /// The conversation.
    pub conversation_id: Uuid,
    /// The place of the last of them.
    pub covers_to: i64,
}

/// Asks for a summary, once: not if the conversation is deleted, or has one that is not over, or one up to this place.
/// True if somebody is to write it now.
pub async fn ask(pool: &Pool, span: &Span) -> Result<bool, StoreError> {
    let id = errand_core::ids::new_id();
    let mut tx = pool.begin().await?;
    let asked = sqlx::query!(
        "insert into summaries (id, conversation_id, user_id, covers_to)
         select $1, c.id, c.user_id, $4 from conversations c
         where c.id = $2 and c.user_id = $3 and c.deleted_at is null
         on conflict do nothing",
        id,
        span.conversation_id,
        span.user_id,
        span.covers_to
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if asked > 0 {
        enqueue(&mut tx, id).await?;
    }
    tx.commit().await?;
    Ok(asked > 0)
}

/// Asks anew for one that was cancelled because its conversation went on. True if somebody is to write it now.
pub async fn ask_again(pool: &Pool, user_id: &str, id: Uuid) -> Result<bool, StoreError> {
    let mut tx = pool.begin().await?;
    let asked = sqlx::query!(
        "update summaries s set status = 'queued', finished_at = null
         where s.id = $1 and s.user_id = $2 and s.status = 'cancelled' and s.attempt < $3
           and exists (select from conversations c where c.id = s.conversation_id and c.deleted_at is null)
           and not exists (select from summaries o where o.conversation_id = s.conversation_id
                                                     and (o.covers_to > s.covers_to or o.status in ('queued', 'running')))",
        id,
        user_id,
        MAX_ATTEMPTS
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if asked > 0 {
        enqueue(&mut tx, id).await?;
    }
    tx.commit().await?;
    Ok(asked > 0)
}

/// Notes that turns are left out without a summary: nobody is asked to write any.
pub async fn skip(pool: &Pool, span: &Span) -> Result<(), StoreError> {
    let mut db = pool.acquire().await?;
    let noted = sqlx::query!(
        "insert into summaries (id, conversation_id, user_id, covers_to, status, finished_at)
         select $1, c.id, c.user_id, $4, 'skipped', clock_timestamp() from conversations c
         where c.id = $2 and c.user_id = $3 and c.deleted_at is null
         on conflict do nothing",
        errand_core::ids::new_id(),
        span.conversation_id,
        span.user_id,
        span.covers_to
    )
    .execute(&mut *db)
    .await;
    db.done(noted)?;
    Ok(())
}

/// The conversation goes on: a summary that is not over is cancelled, and whoever writes it is told. False if it is over.
pub async fn cancel(pool: &Pool, user_id: &str, id: Uuid) -> Result<bool, StoreError> {
    let mut tx = pool.begin().await?;
    forget(&mut tx, id).await?;
    let cancelled = sqlx::query!(
        "update summaries set status = 'cancelled', finished_at = clock_timestamp()
         where id = $1 and user_id = $2 and status in ('queued', 'running')",
        id,
        user_id
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    tx.tell(Hint::Cancel(id));
    tx.commit().await?;
    Ok(cancelled > 0)
}

/// The conversation is deleted: nothing more is written of it. In a transaction that acts for the user; the job finds nothing to do.
pub(crate) async fn end(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update summaries set status = 'cancelled', finished_at = clock_timestamp()
         where conversation_id = $1 and user_id = $2 and status in ('queued', 'running')",
        conversation_id,
        user_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A summary that a worker is to write: it may write it as this attempt.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its own id.
    pub id: Uuid,
    /// What it is to stand for.
    pub span: Span,
    /// The fence.
    pub attempt: i32,
}

/// Takes a job for a worker and begins an attempt at its summary; none if there is none, while the queue is paused, or if the worker drains.
///
/// # Errors
/// The database failed: which jobs were taken is unknown, and the worker's lease gives them back.
pub async fn claim(pool: &Pool, worker: &str) -> Result<Option<Claimed>, StoreError> {
    loop {
        match take(pool, worker).await? {
            Taken::Begun(claimed) => return Ok(Some(claimed)),
            Taken::Over => {}
            Taken::Nothing => return Ok(None),
        }
    }
}

/// What became of the job that is due first.
enum Taken {
    /// An attempt at its summary is begun.
    Begun(Claimed),
    /// Its summary is over, and the job is gone.
    Over,
    /// No job is due.
    Nothing,
}

async fn take(pool: &Pool, worker: &str) -> Result<Taken, StoreError> {
    let mut tx = pool.begin().await?;
    let taken = sqlx::query!(
        r#"with due as (
             select j.id from apalis.jobs j
             where (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts)) and j.run_at < now() and j.job_type = $1
               and not exists (select from queue_pause p where p.is_only)
               and not exists (select from worker_drains d where d.worker = $2)
             order by j.priority desc, j.run_at
             limit 1
             for update skip locked
         ),
         taken as (
             update apalis.jobs j set status = 'Running', lock_by = $2, lock_at = now()
             from due where j.id = due.id
             returning j.id
         ),
         begun as (
             update summaries s set status = 'running', attempt = s.attempt + 1, started_at = coalesce(s.started_at, clock_timestamp())
             from taken t, conversations c
             where s.id = run_of_job(t.id) and s.status in ('queued', 'running')
               and c.id = s.conversation_id and c.user_id = s.user_id and c.deleted_at is null
             returning s.id, s.conversation_id, s.user_id, s.covers_to, s.attempt
         )
         select t.id as "job!", b.id as "id?", b.conversation_id as "conversation_id?", b.user_id as "user_id?",
                b.covers_to as "covers_to?", b.attempt as "attempt?"
         from taken t left join begun b on b.id = run_of_job(t.id)"#,
        SUMMARIES,
        worker
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = taken else {
        tx.commit().await?;
        return Ok(Taken::Nothing);
    };
    let begun = (row.id, row.conversation_id, row.user_id, row.covers_to);
    let taken = match (begun, row.attempt) {
        ((Some(id), Some(conversation_id), Some(user_id), Some(covers_to)), Some(attempt)) => {
            Taken::Begun(Claimed {
                id,
                span: Span {
                    user_id,
                    conversation_id,
                    covers_to,
                },
                attempt,
            })
        }
        _ => {
            sqlx::query!("delete from apalis.jobs where id = $1", row.job)
                .execute(&mut *tx)
                .await?;
            Taken::Over
        }
    };
    tx.commit().await?;
    Ok(taken)
}

/// How an attempt at a summary ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is written, by this model.
    Written {
        /// The summary.
        content: String,
        /// As the provider knows it.
        model: String,
    },
    /// There will be none.
    Failed(&'static str),
    /// Another attempt is to be made, so long after this one.
    Again(Duration),
}

/// Ends an attempt, and counts what it took as used today by its user; also if another attempt has its place by now.
///
/// # Errors
/// [`WriteError::Fenced`] if the summary is over or another attempt has it: nothing of it was written.
pub async fn finish(
    pool: &Pool,
    claimed: &Claimed,
    end: &End,
    tokens: Tokens,
) -> Result<(), WriteError> {
    let mut tx = pool.begin().await?;
    if holds(&mut tx, claimed).await? {
        match end {
            End::Again(delay) => give_back(&mut tx, claimed.id, *delay).await?,
            End::Written { .. } | End::Failed(_) => forget(&mut tx, claimed.id).await?,
        }
    }
    db::act(&mut tx, &claimed.span.user_id).await?;
    let (status, content, code, model) = match end {
        End::Written { content, model } => ("completed", Some(content), None, Some(model)),
        End::Failed(code) => ("failed", None, Some(*code), None),
        End::Again(_) => ("queued", None, None, None),
    };
    let written = sqlx::query!(
        "update summaries
         set status = $4, content = $5, error_code = $6, model = $7, input_tokens = input_tokens + $8,
             cached_input_tokens = cached_input_tokens + $9, output_tokens = output_tokens + $10,
             reasoning_tokens = reasoning_tokens + $11,
             finished_at = case when $4 <> 'queued' then clock_timestamp() end
         where id = $1 and user_id = $2 and attempt = $3 and status = 'running'",
        claimed.id,
        claimed.span.user_id,
        claimed.attempt,
        status,
        content,
        code,
        model,
        tokens.input,
        tokens.cached,
        tokens.output,
        tokens.reasoning
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::from)?
    .rows_affected();
    if tokens != Tokens::default() {
        usage::count(&mut tx, &claimed.span.user_id, tokens).await?;
    }
    tx.commit().await?;
    match written {
        0 => Err(WriteError::Fenced),
        _ => Ok(()),
    }
}

/// Whether an attempt still owns its summary.
///
/// # Errors
/// The database failed.
pub async fn is_owned(pool: &Pool, claimed: &Claimed) -> Result<bool, StoreError> {
    let mut db = db::begin_for(pool, &claimed.span.user_id).await?;
    let owned = sqlx::query_scalar!(
        r#"select exists (
             select from summaries where id = $1 and user_id = $2 and attempt = $3 and status = 'running') as "owned!""#,
        claimed.id,
        claimed.span.user_id,
        claimed.attempt
    )
    .fetch_one(&mut *db)
    .await
    .map_err(StoreError::from);
    db.done(owned).await
}

/// Whether an attempt still owns its summary, until the end of the transaction. The job first, as whoever claims does.
async fn holds(db: &mut Connection, claimed: &Claimed) -> Result<bool, StoreError> {
    sqlx::query!(
        "select id from apalis.jobs where id = $1 for update",
        job_id(claimed.id)
    )
    .fetch_optional(&mut *db)
    .await?;
    let held = sqlx::query_scalar!(
        "select id from summaries where id = $1 and user_id = $2 and attempt = $3 and status = 'running' for update",
        claimed.id,
        claimed.span.user_id,
        claimed.attempt
    );
    Ok(held.fetch_optional(db).await?.is_some())
}

async fn enqueue(db: &mut Connection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        r#"insert into apalis.jobs (id, job_type, job, run_at, metadata)
           values ($1, $2, convert_to('{"summary_id":"' || $3::uuid || '"}', 'utf8'), date_trunc('second', now()), '')
           on conflict (id) do nothing"#,
        job_id(id),
        SUMMARIES,
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn forget(db: &mut Connection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("delete from apalis.jobs where id = $1", job_id(id))
        .execute(db)
        .await?;
    Ok(())
}

async fn give_back(db: &mut Connection, id: Uuid, delay: Duration) -> Result<(), StoreError> {
    sqlx::query!(
        "update apalis.jobs
         set status = 'Pending', lock_by = null, lock_at = null, attempts = attempts + 1, run_at = now() + make_interval(secs => $2)
         where id = $1 and status in ('Queued', 'Running')",
        job_id(id),
        delay.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}
