//! All rows of users, table by table: for tests of who may see and change them.

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

/// Tables that hold rows of users, and how to find an owner's rows in them.
pub(crate) const TABLES: [(&str, &str); 14] = [
    ("conversations", "user_id = $1"),
    ("messages", "user_id = $1"),
    ("runs", "user_id = $1"),
    (
        "steps",
        "run_id in (select id from runs where user_id = $1)",
    ),
    ("tool_calls", "user_id = $1"),
    (
        "run_events",
        "run_id in (select id from runs where user_id = $1)",
    ),
    ("approvals", "user_id = $1"),
    ("tasks", "user_id = $1"),
    ("usage_days", "user_id = $1"),
    ("mcp_calls", "user_id = $1"),
    ("mcp_attempts", "user_id = $1"),
    ("task_totals", "user_id = $1"),
    ("user_settings", "user_id = $1"),
    ("summaries", "user_id = $1"),
];

/// Executes a statement as the owner of the tables.
pub(crate) async fn execute(db: &PgPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(db)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Begins a transaction that acts for a user.
pub(crate) async fn begin_for(db: &PgPool, user: &str) -> Transaction<'static, Postgres> {
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query("select act_for($1)")
        .bind(user)
        .execute(&mut *tx)
        .await
        .expect("acts for the user");
    tx
}

/// Commits that insert such rows (`when` tells of `new`) wait until the transaction that is returned has ended, if no statement's
/// time is over before.
pub(crate) async fn hold_commits(
    db: &PgPool,
    table: &str,
    when: &str,
) -> Transaction<'static, Postgres> {
    let wait = format!(
        "create function hold() returns trigger language plpgsql as
         $$ begin perform set_config('lock_timeout', '0', true); perform pg_advisory_xact_lock(1); return null; end $$;
         create constraint trigger hold after insert on {table} deferrable initially deferred
         for each row when ({when}) execute function hold()"
    );
    execute(db, &wait).await;
    let mut held = db.begin().await.expect("a transaction");
    sqlx::raw_sql("select pg_advisory_xact_lock(1)")
        .execute(&mut *held)
        .await
        .expect("the lock");
    held
}

/// The roles that this database has for users and for tools.
pub(crate) async fn roles(db: &PgPool) -> (String, String) {
    sqlx::query_as("select user_role, tool_role from isolation_roles()")
        .fetch_one(db)
        .await
        .expect("the roles")
}

/// How many rows each table has of this user, and what is in them: equal if nothing was changed.
pub(crate) async fn of(db: &PgPool, user: &str) -> Vec<(&'static str, i64, String)> {
    let mut found = Vec::new();
    for (table, owned) in TABLES {
        let query = format!(
            "select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t where {owned}"
        );
        let (count, print): (i64, String) = sqlx::query_as(AssertSqlSafe(query))
            .bind(user)
            .fetch_one(db)
            .await
            .expect("rows");
        found.push((table, count, print));
    }
    found
}

/// Rows whose parts belong to different users. There must be none, ever.
pub(crate) async fn across_users(db: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select (select count(*) from messages m join conversations c on c.id = m.conversation_id where m.user_id <> c.user_id)
              + (select count(*) from messages m join runs r on r.id = m.run_id where m.user_id <> r.user_id)
              + (select count(*) from runs r join conversations c on c.id = r.conversation_id where r.user_id <> c.user_id)
              + (select count(*) from summaries s join conversations c on c.id = s.conversation_id where s.user_id <> c.user_id)
              + (select count(*) from tool_calls t join runs r on r.id = t.run_id where t.user_id <> r.user_id)",
    )
    .fetch_one(db)
    .await
    .expect("a number")
}

/// Switches row level security off in every table: only the WHERE of each query isolates then.
pub(crate) async fn without_policies(db: &PgPool) {
    for (table, _) in TABLES {
        execute(
            db,
            &format!("alter table {table} disable row level security"),
        )
        .await;
    }
}
