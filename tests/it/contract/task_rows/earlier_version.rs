//! A database of the version before, migrated while its processes work.

use std::sync::atomic::{AtomicBool, Ordering};

use errand_store::db::migrate;
use sqlx::PgPool;

use super::as_tool;
use crate::system::{self, rows};

/// What the version before had, from what there is now.
const BEFORE: &str = "
    drop trigger tasks_keep_completed_at on tasks;

    drop trigger tasks_change_only_in_tool_calls on tasks;
    drop trigger tasks_are_deleted_only_in_tool_calls on tasks;
    create trigger tasks_change_only_in_tool_calls before insert or update or delete on tasks
        for each row execute function refuse_change_outside_tool_call();
    alter table tasks drop column due_date, drop column due_time, drop column priority, drop column tags, drop column tag_keys,
        drop column repeat, drop column repeat_from, drop column repeat_start, drop column completed_at, drop column deleted_at;
    alter table task_totals drop column trash_tasks, drop column trash_bytes;
    drop function add_to_task_totals(text, integer, bigint, integer, bigint);
    drop function lock_list(); drop function counted_tasks(text);
    drop function may_purge_task(timestamptz); drop function keep_completed_at(); drop function are_tags(text[]);
    delete from _sqlx_migrations where version between 20261126000081 and 20261126000089;";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_version_before_is_migrated_while_its_processes_work() {
    let url = system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    rows::execute(&db, BEFORE).await;
    let totals = include_str!("../../../../migrations/20261126000042_task_totals.sql");
    let functions = &totals[totals.find("create function lock_task_totals").unwrap()
        ..totals.find("create trigger").unwrap()];
    let functions = functions.replace("create function", "create or replace function");
    rows::execute(&db, &functions).await;
    // More than one batch of tasks that are done, and some that are not.
    let old = "insert into tasks (id, user_id, title, completed, updated_at)
               select gen_random_uuid(), 'ada', 'old', n % 4 > 0, now() - n * interval '1 minute' from generate_series(1, 9000) n";
    as_tool(&db, "ada", old).await.unwrap();

    // As the version before does it: add, complete, delete.
    let work = async |n: usize| {
        let task = uuid::Uuid::now_v7();
        let add = format!(
            "with room as materialized (select tasks < 10000 as has_place, bytes + 4 <= 20971520 as has_bytes from lock_task_totals()),
                  added as (insert into tasks (id, user_id, title, description)
                            select '{task}', 'ada', 'new {n}', null from room where has_place and has_bytes)
             select has_place, has_bytes from room"
        );
        as_tool(&db, "ada", &add).await.unwrap();
        let complete = format!(
            "update tasks set completed = coalesce(true, completed), updated_at = clock_timestamp() where id = '{task}' and user_id = 'ada'"
        );
        as_tool(&db, "ada", &complete).await.unwrap();
        if n.is_multiple_of(2) {
            let delete = format!(
                "with totals as materialized (select from lock_task_totals())
                 delete from tasks using totals where id = '{task}' and user_id = 'ada'"
            );
            as_tool(&db, "ada", &delete).await.unwrap();
        }
        // A task that was done before is reopened, and another renamed.
        let rename = "update tasks set title = 'renamed' where id = (select id from tasks where completed and title = 'old' limit 1)";
        as_tool(&db, "ada", rename).await.unwrap();
    };
    work(0).await;
    let is_over = AtomicBool::new(false);
    let migrate = async {
        migrate::run(&url).await.unwrap();
        is_over.store(true, Ordering::Relaxed);
    };
    let others = async {
        let mut n = 1;
        while !is_over.load(Ordering::Relaxed) || n < 20 {
            work(n).await;
            n += 1;
        }
    };
    tokio::join!(migrate, others);
    // Twice is once.
    migrate::run(&url).await.unwrap();
    let found: (i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where title in ('old', 'renamed')), count(*) filter (where completed and completed_at is null),
                count(*) filter (where title = 'old' and completed_at <> updated_at)
         from tasks",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert_eq!(found, (9_000, 0, 0));
    let counted: (i64, i64) = sqlx::query_as("select tasks::bigint, bytes from task_totals")
        .fetch_one(&db)
        .await
        .unwrap();
    let there: (i64, i64) =
        sqlx::query_as("select count(*), sum(octet_length(title))::bigint from tasks")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(counted, there);
    let valid: i64 = sqlx::query_scalar("select count(*) from pg_constraint where conrelid = 'tasks'::regclass and not convalidated")
        .fetch_one(&db).await.unwrap();
    assert_eq!(valid, 0);
    // And the database still refuses what is no call of a tool.
    let refused = sqlx::query("update tasks set title = 'x'")
        .execute(&db)
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("only inside a tool call")
    );
}
