//! What the programs say of isolation when they start, and what `errand-api migrate` does about it.

use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn},
    postgres::{Cluster, ClusterOptions},
};
use serde_json::json;
use sqlx::{Connection, PgConnection, PgPool};

use crate::system::{
    self, Answer,
    process::{self, Process},
    rows,
};

const IN_FORCE: &str = "row level security is not in force";
const BYPASSES: &str = "bypasses row level security";
const SHARED: &str = "shared with another database";
const OFF: &str = "row level security is switched off";

/// A model and an identity provider that programs can be pointed at.
struct Outside {
    model: ScriptedModel,
    identity: IdentityProvider,
}

impl Outside {
    async fn start() -> Self {
        let model = ScriptedModel::start().await.unwrap();
        model.script(|_| Turn::text("Hello."));
        let identity = IdentityProvider::start(IdentityOptions::default());
        Self {
            model,
            identity: identity.await.unwrap(),
        }
    }

    async fn program(&self, program: &str, database_url: &str) -> Process {
        let model = self.model.base_url();
        let environment = [
            ("DATABASE_URL", database_url),
            ("BETTER_AUTH_URL", self.identity.issuer()),
            ("OPENAI_BASE_URL", &model),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
        ];
        Process::start(program, &[], environment).await
    }

    /// What both programs warn of until they are at work; then a turn, which works whatever they say.
    async fn warnings(&self, database_url: &str) -> String {
        let mut api = self.program("errand-api", database_url).await;
        let mut worker = self.program("errand-worker", database_url).await;
        let serving = api.until_says("serving").await;
        let address = serving.split("address=").nth(1).unwrap().trim().to_owned();
        api.until_says("the database is ready").await;
        worker.until_says("taking runs").await;
        let chat = reqwest::Client::new().post(format!("http://{address}/api/ada/chat"));
        let chat = chat.bearer_auth(self.identity.token("ada"));
        let answer = Answer::of(chat.json(&json!({"message": "hi"}))).await;
        assert_eq!(answer.assert_ok()["response"], "Hello.");
        let warns = |process: &Process| {
            let warnings = process.heard().iter().filter(|line| line.contains("WARN"));
            warnings.cloned().collect::<Vec<_>>().join("\n")
        };
        let (api, worker) = (warns(&api), warns(&worker));
        assert_eq!(
            api.lines().count(),
            worker.lines().count(),
            "{api}\n{worker}"
        );
        api
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_weakens_isolation_is_reported() {
    let outside = Outside::start().await;
    let url = system::database().await;
    let copied = outside.warnings(&url).await;
    assert!(copied.contains(SHARED), "{copied}");
    assert_eq!(copied.lines().count(), 1, "{copied}");
    migrate(&url).await;
    assert_eq!(outside.warnings(&url).await, "");
    let warnings = outside.warnings(&system::as_superuser(&url)).await;
    assert!(warnings.contains(BYPASSES), "{warnings}");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    let db = PgPool::connect(&url).await.unwrap();
    rows::execute(&db, "alter table messages disable row level security").await;
    let warnings = outside.warnings(&url).await;
    assert!(
        warnings.contains(OFF) && warnings.contains(r#"["messages"]"#),
        "{warnings}"
    );
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

async fn migrate(url: &str) -> String {
    let (status, said) = process::run("errand-api", &["migrate"], [("DATABASE_URL", url)]).await;
    assert!(status.success(), "{said}");
    said
}

/// A server of its own: roles belong to it, and other tests need theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_make_roles_is_told_what_to_do() {
    let cluster = Cluster::start(ClusterOptions::throwaway()).await.unwrap();
    let outside = Outside::start().await;
    let mut admin = PgConnection::connect(&cluster.admin_url("postgres"))
        .await
        .unwrap();
    for statement in [
        "create role plain login",
        "create database plain owner plain",
    ] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    let url = cluster.url("plain").replace("errand_app", "plain");
    let said = migrate(&url).await;
    let db = PgPool::connect(&url).await.unwrap();
    let (user_role, tool_role) = rows::roles(&db).await;
    for role in [&user_role, &tool_role] {
        let advice = format!("create role {role}; grant {role} to plain");
        assert!(said.contains(&advice), "{said}");
    }
    let warnings = outside.warnings(&url).await;
    assert!(warnings.contains(IN_FORCE), "{warnings}");

    // An administrator does what was said.
    for role in [&user_role, &tool_role] {
        let advice = format!("create role {role}; grant {role} to plain");
        sqlx::raw_sql(sqlx::AssertSqlSafe(advice))
            .execute(&mut admin)
            .await
            .unwrap();
    }
    assert!(!migrate(&url).await.contains("WARN"));
    assert_eq!(outside.warnings(&url).await, "");

    // As a dump restored into another server: the schema without the roles. This login may make them.
    let mut here = PgConnection::connect(&cluster.admin_url("plain"))
        .await
        .unwrap();
    let lost = format!(
        "drop owned by {user_role}, {tool_role}; drop role {user_role}; drop role {tool_role}; alter role plain createrole"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lost))
        .execute(&mut here)
        .await
        .unwrap();
    assert!(outside.warnings(&url).await.contains(IN_FORCE));
    assert!(!migrate(&url).await.contains("WARN"));
    assert_eq!(outside.warnings(&url).await, "");
    let mut tx = rows::begin_for(&db, "bob").await;
    let (role, found): (String, i64) =
        sqlx::query_as("select current_user::text, (select count(*) from messages)")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!((role, found), (user_role, 0));
}
