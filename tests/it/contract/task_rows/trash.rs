//! Deleted tasks: kept for thirty days, bounded, purged.

use chrono::{Duration, Utc};
use errand_store::{
    queue::purge::{self, Purge},
    tasks,
};
use serde_json::json;
use sqlx::PgPool;

use super::as_tool;
use crate::system::{self, Options, TestSystem, as_superuser, mcp::Mcp, rows};

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
