//! The five tools through a whole turn, with good and bad input; and the database's own refusal of anything else.

use errand_devkit::model::Turn;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::system::{TestSystem, as_superuser, rows};

/// One turn in which the model makes these calls; returns their results.
async fn results(system: &TestSystem, user: &str, calls: &[(&str, Value)]) -> Vec<Value> {
    let mut turn = Turn::call(calls[0].0, calls[0].1.clone());
    for (name, arguments) in &calls[1..] {
        turn = turn.and_call(name, arguments.clone());
    }
    system.model.push(turn);
    system.model.push(Turn::text("Done."));
    let answer = system.say(user, "go").await;
    let made = answer.assert_ok()["tool_calls"].as_array().unwrap().clone();
    assert_eq!(made.len(), calls.len());
    made.into_iter()
        .map(|call| call["result"].clone())
        .collect()
}

async fn result(system: &TestSystem, user: &str, name: &str, arguments: Value) -> Value {
    results(system, user, &[(name, arguments)]).await.remove(0)
}

#[track_caller]
fn assert_error(result: &Value, kind: &str) {
    assert_eq!(result["success"], false, "{result}");
    assert_eq!(result["error"]["type"], kind, "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!((1..=220).contains(&message.chars().count()), "{result}");
    assert!(result["error"]["details"].is_object(), "{result}");
}

async fn add(system: &TestSystem, user: &str, title: &str) -> String {
    let added = result(system, user, "add_task", json!({"title": title})).await;
    assert_eq!(added["success"], true, "{added}");
    assert!(added["message"].is_string());
    added["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn add_and_list() {
    let system = TestSystem::start().await;
    let made = results(
        &system,
        "ada",
        &[
            (
                "add_task",
                json!({"title": "  buy milk ", "description": "2 litres"}),
            ),
            (
                "add_task",
                json!({"title": "100% wool_sock", "description": null}),
            ),
            ("add_task", json!({"title": "x".repeat(255)})),
            ("list_tasks", json!({})),
            ("list_tasks", json!({"search": "MILK"})),
            ("list_tasks", json!({"search": "%"})),
            ("list_tasks", json!({"search": "_s"})),
            ("list_tasks", json!({"completed": true})),
            ("list_tasks", json!({"limit": 2})),
            ("list_tasks", json!({"search": "***=milk"})),
            ("list_tasks", json!({"search": "(MILK"})),
            ("list_tasks", json!({"search": "b.y"})),
            ("list_tasks", json!({"search": "\\"})),
            ("list_tasks", json!({"search": "2 LITRES"})),
        ],
    )
    .await;
    let tasks = made[3]["tasks"].as_array().unwrap();
    assert_eq!(made[3]["count"], 3);
    assert_eq!(
        (tasks[0]["title"].as_str(), tasks[0]["description"].as_str()),
        (Some("buy milk"), Some("2 litres"))
    );
    assert_eq!(
        (
            tasks[1]["description"].clone(),
            tasks[1]["completed"].clone()
        ),
        (Value::Null, json!(false))
    );
    for field in ["id", "created_at", "updated_at"] {
        assert!(tasks[0][field].is_string(), "{field}");
    }
    let counts: Vec<_> = made[4..]
        .iter()
        .map(|result| result["count"].as_i64().unwrap())
        .collect();
    assert_eq!(counts, [1, 1, 1, 0, 2, 0, 0, 0, 0, 1]);
    let totals: Vec<_> = made[3..]
        .iter()
        .map(|result| result["total"].as_i64().unwrap())
        .collect();
    // Of all that match, whatever the page.
    assert_eq!(totals, [3, 1, 1, 1, 0, 3, 0, 0, 0, 0, 1]);
    let cursor = made[8]["next_cursor"].clone();
    let rest = result(
        &system,
        "ada",
        "list_tasks",
        json!({"limit": 2, "cursor": cursor}),
    )
    .await;
    assert_eq!(
        (rest["count"].as_i64(), rest.get("next_cursor")),
        (Some(1), None)
    );
    assert_eq!(rest["total"], 3);
    // Also on a page behind the last task.
    let last = rest["tasks"][0]["id"].as_str().unwrap();
    let last = format!("none_none_p4_{last}");
    let none = result(&system, "ada", "list_tasks", json!({"cursor": last})).await;
    assert_eq!((&none["count"], &none["total"]), (&json!(0), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_update_delete() {
    let system = TestSystem::start().await;
    let id = add(&system, "ada", "buy milk").await;
    let made = results(
        &system,
        "ada",
        &[
            ("complete_task", json!({"task_id": id})),
            ("complete_task", json!({"task_id": id})),
            ("list_tasks", json!({"completed": true})),
            ("update_task", json!({"task_id": id, "title": "buy oat milk", "description": "cold", "completed": false})),
            ("list_tasks", json!({})),
            ("update_task", json!({"task_id": id, "description": ""})),
            ("list_tasks", json!({})),
            ("delete_task", json!({"task_id": id})),
            ("delete_task", json!({"task_id": id})),
        ],
    )
    .await;
    assert!(
        made[..8].iter().all(|result| result["success"] == true),
        "{made:?}"
    );
    assert_eq!(made[2]["count"], 1);
    let changed = &made[4]["tasks"][0];
    assert_eq!(
        (
            changed["title"].as_str(),
            changed["description"].as_str(),
            changed["completed"].as_bool()
        ),
        (Some("buy oat milk"), Some("cold"), Some(false))
    );
    assert_eq!(made[6]["tasks"][0]["description"], Value::Null);
    assert_error(&made[8], "resource_not_found");
    assert!(system.titles("ada").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_an_error_the_model_can_read() {
    let system = TestSystem::start().await;
    let id = add(&system, "ada", "buy milk").await;
    let calls = [
        ("add_task", json!({})),
        ("add_task", json!({"title": ""})),
        ("add_task", json!({"title": "   "})),
        ("add_task", json!({"title": "x".repeat(256)})),
        ("add_task", json!({"title": 5})),
        (
            "add_task",
            json!({"title": "a", "description": "x".repeat(8001)}),
        ),
        ("add_task", json!({"title": "a", "colour": "red"})),
        ("list_tasks", json!({"limit": 0})),
        ("list_tasks", json!({"limit": 201})),
        ("list_tasks", json!({"completed": "yes"})),
        ("list_tasks", json!({"cursor": "nonsense"})),
        ("list_tasks", json!({"view": "tomorrow"})),
        ("list_tasks", json!({"view": "today", "completed": true})),
        ("list_tasks", json!({"due_from": "tomorrow"})),
        ("list_tasks", json!({"search": "x".repeat(256)})),
        ("complete_task", json!({})),
        ("complete_task", json!({"task_id": "1"})),
        ("delete_task", json!({"task_id": null})),
        ("update_task", json!({"task_id": id})),
        ("update_task", json!({"task_id": id, "title": ""})),
        ("update_task", json!({"task_id": "1", "title": "a"})),
        ("drop_table", json!({"name": "tasks"})),
    ];
    let made = results(&system, "ada", &calls).await;
    for (result, call) in made.iter().zip(&calls) {
        assert_eq!(
            result["error"]["type"], "invalid_parameters",
            "{call:?}: {result}"
        );
        assert_error(result, "invalid_parameters");
    }
    let unknown = json!({"task_id": "01890000-0000-7000-8000-000000000000"});
    for tool in ["complete_task", "delete_task"] {
        assert_error(
            &result(&system, "ada", tool, unknown.clone()).await,
            "resource_not_found",
        );
    }
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    assert_eq!(
        system
            .count("select count(*) from tool_calls where is_error")
            .await,
        24
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_task_is_not_found() {
    let system = TestSystem::start().await;
    let id = add(&system, "ada", "hers").await;
    let calls = [
        ("complete_task", json!({"task_id": id})),
        ("delete_task", json!({"task_id": id, "user_id": "ada"})),
        ("update_task", json!({"task_id": id, "title": "his"})),
    ];
    for result in results(&system, "bob", &calls).await {
        assert_error(&result, "resource_not_found");
    }
    assert_eq!(system.titles("ada").await, ["hers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_in_arguments_is_replaced() {
    let system = TestSystem::start().await;
    let made = results(
        &system,
        "ada",
        &[
            ("add_task", json!({"title": "a\u{0}b", "x\u{0}": 1})),
            ("add_task", json!({"title": "a\u{0}b"})),
        ],
    )
    .await;
    assert_error(&made[0], "invalid_parameters");
    assert_eq!(made[1]["success"], true);
    assert_eq!(system.titles("ada").await, ["a\u{fffd}b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_changes_outside_a_tool_call() {
    let system = TestSystem::start().await;
    add(&system, "ada", "buy milk").await;
    let attempts = [
        "insert into tasks (id, user_id, title) values (gen_random_uuid(), 'ada', 'sneaked in')",
        "update tasks set title = 'changed'",
        "delete from tasks",
        "truncate tasks",
        // A call that is over is no licence.
        "with key as (select set_config('errand.tool_call', run_id || '/' || step || '/' || ordinal, false) from tool_calls)
         update tasks set title = 'changed' where (select count(*) from key) > 0",
    ];
    for attempt in attempts {
        let error = sqlx::query(attempt)
            .execute(&system.db)
            .await
            .expect_err(attempt);
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("42501"), "{attempt}: {error}");
    }
    // Nor is a call of one user for the tasks of another.
    let foreign = "begin;
        insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters) select id, 1, 9, 'ada', 'add_task', '{}' from runs;
        select set_config('errand.tool_call', id || '/1/9', true) from runs;
        insert into tasks (id, user_id, title) values (gen_random_uuid(), 'bob', 'sneaked in');
        commit;";
    let mut connection = system.db.acquire().await.unwrap();
    let error = sqlx::raw_sql(foreign)
        .execute(&mut *connection)
        .await
        .expect_err("a foreign task");
    assert!(
        error.to_string().contains("only inside a tool call"),
        "{error}"
    );
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}

/// Not even with a call that is open, if it is not the tools' role that writes: a superuser, the login, and the role alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_changes_of_anyone_but_the_tools_role() {
    let system = TestSystem::start().await;
    add(&system, "ada", "buy milk").await;
    let superuser = PgPool::connect(&as_superuser(&system.database_url))
        .await
        .unwrap();
    let (user_role, tool_role) = rows::roles(&system.db).await;
    let as_user = format!("set local role {user_role};");
    let open = "insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters) select id, 1, 9, 'ada', 'add_task', '{}' from runs;
                insert into mcp_calls (id, user_id, tool_name, parameters) values ('01890000-0000-7000-8000-000000000000', 'ada', 'x', '{}');";
    for (db, who) in [(&superuser, ""), (&system.db, ""), (&superuser, &as_user)] {
        for key in [
            "(select id || '/1/9' from runs)",
            "'mcp/01890000-0000-7000-8000-000000000000'",
        ] {
            for change in [
                "update tasks set title = 'changed'",
                "delete from tasks",
                "truncate tasks",
                "insert into tasks (id, user_id, title) values (gen_random_uuid(), 'ada', 'sneaked in')",
            ] {
                let attempt = format!(
                    "begin; {open} select set_config('errand.tool_call', {key}, true), set_config('errand.user_id', 'ada', true); {who} {change}; commit"
                );
                let mut connection = db.acquire().await.unwrap().detach();
                let error = sqlx::raw_sql(AssertSqlSafe(attempt.clone()))
                    .execute(&mut connection)
                    .await
                    .expect_err(&attempt);
                let code = error
                    .as_database_error()
                    .and_then(|error| error.code())
                    .map(|code| code.to_string());
                assert_eq!(code.as_deref(), Some("42501"), "{attempt}: {error}");
            }
        }
    }
    // The role without a call of its own, or with one that is over.
    for key in [
        "''",
        "(select run_id || '/1/0' from tool_calls limit 1)",
        "'1/2/3/4'",
        "'x'",
        "'mcp'",
    ] {
        let attempt = format!("begin; select set_config('errand.tool_call', {key}, true), set_config('errand.user_id', 'ada', true);
                               set local role {tool_role}; update tasks set title = 'changed'; commit");
        let mut connection = superuser.acquire().await.unwrap().detach();
        let error = sqlx::raw_sql(AssertSqlSafe(attempt.clone()))
            .execute(&mut connection)
            .await
            .expect_err(&attempt);
        assert!(
            error.to_string().contains("only inside a tool call"),
            "{attempt}: {error}"
        );
    }
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}

/// What a set of calls may do goes no further than its calls: it adds to the lists of those who have an open one in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_calls_adds_for_its_users_and_does_nothing_else() {
    let system = TestSystem::start().await;
    add(&system, "ada", "buy milk").await;
    add(&system, "bob", "buy tea").await;
    let superuser = PgPool::connect(&as_superuser(&system.database_url))
        .await
        .unwrap();
    let (_, tool_role) = rows::roles(&system.db).await;
    // Of a set that names two users, only one of whom has an open call in it.
    let begin = format!(
        "begin;
         insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters)
         select id, 1, 9, 'ada', 'add_task', '{{}}' from runs where user_id = 'ada';
         select set_config('errand.tool_calls', jsonb_build_object('ada', id || '/1/9', 'bob', id || '/1/9')::text, true)
         from runs where user_id = 'ada';
         set local role {tool_role};"
    );
    let added = |user| {
        format!(
            "insert into tasks (id, user_id, title) values (gen_random_uuid(), '{user}', 'new')"
        )
    };
    for (change, comes_to) in [
        (added("ada"), Ok(1)),
        (added("bob"), Err("42501")),
        (added("eve"), Err("42501")),
        ("update tasks set title = 'changed'".to_owned(), Ok(0)),
        ("delete from tasks".to_owned(), Ok(0)),
    ] {
        let mut connection = superuser.acquire().await.unwrap().detach();
        sqlx::raw_sql(AssertSqlSafe(begin.clone()))
            .execute(&mut connection)
            .await
            .unwrap();
        let came = sqlx::raw_sql(AssertSqlSafe(change.clone()))
            .execute(&mut connection)
            .await;
        let came = match &came {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(error.as_database_error().and_then(|error| error.code())),
        };
        assert_eq!(came, comes_to.map_err(|code| Some(code.into())), "{change}");
    }
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    assert_eq!(system.titles("bob").await, ["buy tea"]);
}
