//! Isolation by the database: transactions that act for one user, the roles they take, and what weakens them.
//!
//! Every query on a user's rows names the user. Behind that stands row level security: a transaction that acts for a user
//! runs under a role that sees and writes that user's rows only, so a forgotten WHERE finds nothing of anybody else. Work for
//! all users (claims, leases, batches of events) runs as the owner of the tables, who is not bound.

use crate::{Connection, Pool, StoreError, Transaction};

mod roles;

pub(crate) use roles::make as make_roles;

/// Tables that hold rows of users.
const TABLES: [&str; 14] = [
    "conversations",
    "messages",
    "runs",
    "steps",
    "tool_calls",
    "run_events",
    "tasks",
    "task_totals",
    "usage_days",
    "mcp_attempts",
    "mcp_calls",
    "approvals",
    "user_settings",
    "summaries",
];

/// Begins a transaction that acts for a user. Its writes last if it is committed; reads need no commit.
///
/// # Errors
/// The database is unreachable.
pub async fn begin_for(pool: &Pool, user_id: &str) -> Result<Transaction, StoreError> {
    let mut tx = pool.begin().await?;
    act(&mut tx, user_id).await?;
    Ok(tx)
}

/// Has a transaction act for a user from here on.
pub(crate) async fn act(db: &mut Connection, user_id: &str) -> Result<(), StoreError> {
    // Behind a pooler no start-up option limits what a user's query may take, so this transaction limits itself.
    sqlx::query!(
        "select set_config('statement_timeout', '4s', true) as statements,
                set_config('idle_in_transaction_session_timeout', '5s', true) as idle,
                act_for($1)",
        user_id
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Says in the log what makes isolation by the database weaker than it should be.
pub(crate) async fn report(pool: &Pool) -> Result<(), StoreError> {
    let mut db = pool.acquire().await?;
    let login = sqlx::query!(
        r#"select session_user::text as "name!",
                  coalesce(rolsuper or rolbypassrls, false) as "bypasses!",
                  user_role as "user_role!", tool_role as "tool_role!",
                  may_take(user_role) and may_take(tool_role) as "takes_roles!",
                  database = (select oid from pg_database where datname = current_database())
                      and user_role <> 'errand_user' as "are_own!",
                  array(select t from unnest($1::text[]) t
                        where not coalesce((select relrowsecurity from pg_class where oid = to_regclass('public.' || t)), false)
                  ) as "open!: Vec<String>",
                  exists (select 1 from pg_roles where rolname in (user_role, tool_role) and (rolsuper or rolbypassrls))
                      as "roles_bypass!"
           from pg_roles, isolation_roles() where rolname = session_user"#,
        &TABLES.map(str::to_owned) as &[String]
    )
    .fetch_one(&mut *db)
    .await?;
    let (user_role, tool_role) = (&login.user_role, &login.tool_role);
    if !login.takes_roles {
        tracing::warn!(
            login = login.name,
            "row level security is not in force: the roles {user_role} and {tool_role} do not exist or this login may not take them; \
             run `errand-api migrate` as a login that may create roles, or grant them to this one"
        );
    } else if !login.are_own {
        tracing::warn!(
            login = login.name,
            "the roles {user_role} and {tool_role} are shared with another database: whoever acts there may act here; \
             run `errand-api migrate` as a login that may create roles"
        );
    }
    if login.bypasses || login.roles_bypass {
        tracing::warn!(
            login = login.name,
            "the login role bypasses row level security outside a user's transactions; use a role made in SQL, \
             neither superuser nor BYPASSRLS"
        );
    }
    if !login.open.is_empty() {
        tracing::warn!(tables = ?login.open, "row level security is switched off");
    }
    Ok(())
}
