//! Several databases on one server: roles belong to the server, so each database has its own, and nobody connects to another.

use errand_devkit::{
    model::Turn,
    postgres::{Cluster, ClusterOptions},
};
use errand_store::db::migrate;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::system::{Options, TestSystem, rows};

/// A server of its own: what is looked at here belongs to servers.
struct Server {
    cluster: Cluster,
    admin: PgConnection,
}

impl Server {
    async fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions::throwaway()).await.unwrap();
        let admin = PgConnection::connect(&cluster.admin_url("postgres"));
        let admin = admin.await.unwrap();
        Self { cluster, admin }
    }

    async fn execute(&mut self, sql: impl Into<String>) {
        let sql = sql.into();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.admin)
            .await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// As README advises: a login that owns its database.
    async fn database(&mut self, name: &str, rights: &str) -> String {
        self.execute(format!("create role {name} login {rights}"))
            .await;
        self.execute(format!("create database {name} owner {name}"))
            .await;
        let url = self.url(name, name);
        migrate::run(&url).await.unwrap();
        url
    }

    fn url(&self, login: &str, database: &str) -> String {
        let url = self.cluster.url(database);
        url.replace("errand_app@", &format!("{login}@"))
    }
}

/// A turn that changes a task, and who has the right to do so.
async fn a_turn_works(system: &TestSystem, title: &str) {
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    system.model.push(Turn::text("Done."));
    let answer = system.say("ada", "add it").await;
    let calls = &answer.assert_ok()["tool_calls"];
    assert_eq!(calls[0]["result"]["success"], true, "{calls}");
    assert!(
        system
            .titles("ada")
            .await
            .iter()
            .any(|found| found == title)
    );
}

fn code(error: &sqlx::Error) -> String {
    let error = error.as_database_error().expect("the server's answer");
    error.code().unwrap_or_default().into_owned()
}

const REFUSED: &str = "42501";

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_one_database_reaches_nothing_of_another() {
    let mut server = Server::start().await;
    let one = server.database("one", "createrole").await;
    let two = server.database("two", "createrole").await;
    let here = TestSystem::on(&one, Options::default()).await;
    let there = TestSystem::on(&two, Options::default()).await;
    a_turn_works(&here, "hers").await;
    a_turn_works(&there, "another").await;
    let (user_role, tool_role) = rows::roles(&here.db).await;
    for system in [&here, &there] {
        let mut tx = rows::begin_for(&system.db, "ada").await;
        let role: String = sqlx::query_scalar("select current_user::text")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(role, rows::roles(&system.db).await.0);
    }
    assert_ne!(rows::roles(&there.db).await.0, user_role);

    let from_there = server.url("two", "one");
    let refused = PgConnection::connect(&from_there).await;
    assert_eq!(code(&refused.expect_err("a foreign login")), REFUSED);
    // Had it been let in, it would still find nothing.
    let run: uuid::Uuid = sqlx::query_scalar("select id from runs")
        .fetch_one(&here.db)
        .await
        .unwrap();
    server.execute("grant connect on database one to two").await;
    let mut foreign = PgConnection::connect(&from_there).await.unwrap();
    for attempt in [
        "begin; select act_for('ada'); select * from tasks".to_owned(),
        "begin; select act_for('ada'); insert into mcp_calls (id, user_id, tool_name, parameters)
             values (gen_random_uuid(), 'ada', 'x', '{}')"
            .to_owned(),
        "begin; select act_as_tool('x'); delete from tasks".to_owned(),
        // Nor do functions that act as the owner of the tables act for it.
        format!(
            "begin; set errand.user_id = 'ada'; select run_append('{run}', 1000, array['{{\"type\": \"CUSTOM\"}}'::jsonb])"
        ),
        format!("begin; set errand.user_id = 'ada'; select run_enqueue(array['{run}'::uuid])"),
        format!("set role {user_role}"),
        format!("set role {tool_role}"),
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(attempt.clone()))
            .execute(&mut foreign)
            .await;
        let error = refused.expect_err(&attempt);
        assert_eq!(code(&error), REFUSED, "{attempt}: {error}");
        sqlx::raw_sql("rollback")
            .execute(&mut foreign)
            .await
            .unwrap();
    }
    // Neither did the migration of one take anything from the other, nor does a second one.
    migrate::run(&one).await.unwrap();
    migrate::run(&two).await.unwrap();
    assert_eq!(rows::roles(&here.db).await, (user_role, tool_role));
    a_turn_works(&here, "more").await;
    a_turn_works(&there, "more").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_take_the_roles_still_works() {
    let mut server = Server::start().await;
    let url = server.database("plain", "").await;
    let system = TestSystem::on(&url, Options::default()).await;
    a_turn_works(&system, "without the roles").await;
    let (user_role, tool_role) = rows::roles(&system.db).await;
    // They are there, for somebody else; and so are those of an earlier version's databases.
    for role in [&user_role, &tool_role, "errand_user", "errand_tool"] {
        server.execute(format!("create role {role}")).await;
    }
    migrate::run(&url).await.unwrap();
    a_turn_works(&system, "beside the roles").await;
    // The rule that there is a call holds all the same.
    let outside = sqlx::query("update tasks set title = 'x'")
        .execute(&system.db)
        .await;
    assert_eq!(code(&outside.expect_err("no call")), REFUSED);
    server
        .execute(format!("grant {user_role}, {tool_role} to plain"))
        .await;
    a_turn_works(&system, "with the roles").await;
}

