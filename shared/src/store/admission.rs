//! Admission: which runs may be in the job queue.
//!
//! A run enters the queue only when its conversation is free and its user has fewer than `MAX_READY_RUNS` runs there;
//! until then it waits in `runs` and holds no worker. So one user's herd never stands in front of the others.
//! Acceptance and the end of a run both happen under the user's lock, so neither can miss the other's rows.

use uuid::Uuid;

use super::{Connection, StoreError, jobs};

/// Waiting runs of a user that one admission looks at.
const WINDOW: i64 = 200;

/// Acts for the user and takes the user's lock until the transaction ends: acceptance, admission and limits of one user
/// are serial.
///
/// Behind a pooler no start-up option limits what a client that went silent keeps, so this transaction limits itself.
///
/// # Errors
/// The database failed, or the lock was not free in time.
pub async fn lock_user(db: &mut Connection, user_id: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "select set_config('lock_timeout', '4s', true) as locks,
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
    db: &mut Connection,
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
             where not exists (
                   select 1 from runs e
                   where e.conversation_id = r.conversation_id and e.finished_at is null
                     and e.status <> 'waiting' and (e.position < r.position or e.admitted_at is not null)
               )
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
    .fetch_all(&mut *db)
    .await?;
    let now = admitted.first().map_or(0, |run| run.now);
    let admitted: Vec<Uuid> = admitted.into_iter().map(|run| run.id).collect();
    jobs::enqueue(db, &admitted, now).await?;
    Ok(admitted)
}

/// How much a user has asked for lately, counted no further than the limits.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Runs that are not over.
    pub active: i64,
    /// Runs accepted in the last minute.
    pub last_minute: i64,
    /// Seconds until one run less than the limit is in the window.
    pub window_frees_in: f64,
}

/// The user's usage, for limits on active runs and on runs a minute; a limit of 0 is not counted for. Exact up to the
/// limits while the caller holds the user's lock.
///
/// # Errors
/// The database failed.
pub async fn usage(
    db: &mut Connection,
    user_id: &str,
    max_active: i64,
    max_per_minute: i64,
) -> Result<Usage, StoreError> {
    Ok(sqlx::query_as!(
        Usage,
        r#"select
            (select count(*) from (
                 select 1 from runs where user_id = $1 and finished_at is null and admitted_at is not null limit $2
             ) a) + (select count(*) from (
                 select 1 from runs where user_id = $1 and finished_at is null and admitted_at is null limit $2
             ) w) as "active!",
            count(*) as "last_minute!",
            coalesce(extract(epoch from min(created_at) + interval '1 minute' - clock_timestamp()), 0)::float8
                as "window_frees_in!"
           from (
               select created_at from runs
               where user_id = $1 and created_at > clock_timestamp() - interval '1 minute'
               order by created_at desc
               limit $3
           ) lately"#,
        user_id,
        max_active,
        max_per_minute
    )
    .fetch_one(db)
    .await?)
}
