//! The rows behind tasks with time: what a view costs, how the trash is emptied, and how a database of the version before gets there.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{Duration, NaiveDate, Utc};
use errand_core::calendar::{Now, Tz};
use errand_store::{
    Connection,
    db::migrate,
    queue::purge::{self, Purge},
    tasks::{self, Filter, View},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row};

use crate::system::{self, Options, TestSystem, as_superuser, mcp::Mcp, rows};

/// Does something to a user's tasks as one call of a tool.
async fn as_tool(db: &PgPool, user: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut tx = rows::begin_for(db, user).await;
    let id = uuid::Uuid::now_v7();
    let statements = format!(
        "insert into mcp_calls (id, user_id, tool_name, parameters) values ('{id}', '{user}', 'x', '{{}}');
         select act_as_tool('mcp/{id}');
         {statement}"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Blocks that this connection has read in its transaction so far.
async fn blocks(db: &mut Connection) -> i64 {
    let fetched = "select sum(pg_stat_get_xact_blocks_fetched(c.oid))::bigint from pg_class c
                   join pg_namespace n on n.oid = c.relnamespace
                   where relkind in ('r', 'i', 't') and n.nspname in ('public', 'pg_toast')";
    let row = sqlx::query(fetched).fetch_one(db).await;
    row.expect("a sum").get(0)
}

const VIEWS: [View; 7] = [
    View::Today,
    View::Overdue,
    View::Upcoming,
    View::Undated,
    View::Completed,
    View::Deleted,
    View::Open,
];

/// Five tasks for each view, and very many that are in one of them.
fn tasks_of(user: &str, many: u32, of: View) -> String {
    let more = match of {
        View::Completed => "null::date, now() - n * interval '1 s', null::timestamptz",
        View::Deleted => "null::date, null::timestamptz, now() - n * interval '1 s'",
        View::Undated => "null::date, null::timestamptz, null::timestamptz",
        View::Overdue => "current_date - 30 - n % 365, null::timestamptz, null::timestamptz",
        _ => "current_date + 30 + n % 365, null::timestamptz, null::timestamptz",
    };
    format!(
        "insert into tasks (id, user_id, title, due_date, completed_at, deleted_at, completed)
             select gen_random_uuid(), '{user}', 'task', t.*, t.done is not null
             from generate_series(1, 5) n cross join lateral (values
                 (current_date, null::timestamptz, null::timestamptz), (current_date - n, null, null), (current_date + n, null, null),
                 (null, null, null), (current_date, now(), null), (null, null, now())) t (due, done, gone);
         insert into tasks (id, user_id, title, due_date, completed_at, deleted_at, completed)
             select gen_random_uuid(), '{user}', 'one of many', t.*, t.done is not null
             from generate_series(1, {many}) n cross join lateral (values ({more})) t (due, done, gone);"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_costs_what_is_in_it_whatever_else_there_is() {
    let database = system::database().await;
    let pool = PgPool::connect_lazy(&database).expect("a URL");
    // Of five users, each with 100,000 tasks of one kind, and of many others with few.
    let kinds = [
        View::Completed,
        View::Deleted,
        View::Undated,
        View::Overdue,
        View::Open,
    ];
    let mut seed = "set session_replication_role = replica; set statement_timeout = 0;".to_owned();
    for (n, kind) in kinds.into_iter().enumerate() {
        seed.push_str(&tasks_of(&format!("user-{n}"), 100_000, kind));
    }
    seed.push_str(&tasks_of("few", 10, View::Open));
    for n in 0..200 {
        seed.push_str(&tasks_of(&format!("other-{n}"), 20, View::Open));
    }
    // Without triggers: what they check is not what this is about.
    let mut superuser = PgConnection::connect(&as_superuser(&database))
        .await
        .expect("a login");
    sqlx::raw_sql(AssertSqlSafe(seed))
        .execute(&mut superuser)
        .await
        .expect("tasks");
    rows::execute(&pool, "vacuum analyze tasks").await;
    let now = Now::at(Utc::now(), Tz::UTC);
    for user in ["few", "user-0", "user-1", "user-2", "user-3", "user-4"] {
        let large = user
            .strip_prefix("user-")
            .map(|n| kinds[n.parse::<usize>().expect("a number")]);
        let mut tx = rows::begin_for(&pool, user).await;
        for view in VIEWS {
            let is_in_it = large == Some(view)
                || (view == View::Open
                    && !matches!(large, None | Some(View::Completed | View::Deleted)))
                || (view == View::Today && large == Some(View::Overdue));
            let filter = Filter {
                view,
                ..Filter::default()
            };
            // Often enough for the plan that is kept.
            for _ in 0..7 {
                let before = blocks(&mut tx).await;
                let page = tasks::list(&mut tx, user, &filter, &now, None, 5)
                    .await
                    .expect("a page");
                let read = blocks(&mut tx).await - before;
                assert_eq!(page.rows.len(), 5);
                let (most, total) = match is_in_it {
                    // It is counted, no further than a list may be long; what is not yet known to be visible is looked up.
                    true => (12_000, i64::from(tasks::MAX_TASKS) + 1),
                    false => (100, page.total.min(50)),
                };
                assert!(read <= most, "{read} blocks: {view:?} of {user}");
                assert_eq!(page.total, total, "{view:?} of {user}");
            }
        }
    }
}

/// Tasks that were deleted so long ago.
fn deleted(user: &str, count: u32, ago: &str) -> String {
    format!(
        "insert into tasks (id, user_id, title, tags, tag_keys, deleted_at)
         select gen_random_uuid(), '{user}', 'gone', '{{a}}', '{{a}}', now() - interval '{ago}' from generate_series(1, {count})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trash_is_emptied_after_thirty_days_and_by_the_owner_of_the_table_alone() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for user in ["ada", "bob"] {
        as_tool(&system.db, user, &deleted(user, 500, "31 days"))
            .await
            .unwrap();
        as_tool(&system.db, user, &deleted(user, 5, "29 days"))
            .await
            .unwrap();
        let kept = format!(
            "insert into tasks (id, user_id, title) values (gen_random_uuid(), '{user}', 'kept')"
        );
        as_tool(&system.db, user, &kept).await.unwrap();
    }
    let superuser = PgPool::connect(&as_superuser(&system.database_url))
        .await
        .unwrap();
    for (db, statement) in [
        // Nobody deletes what is not due, and nobody but the owner what is; nor does anybody make it due.
        (
            &superuser,
            "delete from tasks where deleted_at < now() - interval '30 days'",
        ),
        (&superuser, "delete from tasks"),
        (&system.db, "delete from tasks"),
        (
            &system.db,
            "delete from tasks where deleted_at > now() - interval '30 days'",
        ),
        (&system.db, "delete from tasks where deleted_at is null"),
        (
            &system.db,
            "update tasks set deleted_at = now() - interval '31 days'",
        ),
        (&system.db, "truncate tasks"),
    ] {
        let error = sqlx::query(statement)
            .execute(db)
            .await
            .expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
    assert_eq!(system.count("select count(*) from tasks").await, 1_012);
    system.start_worker().await;
    system
        .until(
            "select count(*) from tasks where deleted_at is not null",
            10,
        )
        .await;
    assert_eq!(system.titles("ada").await, ["kept"]);
    let totals = "select count(*) from task_totals where (tasks, bytes, trash_tasks, trash_bytes) = (1, 4, 5, 25)";
    assert_eq!(system.count(totals).await, 2);
}

/// A user who is at the list just now is left for the next time: nobody waits, and nothing can end in a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn the_purge_waits_for_nobody() {
    let database = system::database().await;
    let pool = PgPool::connect_lazy(&database).expect("a URL");
    for user in ["ada", "bob"] {
        as_tool(&pool, user, &deleted(user, 5, "31 days"))
            .await
            .unwrap();
    }
    let mut at_it = rows::begin_for(&pool, "ada").await;
    tasks::lock_list(&mut at_it).await.unwrap();
    let mut db = pool.acquire().await.expect("a connection");
    let month = std::time::Duration::from_secs(30 * 24 * 3600);
    let batch = purge::step(&mut db, Purge::Trash, month, 64).await.unwrap();
    assert_eq!((batch.rows, batch.is_last), (5, true));
    at_it.rollback().await.unwrap();
    let batch = purge::step(&mut db, Purge::Trash, month, 64).await.unwrap();
    assert_eq!((batch.rows, batch.is_last), (5, true));
}

/// The trash is no way around the bounds of a list: it has the same, and what was deleted first goes first.
#[tokio::test(flavor = "multi_thread")]
async fn the_trash_has_a_bound_and_a_restore_needs_room() {
    let mcp = Mcp::with(&["--rate-calls-per-minute", "0"]).await;
    let call = async |tool: &str, mut arguments: serde_json::Value| {
        arguments["user_id"] = json!("ada");
        mcp.call("ada", tool, arguments).await
    };
    as_tool(&mcp.db, "ada", &deleted("ada", 9_999, "1 day"))
        .await
        .unwrap();
    let oldest = "insert into tasks (id, user_id, title, deleted_at) values (gen_random_uuid(), 'ada', 'the first', now() - interval '2 days')";
    as_tool(&mcp.db, "ada", oldest).await.unwrap();
    let added = call("add_task", json!({"title": "the last"})).await;
    let id = added["task_id"].clone();
    assert_eq!(
        call("delete_task", json!({"task_id": id})).await["success"],
        true
    );
    let trash = call("list_tasks", json!({"view": "deleted", "limit": 1})).await;
    assert_eq!(
        (&trash["total"], &trash["tasks"][0]["title"]),
        (&json!(10_000), &json!("the last"))
    );
    let first = call(
        "list_tasks",
        json!({"view": "deleted", "search": "the first"}),
    )
    .await;
    assert_eq!(first["total"], 0);
    // Bytes, too: 33 large ones drive out as many small ones as they need room.
    as_tool(&mcp.db, "ada", "delete from tasks where title = 'gone'")
        .await
        .unwrap();
    let large = "insert into tasks (id, user_id, title, description, deleted_at)
                 select gen_random_uuid(), 'ada', 'large', repeat('x', 8000), now() - interval '1 day' from generate_series(1, 2600)";
    as_tool(&mcp.db, "ada", large).await.unwrap();
    for _ in 0..30 {
        let added = call(
            "add_task",
            json!({"title": "é", "description": "é".repeat(8_000)}),
        )
        .await;
        assert_eq!(
            call("delete_task", json!({"task_id": added["task_id"]})).await["success"],
            true
        );
    }
    let bytes: i64 = sqlx::query_scalar("select trash_bytes from task_totals")
        .fetch_one(&mcp.db)
        .await
        .unwrap();
    assert!(
        (20 * 1024 * 1024 - 40_000..=20 * 1024 * 1024).contains(&bytes),
        "{bytes}"
    );
    // A full list takes nothing back.
    let full = "insert into tasks (id, user_id, title) select gen_random_uuid(), 'ada', 'x' from generate_series(1, 10000)";
    as_tool(&mcp.db, "ada", full).await.unwrap();
    let refused = call("update_task", json!({"task_id": id, "restore": true})).await;
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("10000 tasks"),
        "{refused}"
    );
    // Nor can a task that repeats be done, as what was done would be one more.
    as_tool(
        &mcp.db,
        "ada",
        "delete from tasks where id = (select id from tasks where title = 'x' limit 1)",
    )
    .await
    .unwrap();
    let due = (Utc::now().date_naive() - Duration::days(1)).to_string();
    let daily = call(
        "add_task",
        json!({"title": "daily", "due_date": due, "repeat": "FREQ=DAILY"}),
    )
    .await;
    let refused = call("complete_task", json!({"task_id": daily["task_id"]})).await;
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("full"),
        "{refused}"
    );
    let counted: (i64, i64) =
        sqlx::query_as("select tasks::bigint, trash_tasks::bigint from task_totals")
            .fetch_one(&mcp.db)
            .await
            .unwrap();
    let there: (i64, i64) = sqlx::query_as("select count(*) filter (where deleted_at is null), count(*) filter (where deleted_at is not null) from tasks")
        .fetch_one(&mcp.db).await.unwrap();
    assert_eq!(counted, there);
}

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
    let totals = include_str!("../../../migrations/20261126000042_task_totals.sql");
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

/// What the database itself keeps of a task.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_no_task_has() {
    let url = system::database().await;
    let db = PgPool::connect(&url).await.unwrap();
    let insert = |set: &str, value: &str| {
        format!(
            "insert into tasks (id, user_id, title, {set}) values (gen_random_uuid(), 'ada', 'x', {value})"
        )
    };
    for (set, value) in [
        ("due_time", "'17:00'"),
        ("due_date, due_time", "'2026-11-27', '17:00:30'"),
        ("due_date, due_time", "'2026-11-27', '24:00'"),
        ("due_date", "'10000-01-01'"),
        ("due_date", "'infinity'"),
        ("priority", "'p5'"),
        (
            "tags, tag_keys",
            "array_fill('x'::text, array[11]), array_fill('x'::text, array[11])",
        ),
        ("tags, tag_keys", "array[repeat('x', 41)], array['x']"),
        ("tags, tag_keys", "array[''], array['']"),
        ("tags", "array['x']"),
        ("repeat, repeat_start", "'FREQ=DAILY', '2026-11-27'"),
        ("due_date, repeat", "'2026-11-27', 'FREQ=DAILY'"),
        ("repeat_from", "'never'"),
    ] {
        let error = as_tool(&db, "ada", &insert(set, value))
            .await
            .expect_err(value);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("23514"), "{set} = {value}: {error}");
    }
    as_tool(
        &db,
        "ada",
        &insert(
            "due_date, due_time, tags, tag_keys",
            "'2026-11-27', '17:00', '{Ä}', '{ä}'",
        ),
    )
    .await
    .unwrap();
    let stored: (NaiveDate, String) = sqlx::query_as("select due_date, priority from tasks")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(
        (stored.0.to_string().as_str(), stored.1.as_str()),
        ("2026-11-27", "p4")
    );
}