/// A login that may not make roles, for which an administrator had made the shared ones: nothing gets worse before its own are there.
#[tokio::test(flavor = "multi_thread")]
async fn shared_roles_stay_in_force_until_a_database_can_have_its_own() {
    let mut server = Server::start().await;
    server
        .execute("create role errand_user; create role errand_tool")
        .await;
    let url = server
        .database("plain", "in role errand_user, errand_tool")
        .await;
    let system = TestSystem::on(&url, Options::default()).await;
    let acts_as = async |system: &TestSystem| {
        let mut tx = rows::begin_for(&system.db, "ada").await;
        let role: String = sqlx::query_scalar("select current_user::text")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        role
    };
    a_turn_works(&system, "with shared roles").await;
    assert_eq!(acts_as(&system).await, "errand_user");
    let suffix: String = sqlx::query_scalar("select suffix from isolation_roles()")
        .fetch_one(&system.db)
        .await
        .unwrap();
    for role in ["errand_user", "errand_tool"] {
        server
            .execute(format!(
                "create role {role}_{suffix}; grant {role}_{suffix} to plain"
            ))
            .await;
    }
    migrate::run(&url).await.unwrap();
    a_turn_works(&system, "with its own").await;
    assert_eq!(acts_as(&system).await, format!("errand_user_{suffix}"));
    assert_eq!(system.count(GRANTED_TO_SHARED).await, 0);
}

/// Whoever was granted something by name keeps the right to connect, and so do members of the owner.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_something_to_do_here_may_still_connect() {
    let mut server = Server::start().await;
    server
        .execute(
            "create role house nologin; create role one login createrole in role house;
             create role two login noinherit in role house; create role dashboard login; create role stranger login",
        )
        .await;
    server.execute("create database house owner house").await;
    let url = server.url("one", "house");
    migrate::run(&url).await.unwrap();
    let owner = PgPool::connect(&url).await.unwrap();
    rows::execute(
        &owner,
        "grant connect on database house to public; grant select on runs to dashboard",
    )
    .await;
    migrate::run(&url).await.unwrap();
    for (login, may) in [
        ("one", true),
        ("two", true),
        ("dashboard", true),
        ("stranger", false),
    ] {
        let connected = PgConnection::connect(&server.url(login, "house")).await;
        assert_eq!(connected.is_ok(), may, "{login}");
    }
}

/// What the shared roles have been granted in this database.
const GRANTED_TO_SHARED: &str = "
    select count(*) from pg_shdepend d join pg_roles r on r.oid = d.refobjid
    where d.dbid = (select oid from pg_database where datname = current_database())
      and rolname in ('errand_user', 'errand_tool')";

/// What an earlier version had made: two roles for all databases, in the functions and in the grants.
const SHARED: &str = "
    grant execute on function run_append(uuid, bigint, jsonb[]), run_enqueue(uuid[]) to errand_user;
    grant usage on schema public, apalis to errand_user, errand_tool;
    grant execute on function lock_list() to errand_user, errand_tool;
    grant select, update on summaries to errand_user;
    grant select, insert, update on conversations, runs, usage_days, approvals, user_settings to errand_user;
    grant select, insert on messages, steps, run_events, tool_calls, mcp_calls to errand_user;
    grant select on tasks, user_settings to errand_user;
    grant select, insert, update, delete on apalis.jobs to errand_user;
    grant select, insert, update, delete on tasks to errand_tool;
    grant select on tool_calls, mcp_calls, user_settings to errand_tool;
    grant update (result, is_error, duration_ms) on tool_calls, mcp_calls to errand_tool;
    create or replace function isolation_roles(out database oid, out suffix text, out user_role text, out tool_role text)
    language sql immutable as $$ select 0::oid, ''::text, 'errand_user'::text, 'errand_tool'::text $$;";

