//! The two roles of a database: what they are called, and how `migrate` makes them, names them in the functions that take them,
//! and takes back what earlier roles were granted.
//!
//! A role's name is random and kept in the database itself, beside the database that it was made for. So it survives a rename, and
//! what a dump or a template copies is told from the original.

use std::time::Duration;

use errand_core::ids;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::Instant;

use crate::{Connection, StoreError};

/// How long transactions that were begun under earlier roles are waited for. None of ours is as old as this.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The names of two roles. Nothing in them has to be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Roles {
    user: String,
    tool: String,
}

impl Roles {
    fn own(suffix: &str) -> Self {
        Self::named(
            format!("errand_user_{suffix}"),
            format!("errand_tool_{suffix}"),
        )
    }

    fn named(user: impl Into<String>, tool: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            tool: tool.into(),
        }
    }

    /// SQL that calls them `errand_user` and `errand_tool`, with their names.
    fn written_into(&self, sql: &str) -> String {
        sql.replace("errand_user", &self.user)
            .replace("errand_tool", &self.tool)
    }
}

/// Makes the roles of this database and gives them their rights, as far as this login may, and lets nobody connect who has
/// nothing to do here. Processes at work go on meanwhile, those of an earlier version too.
pub(crate) async fn make(db: &mut Connection) -> Result<(), StoreError> {
    let named = sqlx::query!(
        r#"select database as "database!", suffix as "suffix!", user_role as "user_role!", tool_role as "tool_role!",
                  (select oid from pg_database where datname = current_database()) as "here!"
           from isolation_roles()"#
    )
    .fetch_one(&mut *db)
    .await?;
    let former = Roles::named(named.user_role, named.tool_role);
    let suffix = match named.database == named.here {
        true => named.suffix,
        // The random end of an id.
        false => ids::new_id().simple().to_string().split_off(24),
    };
    let acting = |roles: &Roles, former: &Roles| {
        roles
            .written_into(include_str!("acting.sql"))
            .replace("former_tool", &former.tool)
            .replace("of_database", &named.here.0.to_string())
            .replace("own_suffix", &suffix)
    };
    let own = Roles::own(&suffix);
    let mut tx = db.begin().await?;
    execute(&mut tx, &own.written_into(include_str!("../roles.sql"))).await?;
    let is_own = may_take(&mut tx, &own).await? || !may_take(&mut tx, &former).await?;
    let roles = if is_own { &own } else { &former };
    if !is_own {
        // An administrator has yet to make the new ones, and was told so; until then nothing gets worse.
        execute(&mut tx, &former.written_into(include_str!("../roles.sql"))).await?;
    }
    execute(&mut tx, &acting(roles, &former)).await?;
    tx.commit().await?;
    if is_own {
        retire(db, roles).await?;
        execute(db, &acting(roles, roles)).await?;
    }
    execute(db, include_str!("connect.sql")).await
}

/// Whether this login may act as both.
async fn may_take(db: &mut Connection, roles: &Roles) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select may_take($1) and may_take($2) as "may!""#,
        roles.user,
        roles.tool
    )
    .fetch_one(db)
    .await?)
}

/// Takes back what other roles of Errand were granted here, those that all databases shared and those of the original of a copy, as
/// soon as the transactions that may have taken them are over. The roles themselves may be in use by another database.
async fn retire(db: &mut Connection, roles: &Roles) -> Result<(), StoreError> {
    let revokes = sqlx::query_scalar!(
        r#"select distinct format('revoke all on %s %s from %I',
                     case d.classid when 'pg_namespace'::regclass then 'schema' when 'pg_proc'::regclass then 'function' else 'table' end,
                     case d.classid when 'pg_namespace'::regclass then d.objid::regnamespace::text
                                    when 'pg_proc'::regclass then d.objid::regprocedure::text else d.objid::regclass::text end,
                     r.rolname) as "revoke!"
           from pg_shdepend d join pg_roles r on r.oid = d.refobjid
           where d.dbid = (select oid from pg_database where datname = current_database())
             and d.refclassid = 'pg_authid'::regclass and d.deptype = 'a'
             and d.classid in ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_proc'::regclass)
             and r.rolname ~ '^errand_(user|tool)(_[0-9a-f]{8})?$'
             and r.rolname not in ($1, $2)"#,
        roles.user,
        roles.tool
    )
    .fetch_all(&mut *db)
    .await?;
    if revokes.is_empty() {
        return Ok(());
    }
    older_transactions(db).await?;
    for revoke in revokes {
        execute(db, &revoke).await?;
    }
    Ok(())
}

/// Waits until the transactions are over that are open in this database now.
async fn older_transactions(db: &mut Connection) -> Result<(), StoreError> {
    let mut older: Option<Vec<String>> = None;
    let begun = Instant::now();
    loop {
        let open = sqlx::query_scalar!(
            r#"select l.virtualtransaction as "transaction!"
               from pg_locks l join pg_stat_activity a using (pid)
               where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and a.datname = current_database()
                 and a.pid <> pg_backend_pid() and ($1::text[] is null or l.virtualtransaction = any($1))"#,
            older.as_deref()
        )
        .fetch_all(&mut *db)
        .await?;
        if open.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            tracing::warn!(
                transactions = open.len(),
                "some transactions take long; if they act for users, they fail now and are done anew"
            );
            return Ok(());
        }
        older = Some(open);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn execute(db: &mut Connection, sql: &str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(db)
        .await?;
    Ok(())
}
