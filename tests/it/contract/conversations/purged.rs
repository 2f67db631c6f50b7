//! What becomes of the rows of a deleted conversation.

use std::time::Duration;

use errand_devkit::model::Turn;
use errand_store::queue::purge::{self, Purge};
use reqwest::Method;
use serde_json::{Value, json};

use super::delete;
use crate::system::{Answer, Options, TestSystem, rows};

/// The rows of a deleted conversation go, all of them and no others, in batches of any size; those of one that is still at work wait.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_deleted_conversation_are_purged() {
    const HOUR: Duration = Duration::from_secs(3600);
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    // Two of each, with a run that goes on from another and a decision.
    let mut conversations = Vec::new();
    for n in 0..3 {
        system.model.push(Turn::call(
            "add_task",
            json!({"title": format!("kept {n}")}),
        ));
        system.model.push(Turn::text("Added."));
        let said = system.say("ada", "add it").await;
        let conversation = said.assert_ok()["conversation_id"].clone();
        let task = &said.body["tool_calls"][0]["result"]["task_id"];
        system
            .model
            .push(Turn::call("delete_task", json!({"task_id": task})));
        system.model.push(Turn::text("Left."));
        let waits = system.say_in("ada", &conversation, "delete it").await;
        let path = format!("runs/{}/decision", waits.body["run_id"].as_str().unwrap());
        let decision = system
            .request(Method::POST, "ada", &path)
            .json(&json!({"approve": false}));
        Answer::of(decision).await.assert_ok();
        conversations.push(conversation);
    }
    let mut db = system.db.acquire().await.unwrap();
    let purge = async |db: &mut sqlx::PgConnection, limit| {
        let mut rows = 0;
        for _ in 0..1_000 {
            let batch = purge::step(db, Purge::Conversations, HOUR, limit)
                .await
                .unwrap();
            rows += batch.rows;
            if batch.is_last {
                return rows;
            }
        }
        panic!("no end");
    };
    // The purge begins at the beginning, where what is made older lies.
    let age = "update conversations set deleted_at = deleted_at - interval '2 hours' where deleted_at is not null;
               delete from purge_cursors";
    let rows_of = async |id: &Value| -> i64 {
        let query = "select (select count(*) from conversations where id = $1::uuid)
                          + (select count(*) from messages where conversation_id = $1::uuid)
                          + (select count(*) from runs where conversation_id = $1::uuid)
                          + (select count(*) from runs r join steps x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join tool_calls x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join approvals x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join run_events x on x.run_id = r.id where conversation_id = $1::uuid)";
        let count = sqlx::query_scalar(query).bind(id.as_str().unwrap());
        count.fetch_one(&system.db).await.unwrap()
    };
    let all = rows_of(&conversations[0]).await;
    assert!(all > 30, "{all}");
    delete(&system, "ada", &conversations[0]).await;
    assert_eq!(purge(&mut db, 64).await, 0, "not at once");
    rows::execute(&system.db, age).await;
    assert_eq!(purge(&mut db, 8).await, u64::try_from(all).unwrap());
    assert_eq!(rows_of(&conversations[0]).await, 0);
    // One with a run that is not over waits, and is not forgotten.
    delete(&system, "ada", &conversations[1]).await;
    let at_work = "alter table runs disable trigger runs_transitions;
                   update runs set status = 'running', finished_at = null, cancel_requested_at = now() where id = (
                       select r.id from runs r join conversations c on c.id = r.conversation_id
                       where c.deleted_at is not null order by r.position desc limit 1);
                   alter table runs enable trigger runs_transitions";
    rows::execute(&system.db, at_work).await;
    rows::execute(&system.db, age).await;
    let left = rows_of(&conversations[1]).await;
    assert_eq!(purge(&mut db, 64).await, 0);
    rows::execute(
        &system.db,
        "update runs set status = 'cancelled', finished_at = now() where status = 'running'",
    )
    .await;
    assert_eq!(purge(&mut db, 4096).await, u64::try_from(left).unwrap());
    assert_eq!(rows_of(&conversations[1]).await, 0);
    assert_eq!(rows_of(&conversations[2]).await, all);
    assert_eq!(system.titles("ada").await, ["kept 0", "kept 1", "kept 2"]);
}