#[tokio::test(flavor = "multi_thread")]
async fn shared_roles_are_given_up_while_processes_are_at_work() {
    let mut server = Server::start().await;
    server
        .execute(
            "create role errand_user; create role errand_tool; create role another login;
             grant errand_user, errand_tool to another",
        )
        .await;
    let url = server
        .database("old", "createrole in role errand_user, errand_tool")
        .await;
    let system = TestSystem::on(&url, Options::default()).await;
    let (own_user, own_tool) = rows::roles(&system.db).await;
    rows::execute(&system.db, SHARED).await;
    let mut acting =
        include_str!("../../../migrations/20261121000010_acting_is_cheap.sql").to_owned();
    let trigger = include_str!("../../../migrations/20261121000006_isolation.sql");
    // With the one thing that calls of this version need of it.
    acting.push_str(
        &trigger[trigger
            .find("create or replace function refuse_change")
            .unwrap()..]
            .replace(
                "c.xmin = pg_current_xact_id()::xid",
                "is_written_here(c.xmin)",
            ),
    );
    rows::execute(&system.db, &acting).await;
    rows::execute(&system.db, &format!("drop owned by {own_user}, {own_tool}")).await;
    a_turn_works(&system, "before").await;

    // A call that has begun, with the shared roles, when the migration comes.
    let mut call = rows::begin_for(&system.db, "ada").await;
    let opened = "insert into mcp_calls (id, user_id, tool_name, parameters)
                      values ('01890000-0000-7000-8000-000000000000', 'ada', 'x', '{}');
                  select act_as_tool('mcp/01890000-0000-7000-8000-000000000000')";
    sqlx::raw_sql(opened).execute(&mut *call).await.unwrap();
    let effect =
        "insert into tasks (id, user_id, title) values (gen_random_uuid(), 'ada', 'begun before');
                  update mcp_calls set result = '{}'";
    let at_work = async {
        let named = "select count(*) from isolation_roles() where user_role <> 'errand_user'";
        system.until(named, 1).await;
        a_turn_works(&system, "meanwhile").await;
        sqlx::raw_sql(effect).execute(&mut *call).await.unwrap();
        call.commit().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrate::run(&url), at_work);
    migrated.unwrap();
    let titles = system.titles("ada").await;
    assert_eq!(titles.len(), 3, "{titles:?}");
    a_turn_works(&system, "after").await;

    // Nothing here is theirs any more. Another database's may be, so the roles stay.
    assert_eq!(system.count(GRANTED_TO_SHARED).await, 0);
    let roles = "select count(*) from pg_roles where rolname in ('errand_user', 'errand_tool')";
    assert_eq!(system.count(roles).await, 2);
    server
        .execute("grant connect on database old to another")
        .await;
    let mut foreign = PgConnection::connect(&server.url("another", "old"))
        .await
        .unwrap();
    let refused = sqlx::raw_sql(
        "begin; select act_for('ada'); set local role errand_user; select * from tasks",
    )
    .execute(&mut foreign)
    .await;
    assert_eq!(code(&refused.expect_err("a foreign login")), REFUSED);
}

/// A dump that was restored without its privileges leaves every function to everybody; the next migration takes them back.
#[tokio::test(flavor = "multi_thread")]
async fn what_acts_as_the_owner_is_for_nobody_else_also_after_a_restore_without_privileges() {
    let mut server = Server::start().await;
    let url = server.database("restored", "createrole").await;
    let system = TestSystem::on(&url, Options::default()).await;
    let open = "select count(*) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                where p.pronamespace = 'public'::regnamespace and p.prosecdef and a.grantee = 0";
    assert_eq!(system.count(open).await, 0);
    let restored = "do $$ declare f text; begin
                      for f in select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef loop
                        execute 'grant execute on function ' || f || ' to public';
                      end loop;
                    end $$";
    rows::execute(&system.db, restored).await;
    assert!(system.count(open).await > 5);
    migrate::run(&url).await.unwrap();
    assert_eq!(system.count(open).await, 0);
    a_turn_works(&system, "after").await;
}
