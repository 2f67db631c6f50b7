//! The database behind the tools: away for a while, and open to no more than a call.

use std::collections::BTreeSet;

use errand_devkit::proxy::Proxy;
use reqwest::Method;
use serde_json::json;

use super::add;
use crate::system::{Answer, mcp::Mcp};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_gets_over() {
    let direct = crate::system::database().await;
    let door = Proxy::open(&direct).await.expect("a proxy");
    let mcp = Mcp::on(door.url(), &[]).await;
    add(&mcp, "ada", "before").await;
    let ready = || Answer::of(mcp.bare(Method::GET, "/readyz"));
    ready().await.assert_ok();
    door.close();
    let params = json!({"name": "add_task", "arguments": {"user_id": "ada", "title": "during"}});
    let answer = mcp.ask("ada", "tools/call", params).await;
    assert_eq!(answer.body["error"]["code"], -32_012, "{}", answer.body);
    ready().await.assert_error(503, "unavailable");
    let alive = Answer::of(mcp.bare(Method::GET, "/healthz")).await;
    alive.assert_ok();
    door.reopen();
    add(&mcp, "ada", "after").await;
    ready().await.assert_ok();
    let pool = sqlx::PgPool::connect(&direct).await.unwrap();
    let titles: Vec<String> = sqlx::query_scalar("select title from tasks order by id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(titles, ["before", "after"]);
}

/// The database's own refusal: the record of a call gives no right once it is closed, nor to another user's tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_gives_no_right_beyond_its_call() {
    let mcp = Mcp::start().await;
    add(&mcp, "ada", "hers").await;
    let closed: uuid::Uuid = sqlx::query_scalar("select id from mcp_calls")
        .fetch_one(&mcp.db)
        .await
        .unwrap();
    let mut kinds = BTreeSet::new();
    for (key, opens_for) in [(closed, None), (uuid::Uuid::now_v7(), Some("bob"))] {
        let mut tx = mcp.db.begin().await.unwrap();
        sqlx::query("select act_for($1)")
            .bind(opens_for.unwrap_or("ada"))
            .execute(&mut *tx)
            .await
            .unwrap();
        if let Some(user) = opens_for {
            sqlx::query("insert into mcp_calls (id, user_id, tool_name, parameters) values ($1, $2, 'add_task', '{}')")
                .bind(key)
                .bind(user)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        sqlx::query("select act_as_tool($1)")
            .bind(format!("mcp/{key}"))
            .execute(&mut *tx)
            .await
            .unwrap();
        let planted = sqlx::query(
            "insert into tasks (id, user_id, title) values (gen_random_uuid(), 'ada', 'planted')",
        )
        .execute(&mut *tx)
        .await;
        kinds.insert(
            planted
                .unwrap_err()
                .into_database_error()
                .unwrap()
                .code()
                .unwrap()
                .into_owned(),
        );
    }
    assert_eq!(kinds, BTreeSet::from(["42501".to_owned()]));
    assert_eq!(mcp.titles("ada").await, ["hers"]);
}
