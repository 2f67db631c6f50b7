//! Isolation in depth: the WHERE of each query, and row level security behind it. Each is taken away to see the other hold;
//! `matrix` does so for everything that users can reach.

use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    isolation::matrix::Matrix,
    system::{TestSystem, rows},
};

mod injection;
pub(crate) mod matrix;

mod databases;
mod deny;
mod jobs;
mod start_up;

/// Ada and Bob with rows in every table.
async fn two_users() -> Matrix {
    let matrix = Matrix::build().await;
    let system = &matrix.system;
    system.say("bob", "his").await.assert_ok();
    for user in ["ada", "bob"] {
        let rows = format!(
            "insert into usage_days (user_id, day, tokens) values ('{user}', current_date, 1)
                 on conflict do nothing;
             insert into approvals (run_id, step, ordinal, user_id, tool_name, parameters)
                 select id, 99, 0, user_id, 'x', '{{}}' from runs where user_id = '{user}' limit 1;
             insert into mcp_calls (id, user_id, tool_name, parameters)
                 values (gen_random_uuid(), '{user}', 'list_tasks', '{{}}');
             insert into mcp_attempts (user_id) values ('{user}');
             insert into summaries (id, conversation_id, user_id, covers_to, status, finished_at)
                 select gen_random_uuid(), id, user_id, 0, 'skipped', now() from conversations where user_id = '{user}' limit 1;
             insert into user_settings (user_id, time_zone) values ('{user}', 'Europe/Berlin') on conflict do nothing"
        );
        rows::execute(&system.db, &rows).await;
        for (table, count, _) in rows::of(&system.db, user).await {
            assert!(count > 0, "{user} has nothing in {table}");
        }
    }
    matrix
}

/// Executes a statement inside a transaction for a user, and takes it back. The rows it touched, or the refusal's code.
async fn attempt(db: &mut PgConnection, statement: &str) -> Result<u64, String> {
    sqlx::raw_sql("savepoint attempt")
        .execute(&mut *db)
        .await
        .expect("a savepoint");
    let result = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *db)
        .await;
    sqlx::raw_sql("rollback to savepoint attempt")
        .execute(&mut *db)
        .await
        .expect("a savepoint");
    result.map(|done| done.rows_affected()).map_err(|error| {
        let code = error.as_database_error().and_then(|error| error.code());
        code.unwrap_or_default().into_owned()
    })
}

const REFUSED: &str = "42501";

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_users_has_a_policy() {
    let system = TestSystem::start().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public' and relkind in ('r', 'p') and relname <> '_sqlx_migrations'
         order by relname",
    )
    .fetch_all(&system.db)
    .await
    .unwrap();
    let mut known: Vec<&str> = rows::TABLES.iter().map(|(table, _)| *table).collect();
    // Nobody's.
    known.extend(["periodic_work", "purge_cursors", "queue_state", "routines"]);
    known.extend(["queue_pause", "worker_drains"]);
    known.sort_unstable();
    assert_eq!(
        tables, known,
        "teach these tests the new table: whose rows does it hold?"
    );
    let bare = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = 'public' and relkind in ('r', 'p') and relname <> '_sqlx_migrations'
                  and not (relrowsecurity and exists (select 1 from pg_policy p where p.polrelid = c.oid))";
    assert_eq!(system.count(bare).await, 0);
    let roles = "select count(*) from pg_roles, isolation_roles()
                 where rolname in (user_role, tool_role) and not (rolsuper or rolbypassrls or rolcanlogin)";
    assert_eq!(system.count(roles).await, 2);
}

