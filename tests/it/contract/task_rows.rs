//! The rows behind tasks with time: what a view costs, how the trash is emptied, and how a database of the version before gets there.

use chrono::{NaiveDate, Utc};
use errand_core::calendar::{Now, Tz};
use errand_store::{
    Connection,
    tasks::{self, Filter, View},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row};

use crate::system::{self, as_superuser, rows};

mod earlier_version;
mod trash;

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
    // One day, though it may end while they are made.
    let begun = Utc::now();
    let today = format!("date '{}'", begun.date_naive());
    let seed = seed.replace("current_date", &today);
    // Without triggers: what they check is not what this is about.
    let mut superuser = PgConnection::connect(&as_superuser(&database))
        .await
        .expect("a login");
    sqlx::raw_sql(AssertSqlSafe(seed))
        .execute(&mut superuser)
        .await
        .expect("tasks");
    rows::execute(&pool, "vacuum analyze tasks").await;
    let now = Now::at(begun, Tz::UTC);
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
