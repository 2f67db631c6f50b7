//! What an operator is told of the runs that ended lately: how many, how fast, and which failed. For all users, and without a word of what
//! anybody said.
//!
//! Along the index of ends, and no further than [`MAX_ENDED`] rows, so the cost does not grow with the number of runs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, StoreError};

/// Runs that are looked at, at most: the last that ended.
pub const MAX_ENDED: i64 = 10_000;

/// Failed runs that are named, of each cause.
const MAX_NAMED: i64 = 20;

/// Runs that ended in a minute, or in all of the time that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ends {
    /// The beginning of the minute; none for all together.
    pub minute: Option<DateTime<Utc>>,
    /// Runs that came to a reply.
    pub completed: i64,
    /// Runs that failed.
    pub failed: i64,
    /// Runs that were cancelled.
    pub cancelled: i64,
    /// Seconds from acceptance to end of those that came to a reply: half of them took no longer.
    pub p50: Option<f64>,
    /// Of 95 in 100.
    pub p95: Option<f64>,
    /// Of 99 in 100.
    pub p99: Option<f64>,
    /// Seconds from acceptance to the first claim, of 95 in 100 of all that were claimed.
    pub pickup_p95: Option<f64>,
}

/// The ends of the last hour by minute, the earliest first, and those of all together as the last. Without ends there is only that one.
///
/// # Errors
/// The database failed.
pub async fn ends(db: &mut Connection) -> Result<Vec<Ends>, StoreError> {
    Ok(sqlx::query_as!(
        Ends,
        r#"with ended as (
             select r.status, r.finished_at, extract(epoch from r.finished_at - r.created_at)::float8 as took,
                    extract(epoch from r.started_at - r.created_at)::float8 as waited
             from runs r
             where r.finished_at > now() - interval '1 hour'
             order by r.finished_at desc
             limit $1
         )
         select date_trunc('minute', finished_at) as "minute?",
                count(*) filter (where status = 'completed') as "completed!",
                count(*) filter (where status = 'failed') as "failed!",
                count(*) filter (where status = 'cancelled') as "cancelled!",
                percentile_cont(0.5) within group (order by took) filter (where status = 'completed') as p50,
                percentile_cont(0.95) within group (order by took) filter (where status = 'completed') as p95,
                percentile_cont(0.99) within group (order by took) filter (where status = 'completed') as p99,
                percentile_cont(0.95) within group (order by waited) as pickup_p95
         from ended
         group by grouping sets ((date_trunc('minute', finished_at)), ())
         order by 1 nulls last"#,
        MAX_ENDED
    )
    .fetch_all(db)
    .await?)
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Why: a stable code.
    pub code: String,
    /// How many failed for this reason.
    pub of_code: i64,
    /// The run.
    pub run_id: Uuid,
    /// Its owner.
    pub user_id: String,
    /// When.
    pub finished_at: DateTime<Utc>,
    /// Its user has retried it: there is nothing to requeue.
    pub is_continued: bool,
}

/// The runs that failed in the last so many hours: the last 20 of each cause, the most frequent cause first.
///
/// # Errors
/// The database failed.
pub async fn failed(db: &mut Connection, hours: i32) -> Result<Vec<Failed>, StoreError> {
    Ok(sqlx::query_as!(
        Failed,
        r#"select f.code as "code!", f.of_code as "of_code!", f.id as "run_id!", f.user_id as "user_id!", f.finished_at as "finished_at!",
                  exists (select from runs c where c.parent_run_id = f.id) as "is_continued!"
           from (
               select e.*, count(*) over (partition by e.code) as of_code,
                      row_number() over (partition by e.code order by e.finished_at desc) as nth
               from (select id, user_id, status, coalesce(error_code, 'unknown') as code, finished_at from runs
                     where finished_at > now() - make_interval(hours => $1)
                     order by finished_at desc
                     limit $2) e
               where e.status = 'failed'
           ) f
           where f.nth <= $3
           order by f.of_code desc, f.code, f.finished_at desc"#,
        hours,
        MAX_ENDED,
        MAX_NAMED
    )
    .fetch_all(db)
    .await?)
}
