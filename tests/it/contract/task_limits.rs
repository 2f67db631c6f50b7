//! How much one user may put on a list, and what is kept of calls from outside: bounds that hold for whoever calls.

use errand_devkit::model::Turn;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::system::{TestSystem, mcp::Mcp, rows};

const MAX_TASKS: i64 = 10_000;
const MAX_BYTES: i64 = 20 * 1024 * 1024;

/// Calls of a user that are counted wait for one another; these are made at once.
const UNLIMITED: &[&str] = &["--rate-calls-per-minute", "0"];

/// Puts tasks on a list as one call: `tasks` selects their titles and descriptions.
async fn seed(db: &PgPool, user: &str, tasks: &str) {
    let mut tx = rows::begin_for(db, user).await;
    let statements = format!(
        "insert into mcp_calls (id, user_id, tool_name, parameters)
             values ('01890000-0000-7000-8000-000000000000', '{user}', 'seed', '{{}}');
         select act_as_tool('mcp/01890000-0000-7000-8000-000000000000');
         insert into tasks (id, user_id, title, description) select gen_random_uuid(), '{user}', t.* from ({tasks}) t"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    rows::execute(db, "delete from mcp_calls").await;
}

async fn adds(mcp: &Mcp, user: &str, count: usize, description: &str) -> Vec<Value> {
    let add = |n| {
        let arguments =
            json!({"user_id": user, "title": format!("{n}"), "description": description});
        mcp.call(user, "add_task", arguments)
    };
    join_all((0..count).map(add)).await
}

fn succeeded(results: &[Value]) -> usize {
    let done = results.iter().filter(|result| result["success"] == true);
    done.count()
}

#[track_caller]
fn assert_full(result: &Value, limit: &str) {
    assert_eq!(result["success"], false, "{result}");
    assert_eq!(result["error"]["type"], "invalid_parameters", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(limit) && message.contains("Delete"),
        "{message}"
    );
}

/// What is kept of a user's list is what is there.
async fn assert_counted(db: &PgPool, user: &str) -> (i64, i64) {
    let counted: (i64, i64) =
        sqlx::query_as("select tasks::bigint, bytes from task_totals where user_id = $1")
            .bind(user)
            .fetch_one(db)
            .await
            .unwrap();
    let there: (i64, i64) = sqlx::query_as(
        "select count(*), sum(octet_length(title) + coalesce(octet_length(description), 0)
                              + octet_length(array_to_string(tags, '')))::bigint
         from tasks where user_id = $1 and deleted_at is null",
    )
    .bind(user)
    .fetch_one(db)
    .await
    .unwrap();
    assert_eq!(counted, there);
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_ten_thousand_tasks_at_most_whoever_adds_them() {
    let system = TestSystem::start().await;
    let mcp = Mcp::on(&system.database_url, UNLIMITED).await;
    seed(
        &system.db,
        "ada",
        "select 'task ' || n, null from generate_series(1, 9998) n",
    )
    .await;
    // Exactly as many as there is room for, also at once.
    let added = adds(&mcp, "ada", 8, "").await;
    assert_eq!(succeeded(&added), 2, "{added:?}");
    let refused = added.iter().find(|result| result["success"] == false);
    assert_full(refused.unwrap(), "10000 tasks");
    assert_eq!(assert_counted(&system.db, "ada").await.0, MAX_TASKS);
    // The agent's calls are refused alike, and its run goes on.
    system
        .model
        .push(Turn::call("add_task", json!({"title": "x"})));
    system.model.push(Turn::text("Your list is full."));
    let answer = system.say("ada", "add x").await;
    assert_full(
        &answer.assert_ok()["tool_calls"][0]["result"],
        "10000 tasks",
    );
    assert_eq!(answer.body["response"], "Your list is full.");
    // Everything else works, and what is deleted makes room.
    let list = mcp
        .call("ada", "list_tasks", json!({"user_id": "ada", "limit": 1}))
        .await;
    assert_eq!(list["total"], MAX_TASKS);
    let id = list["tasks"][0]["id"].clone();
    for (tool, arguments) in [
        ("complete_task", json!({"user_id": "ada", "task_id": id})),
        (
            "update_task",
            json!({"user_id": "ada", "task_id": id, "title": "longer than it was before"}),
        ),
        ("delete_task", json!({"user_id": "ada", "task_id": id})),
    ] {
        let done = mcp.call("ada", tool, arguments).await;
        assert_eq!(done["success"], true, "{tool}: {done}");
    }
    assert_eq!(succeeded(&adds(&mcp, "ada", 3, "").await), 1);
    assert_eq!(assert_counted(&system.db, "ada").await.0, MAX_TASKS);
    // Somebody else's list is another one.
    assert_eq!(succeeded(&adds(&mcp, "bob", 1, "").await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_texts_of_a_list_have_a_bound_together() {
    let mcp = Mcp::with(UNLIMITED).await;
    // 8900 bytes are left.
    let tasks = "select 't', repeat('é', 4000) from generate_series(1, 2620) n";
    seed(&mcp.db, "ada", tasks).await;
    assert_eq!(assert_counted(&mcp.db, "ada").await.1, MAX_BYTES - 8_900);
    let added = adds(&mcp, "ada", 4, &"x".repeat(8_000)).await;
    assert_eq!(succeeded(&added), 1, "{added:?}");
    let refused = added.iter().find(|result| result["success"] == false);
    assert_full(refused.unwrap(), "20 MiB");
    // 899 bytes are left: two short tasks of which one can grow by 500.
    let short = adds(&mcp, "ada", 2, "").await;
    assert_eq!(succeeded(&short), 2);
    let describe = |task: &Value, length: usize| {
        let arguments = json!({"user_id": "ada", "task_id": task["task_id"], "description": "d".repeat(length)});
        mcp.call("ada", "update_task", arguments)
    };
    let grown = join_all([describe(&short[0], 500), describe(&short[1], 500)]).await;
    assert_eq!(succeeded(&grown), 1, "{grown:?}");
    let refused = grown.iter().find(|result| result["success"] == false);
    assert_full(refused.unwrap(), "20 MiB");
    // What does not grow may change; and what shrinks makes room.
    let (large, small) = match grown[0]["success"] == true {
        true => (&short[0], &short[1]),
        false => (&short[1], &short[0]),
    };
    assert_eq!(describe(large, 500).await["success"], true);
    assert_eq!(describe(large, 10).await["success"], true);
    assert_eq!(describe(small, 500).await["success"], true);
    let unknown =
        json!({"user_id": "ada", "task_id": uuid::Uuid::now_v7(), "title": "x".repeat(200)});
    let unknown = mcp.call("ada", "update_task", unknown).await;
    assert_eq!(unknown["error"]["type"], "resource_not_found", "{unknown}");
    assert!(assert_counted(&mcp.db, "ada").await.1 <= MAX_BYTES);
}

/// A list that an earlier version filled beyond the bound is counted when it is changed, and can only shrink.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_an_earlier_version_is_counted_at_its_first_change() {
    let mcp = Mcp::start().await;
    rows::execute(
        &mcp.db,
        "alter table tasks disable trigger tasks_added_are_counted",
    )
    .await;
    seed(
        &mcp.db,
        "ada",
        "select 'task ' || n, null from generate_series(1, 10001) n",
    )
    .await;
    seed(
        &mcp.db,
        "bob",
        "select 'task ' || n, null from generate_series(1, 9999) n",
    )
    .await;
    rows::execute(
        &mcp.db,
        "alter table tasks enable trigger tasks_added_are_counted",
    )
    .await;
    let totals = "select count(*) from task_totals";
    let counted: i64 = sqlx::query_scalar(totals).fetch_one(&mcp.db).await.unwrap();
    assert_eq!(counted, 0);
    assert_full(&adds(&mcp, "ada", 1, "").await[0], "10000 tasks");
    assert_eq!(succeeded(&adds(&mcp, "bob", 4, "").await), 1);
    assert_eq!(assert_counted(&mcp.db, "ada").await.0, MAX_TASKS + 1);
    assert_eq!(assert_counted(&mcp.db, "bob").await.0, MAX_TASKS);
}

/// Bytes of the records of calls from outside, as they are stored as text.
async fn recorded_bytes(db: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select sum(octet_length(tool_name) + octet_length(parameters::text) + octet_length(result::text)
                    + octet_length(coalesce(client, '')))::bigint from mcp_calls",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_call_is_small_whatever_it_was() {
    let mcp = Mcp::start().await;
    let tasks = "select 'task ' || n, repeat('x', 8000) from generate_series(1, 250) n";
    seed(&mcp.db, "ada", tasks).await;
    let all = json!({"user_id": "ada", "limit": 200});
    let list = mcp.call("ada", "list_tasks", all).await;
    // The client is told everything.
    assert!(list.to_string().len() > 1_600_000);
    let kept: Value = sqlx::query_scalar("select result from mcp_calls")
        .fetch_one(&mcp.db)
        .await
        .unwrap();
    let ids: Vec<&Value> = list["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["id"])
        .collect();
    assert_eq!(kept["task_ids"], json!(ids));
    assert_eq!((&kept["count"], &kept["total"]), (&json!(200), &json!(250)));
    assert!(recorded_bytes(&mcp.db).await < 10_000);

    let long = "x".repeat(120_000);
    let hostile = json!({"user_id": "ada", "a": long, "b": {"c": [long]}});
    for (tool, arguments) in [
        ("no_such_tool", hostile.clone()),
        ("add_task", hostile.clone()),
        ("list_tasks", json!({"user_id": "ada", "search": long})),
        (long.as_str(), json!({"user_id": "ada"})),
    ] {
        rows::execute(&mcp.db, "delete from mcp_calls").await;
        let refused = mcp.call("ada", tool, arguments).await;
        assert_eq!(refused["error"]["type"], "invalid_parameters", "{refused}");
        let bytes = recorded_bytes(&mcp.db).await;
        assert!(bytes < 10_000, "{}: {bytes}", &tool[..10]);
    }
    // The longest description that there may be is whole on the list, and shortened in the record.
    rows::execute(&mcp.db, "delete from mcp_calls").await;
    let described = adds(&mcp, "ada", 1, &"\u{e9}".repeat(8_000)).await;
    assert_eq!(succeeded(&described), 1);
    let kept: Value = sqlx::query_scalar("select parameters from mcp_calls")
        .fetch_one(&mcp.db)
        .await
        .unwrap();
    assert_eq!(kept["title"], "0");
    assert!(kept["shortened"].is_string(), "{kept}");
    assert!(recorded_bytes(&mcp.db).await < 10_000);
}
