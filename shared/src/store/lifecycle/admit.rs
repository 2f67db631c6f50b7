//! Admission: which runs may be in the job queue.
//!
//! A run enters the queue only when its conversation is free and its user has fewer than `MAX_READY_RUNS` runs there;
//! until then it waits in `runs` and holds no worker. So one user's herd never stands in front of the others.
//! Acceptance and the end of a run both happen under the user's lock, so neither can miss the other's rows.

use uuid::Uuid;

use super::{
    super::{Connection, StoreError, Transaction, jobs},
    decide::MAX_WAITING,
};

/// Waiting runs of a user that one admission looks at.
const WINDOW: i64 = 200;

/// Acts for the user and takes the user's lock until the transaction ends: acceptance, admission and limits of one user
/// are serial.
///
/// Behind a pooler no start-up option limits what a client that went silent keeps, so this transaction limits itself.
///
/// # Errors
/// The database failed, or the lock was not free in time.
pub(in crate::store) async fn lock_user(
    db: &mut Connection,
    user_id: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select set_config('statement_timeout', '5s', true) as statements,
                set_config('lock_timeout', '4s', true) as locks,
                set_config('idle_in_transaction_session_timeout', '5s', true) as idle,
                act_for($1),
                pg_advisory_xact_lock(hashtextextended($1, 1))",
        user_id
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Puts the user's runs that may start now into the job queue, the oldest first, after something has changed in a
/// conversation. The caller holds the user's lock.
///
/// The cost does not grow with a backlog. What the change can have set free is the conversation's own next run; others only
/// if they had waited for a place, of which one has now become free, and of these the oldest 200 are looked at. A user
/// without any place taken is looked at in any case, so nothing gets stuck when the number of places is changed.
///
/// # Errors
/// The database failed.
pub async fn admit(
    tx: &mut Transaction,
    user_id: &str,
    conversation_id: Uuid,
    max_ready: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let admitted = sqlx::query!(
        r#"with ready as (
             select count(*) as n from runs
             where user_id = $1 and finished_at is null and admitted_at is not null and status <> 'waiting'
         ),
         candidates as (
             (select id, conversation_id, position from runs
              where conversation_id = $2 and user_id = $1
                and finished_at is null and admitted_at is null and status = 'queued'
              order by position
              limit 1)
             union
             (select id, conversation_id, position from runs
              where user_id = $1 and finished_at is null and admitted_at is null and status = 'queued'
                and (select n = 0 or n = $3::bigint - 1 from ready)
              order by position
              limit $4)
         ),
         startable as (
             select r.id from candidates r
             -- Asked for each of these few, and not joined: a join may read the unfinished runs of everybody.
             where coalesce((
                   select false from runs e
                   where e.conversation_id = r.conversation_id and e.finished_at is null
                     and e.status <> 'waiting' and (e.position < r.position or e.admitted_at is not null)
                   limit 1
               ), true)
             order by r.position
             limit greatest(0, $3::bigint - (select n from ready))
         )
         update runs set admitted_at = clock_timestamp()
         from startable where runs.id = startable.id
         returning runs.id, floor(extract(epoch from now()))::bigint as "now!""#,
        user_id,
        conversation_id,
        max_ready,
        WINDOW
    )
    .fetch_all(&mut **tx)
    .await?;
    let now = admitted.first().map_or(0, |run| run.now);
    let admitted: Vec<Uuid> = admitted.into_iter().map(|run| run.id).collect();
    jobs::enqueue(tx, &admitted, now).await?;
    Ok(admitted)
}

/// How far usage is counted, at most; 0: not at all.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that are not over.
    pub active: i64,
    /// Runs that have not been started.
    pub queued: i64,
    /// Runs accepted in the last minute.
    pub per_minute: i64,
}

/// How much a user has asked for lately, counted no further than the bounds.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Runs that are not over.
    pub active: i64,
    /// Runs that have not been started, or were given back.
    pub queued: i64,
    /// Runs that wait for the user's decision; they hold no worker and are not active.
    pub undecided: i64,
    /// Runs accepted in the last minute.
    pub last_minute: i64,
    /// Seconds until one run less than the bound is in the window.
    pub window_frees_in: f64,
    /// Tokens of the runs that ended today (UTC).
    pub tokens_today: i64,
    /// Seconds until tomorrow.
    pub day_ends_in: f64,
}

/// The user's usage. Exact up to the bounds while the caller holds the user's lock. The cost grows neither with a backlog nor with the
/// user's past: an index can be searched for a time that stays the same in a statement, and not for `clock_timestamp()`.
///
/// # Errors
/// The database failed.
pub async fn usage(
    db: &mut Connection,
    user_id: &str,
    bounds: Bounds,
) -> Result<Usage, StoreError> {
    Ok(sqlx::query_as!(
        Usage,
        r#"with waiting as (
             select count(*) as n from (
                 select 1 from runs where user_id = $1 and finished_at is null and admitted_at is null
                 limit greatest($2::bigint, $3::bigint)
             ) w
           ),
           admitted as (
             select count(*) as n, count(*) filter (where status = 'queued') as queued from (
                 select status from runs
                 where user_id = $1 and finished_at is null and admitted_at is not null and status <> 'waiting'
                 limit greatest($2::bigint, $3::bigint)
             ) a
           ),
           lately as (
             select count(*) as n, min(created_at) as first from (
                 select created_at from runs
                 where user_id = $1 and created_at > statement_timestamp() - interval '1 minute'
                 order by created_at desc
                 limit $4
             ) l
           )
           select waiting.n + admitted.n as "active!", waiting.n + admitted.queued as "queued!",
                  (select count(*) from (
                      select 1 from runs where user_id = $1 and status = 'waiting' limit $5
                  ) u) as "undecided!",
                  lately.n as "last_minute!",
                  coalesce(extract(epoch from lately.first + interval '1 minute' - clock_timestamp()), 60)::float8
                      as "window_frees_in!",
                  coalesce((select tokens from usage_days
                            where user_id = $1 and day = (now() at time zone 'utc')::date), 0) as "tokens_today!",
                  extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day'
                                     - (now() at time zone 'utc'))::float8 as "day_ends_in!"
           from waiting, admitted, lately"#,
        user_id,
        bounds.active,
        bounds.queued,
        bounds.per_minute,
        MAX_WAITING
    )
    .fetch_one(db)
    .await?)
}