/// Whoever can choose a function's search path can put a table or a function of their own before what it means; but not where the body was bound when it was made.
#[tokio::test(flavor = "multi_thread")]
async fn no_function_means_what_a_search_path_makes_of_it() {
    let system = TestSystem::start().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select oid::regprocedure::text from pg_proc p
         where pronamespace in ('public'::regnamespace, 'apalis'::regnamespace) and prosqlbody is null
           and not exists (select 1 from pg_depend d
                           where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
           and not exists (select 1 from unnest(proconfig) setting
                           where setting ~ '^search_path=pg_catalog, (public|apalis), pg_temp$')",
    )
    .fetch_all(&system.db)
    .await
    .unwrap();
    assert_eq!(open, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_forgot_its_where_finds_its_users_rows_only() {
    let system = two_users().await.system;
    let hers = rows::of(&system.db, "ada").await;
    let mut tx = rows::begin_for(&system.db, "ada").await;
    for ((table, count, print), (_, owned)) in hers.iter().zip(rows::TABLES) {
        let all = format!(
            "select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t"
        );
        let found: (i64, String) = sqlx::query_as(AssertSqlSafe(all))
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(found, (*count, print.clone()), "{table}");
        let his = format!("select count(*) from {table} where {owned}");
        let his: i64 = sqlx::query_scalar(AssertSqlSafe(his))
            .bind("bob")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(his, 0, "{table}");
    }
    drop(tx);
    // For nobody there is nothing, and a transaction leaves nothing of its user to the next one on its connection.
    let mut nobody = rows::begin_for(&system.db, "").await;
    for (table, _) in rows::TABLES {
        let all = format!("select count(*) from {table}");
        let all: i64 = sqlx::query_scalar(AssertSqlSafe(all))
            .fetch_one(&mut *nobody)
            .await
            .unwrap();
        assert_eq!(all, 0, "{table}");
    }
    nobody.rollback().await.unwrap();
    let left = "select count(*) from (select current_user = session_user as same,
                    coalesce(current_setting('errand.user_id', true), '') = '' as empty) s where same and empty";
    assert_eq!(system.count(left).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_forgot_its_where_touches_its_users_rows_only() {
    let system = two_users().await.system;
    let count = |table: &str, counts: &[(&str, i64, String)]| {
        let found = counts.iter().find(|(name, ..)| *name == table);
        u64::try_from(found.expect("the table").1).expect("a count")
    };
    let hers = rows::of(&system.db, "ada").await;
    let mut tx = rows::begin_for(&system.db, "ada").await;
    for (table, set) in [
        ("conversations", "title = 'x'"),
        ("runs", "error_message = 'x'"),
        ("usage_days", "tokens = 0"),
        ("approvals", "tool_name = 'x'"),
        ("user_settings", "time_zone = 'x'"),
    ] {
        let touched = attempt(&mut tx, &format!("update {table} set {set}")).await;
        assert_eq!(touched, Ok(count(table, &hers)), "{table}");
        // Nor can a row be given away.
        let given = attempt(&mut tx, &format!("update {table} set user_id = 'bob'")).await;
        assert_eq!(given, Err(REFUSED.to_owned()), "{table}");
    }
    // What is immutable cannot be changed at all, and nothing can be deleted.
    for table in [
        "messages",
        "tool_calls",
        "mcp_calls",
        "tasks",
        "task_totals",
    ] {
        let touched = attempt(&mut tx, &format!("update {table} set user_id = user_id")).await;
        assert_eq!(touched, Err(REFUSED.to_owned()), "{table}");
    }
    for (table, _) in rows::TABLES {
        for statement in [format!("delete from {table}"), format!("truncate {table}")] {
            let touched = attempt(&mut tx, &statement).await;
            assert_eq!(touched, Err(REFUSED.to_owned()), "{statement}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_for_somebody_else_is_refused() {
    let system = two_users().await.system;
    // A run of his without any message, so that one can be inserted.
    let his: (String, String) = sqlx::query_as(
        "insert into runs (id, conversation_id, user_id, status, error_code, finished_at)
         select gen_random_uuid(), id, user_id, 'failed', 'x', now() from conversations where user_id = 'bob'
         returning id::text, conversation_id::text",
    )
    .fetch_one(&system.db)
    .await
    .unwrap();
    let (run, conversation) = his;
    let step = format!(
        "insert into steps (run_id, step, attempt, content, tool_calls) values ('{run}', 7, 1, '', '[]')"
    );
    rows::execute(&system.db, &step).await;
    let inserts = [
        "insert into conversations (id, user_id, title) values (gen_random_uuid(), 'bob', 'x')".to_owned(),
        format!("insert into runs (id, conversation_id, user_id) values (gen_random_uuid(), '{conversation}', 'bob')"),
        format!("insert into messages (id, conversation_id, user_id, run_id, role, content)
                 values (gen_random_uuid(), '{conversation}', 'bob', '{run}', 'assistant', 'x')"),
        format!("insert into steps (run_id, step, attempt, content, tool_calls) values ('{run}', 1, 1, '', '[]')"),
        format!("insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters)
                 values ('{run}', 7, 99, 'bob', 'x', '{{}}')"),
        format!(r#"insert into run_events (run_id, seq, event) values ('{run}', 9999, '{{"type": "x"}}')"#),
        "insert into usage_days (user_id, day, tokens) values ('bob', '2000-01-01', 1)".to_owned(),
        "insert into mcp_calls (id, user_id, tool_name, parameters) values (gen_random_uuid(), 'bob', 'x', '{}')".to_owned(),
        "insert into mcp_attempts (user_id) values ('bob')".to_owned(),
        "insert into user_settings (user_id, time_zone) values ('bob', 'x') on conflict (user_id) do update set time_zone = 'x'".to_owned(),
        format!("insert into approvals (run_id, step, ordinal, user_id, tool_name, parameters) values ('{run}', 1, 1, 'bob', 'x', '{{}}')"),
        "insert into tasks (id, user_id, title) values (gen_random_uuid(), 'bob', 'x')".to_owned(),
        "insert into task_totals (user_id, tasks, bytes) values ('bob', 0, 0)".to_owned(),
        format!("insert into summaries (id, conversation_id, user_id, covers_to) values (gen_random_uuid(), '{conversation}', 'bob', 9)"),
    ];
    assert_eq!(inserts.len(), rows::TABLES.len());
    let mut tx = rows::begin_for(&system.db, "ada").await;
    for insert in &inserts {
        assert_eq!(
            attempt(&mut tx, insert).await,
            Err(REFUSED.to_owned()),
            "{insert}"
        );
    }
    drop(tx);
    // The statements are what they seem: he may, but for the tasks.
    let mut tx = rows::begin_for(&system.db, "bob").await;
    for insert in &inserts[..10] {
        assert_eq!(attempt(&mut tx, insert).await, Ok(1), "{insert}");
    }
}

/// The tools' role, inside an open call of Ada's.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_forgot_its_where_touches_its_users_tasks_only() {
    let matrix = two_users().await;
    let system = &matrix.system;
    let tasks = |user: &str| {
        let query = format!("select count(*) from tasks where user_id = '{user}'");
        let db = system.db.clone();
        async move {
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(query))
                .fetch_one(&db)
                .await
                .unwrap();
            u64::try_from(count).unwrap()
        }
    };
    let hers = tasks("ada").await;
    assert!(hers > 0 && tasks("bob").await > 0);
    let key = format!("{}/1/77", matrix.ids.run);
    let open = format!(
        "insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters)
         values ('{}', 1, 77, 'ada', 'update_task', '{{}}')",
        matrix.ids.run
    );
    let mut tx = rows::begin_for(&system.db, "ada").await;
    sqlx::raw_sql(AssertSqlSafe(open))
        .execute(&mut *tx)
        .await
        .unwrap();
    // With the call open and named, the user's role still may not.
    sqlx::query("select set_config('errand.tool_call', $1, true)")
        .bind(&key)
        .execute(&mut *tx)
        .await
        .unwrap();
    let update = "update tasks set title = 'x'";
    assert_eq!(attempt(&mut tx, update).await, Err(REFUSED.to_owned()));
    sqlx::query("select act_as_tool($1)")
        .bind(&key)
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(attempt(&mut tx, update).await, Ok(hers));
    assert_eq!(attempt(&mut tx, "delete from tasks").await, Ok(hers));
    let add = |user: &str| {
        format!("insert into tasks (id, user_id, title) values (gen_random_uuid(), '{user}', 'x')")
    };
    assert_eq!(attempt(&mut tx, &add("ada")).await, Ok(1));
    assert_eq!(attempt(&mut tx, &add("bob")).await, Err(REFUSED.to_owned()));
    assert_eq!(
        attempt(&mut tx, "update tasks set user_id = 'bob'").await,
        Err(REFUSED.to_owned())
    );
    assert_eq!(
        attempt(&mut tx, "truncate tasks").await,
        Err(REFUSED.to_owned())
    );
    // The tools' role reads no conversations, and writes nothing but tasks and the result of its call.
    for statement in [
        "select * from messages",
        "select * from conversations",
        "update runs set status = 'failed'",
        "update tool_calls set parameters = '{}'",
        "insert into usage_days values ('ada', '2000-01-01', 1)",
    ] {
        assert_eq!(
            attempt(&mut tx, statement).await,
            Err(REFUSED.to_owned()),
            "{statement}"
        );
    }
    drop(tx);
    assert_eq!(system.titles("bob").await.len(), 2);
    assert_eq!(json!(system.titles("ada").await.len()), json!(hers));
}
