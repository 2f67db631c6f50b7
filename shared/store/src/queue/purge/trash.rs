//! The trash is emptied: tasks that were deleted long enough ago. It is the one way in which a task goes without a tool call, and the
//! database admits it for the owner of the table, for what has been in the trash for thirty days.

use super::{Connection, Deleted, Place, Range, StoreError};

/// Deletes tasks that were deleted in the range. Those of a user who is at the list just now are left for the next time: a tool locks the
/// list before a task, and so does this.
pub(super) async fn delete(
    db: &mut Connection,
    range: &Range,
    limit: i64,
) -> Result<Deleted, StoreError> {
    let row = sqlx::query!(
        r#"with due as materialized (
             select id, user_id, deleted_at from tasks
             where deleted_at is not null and deleted_at >= $1 and (deleted_at, id) > ($1, $2) and deleted_at < $3
             order by deleted_at, id
             limit $4
         ),
         free as materialized (
             select user_id from task_totals where user_id in (select user_id from due) order by user_id for update skip locked
         ),
         gone as (
             delete from tasks t
             where t.id = any (array(select id from due where user_id in (select user_id from free)))
               and t.deleted_at < $3
             returning 1
         )
         select (select count(*) from gone) as "rows!", (select count(*) from due) as "due!",
                (select deleted_at from due order by deleted_at desc, id desc limit 1) as at,
                (select id from due order by deleted_at desc, id desc limit 1) as id,
                extract(epoch from clock_timestamp() - statement_timestamp())::float8 as "seconds!""#,
        range.from.at,
        range.from.id,
        range.until,
        limit
    )
    .fetch_one(db)
    .await?;
    let is_full = row.due == limit;
    let some_are_left = row.rows < row.due;
    let reached = match (row.at, row.id) {
        _ if some_are_left => None,
        (Some(at), Some(id)) if is_full => Some(Place { at, id }),
        _ => Some(range.end()),
    };
    Ok(Deleted::new(
        row.rows,
        row.seconds,
        some_are_left || !is_full,
        reached,
    ))
}
