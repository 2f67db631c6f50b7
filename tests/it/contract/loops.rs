//! The agent's loop: what is read together, what fails again and again, tools that do not answer.

use errand_devkit::model::{Turn, request};
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem, events::stored};

/// A search, which reads by itself: pages without one go together, and who waits for company is not seen in the database.
fn search(view: &str) -> Value {
    json!({"view": view, "search": "milk"})
}

/// The calls that events tell results of, in their order: step and ordinal.
async fn results(system: &TestSystem, run: &str) -> Vec<String> {
    let events = stored(system, run).await.into_iter();
    let results = events.filter(|(_, event)| event["type"] == "TOOL_CALL_RESULT");
    let places = results.map(|(_, event)| {
        let id = event["toolCallId"].as_str().expect("an id").to_owned();
        id.split_once('/').expect("a key").1.to_owned()
    });
    places.collect()
}

const READS: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '%from task_page(%'";

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_only_read_are_made_together_and_told_in_the_models_order() {
    let system = TestSystem::start().await;
    let calls = Turn::call("list_tasks", search("today"))
        .and_call("list_tasks", search("overdue"))
        .and_call("list_tasks", search("undated"));
    system.model.push(calls);
    system.model.push(Turn::text("Nothing."));
    // Nobody can read the table until all have come that may come together.
    let mut stuck = system.db.begin().await.expect("a transaction");
    sqlx::query("lock table tasks in access exclusive mode")
        .execute(&mut *stuck)
        .await
        .expect("a lock");
    let answered = system.say("ada", "what is there?");
    let together = async {
        system.until(READS, 3).await;
        stuck.rollback().await.expect("the lock is given up");
    };
    let (answer, ()) = tokio::join!(answered, together);
    let answer = answer.assert_ok();
    let views = answer["tool_calls"].as_array().expect("calls").iter();
    let views: Vec<_> = views.map(|call| &call["parameters"]["view"]).collect();
    assert_eq!(views, ["today", "overdue", "undated"]);
    let run = answer["run_id"].as_str().expect("a run");
    assert_eq!(results(&system, run).await, ["1/0", "1/1", "1/2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_behind_a_change_sees_it() {
    let system = TestSystem::start().await;
    let add = |title: &str| json!({"title": title});
    let calls = Turn::call("list_tasks", json!({}))
        .and_call("add_task", add("one"))
        .and_call("list_tasks", json!({}))
        .and_call("list_tasks", json!({"limit": 1}))
        .and_call("add_task", add("two"))
        .and_call("list_tasks", json!({}));
    system.model.push(calls);
    system.model.push(Turn::text("Two."));
    let answer = system.say("ada", "one and two").await;
    let answer = answer.assert_ok();
    let calls = answer["tool_calls"].as_array().expect("calls").iter();
    let totals: Vec<_> = calls.map(|call| call["result"]["total"].as_i64()).collect();
    assert_eq!(totals, [Some(0), None, Some(1), Some(1), None, Some(2)]);
    let run = answer["run_id"].as_str().expect("a run");
    let order = ["1/0", "1/1", "1/2", "1/3", "1/4", "1/5"];
    assert_eq!(results(&system, run).await, order);
}

/// A model that makes the same call for ever, and says this when it may only talk.
fn stubborn(system: &TestSystem, arguments: Value, last: Turn) {
    system
        .model
        .script(move |request| match request["tool_choice"].as_str() {
            Some("none") => last.clone(),
            _ => Turn::call("update_task", arguments.clone()),
        });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_again_is_answered_with_what_is_valid_and_the_third_time_ends_the_step() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "call Ann"})));
    system.model.push(Turn::text("Added."));
    system.say("ada", "add call Ann").await.assert_ok();

    let nobodys = json!({"task_id": "01a21922-7d17-714a-ae57-bff4a79dc643", "completed": true});
    stubborn(&system, nobodys, Turn::text("I cannot find it."));
    let answer = system.say("ada", "it is done").await;
    let answer = answer.assert_ok();
    assert_eq!(answer["response"], "I cannot find it.");
    assert_eq!(answer["usage"]["model_calls"], 4);
    let calls = answer["tool_calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 3);
    let details = |place: usize| &calls[place]["result"]["error"]["details"];
    assert!(
        details(0)["valid"].is_null() && details(0)["candidates"].is_null(),
        "{calls:#?}"
    );
    for place in [1, 2] {
        assert_eq!(details(place)["candidates"][0]["title"], "call Ann");
        assert_eq!(details(place)["valid"]["required"], json!(["task_id"]));
    }
    // The model has read it, and so does whoever asks later.
    let told = request::steps(system.model.requests().last().expect("a request"));
    assert_eq!(told.len(), 3);
    assert_eq!(told[1].answer("error")["details"], *details(1));

    // An argument that there is not; and a model that makes its call again when it may only talk.
    let unknown = json!({"task_id": "01a21922-7d17-714a-ae57-bff4a79dc643", "due": "tomorrow"});
    stubborn(&system, unknown.clone(), Turn::call("update_task", unknown));
    let answer = system.say("ada", "move it").await;
    let answer = answer.assert_ok();
    let told = answer["response"].as_str().expect("words");
    assert!(told.contains("3 times") && told.contains("due"), "{told}");
    let calls = answer["tool_calls"].as_array().expect("calls");
    let valid = &calls[1]["result"]["error"]["details"]["valid"]["properties"];
    assert_eq!(
        valid["due_date"],
        json!({"type": "string", "format": "date"})
    );
    assert!(valid["user_id"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_made_otherwise_or_works_in_the_end_is_no_failure() {
    let system = TestSystem::with(Options {
        worker: vec!["--max-steps", "9"],
        ..Options::default()
    })
    .await;
    for n in 0..4 {
        let other = json!({"task_id": format!("01a21922-7d17-714a-ae57-bff4a79dc64{n}"), "completed": true});
        system.model.push(Turn::call("update_task", other));
    }
    for _ in 0..4 {
        system.model.push(Turn::call("list_tasks", json!({})));
    }
    system.model.push(Turn::text("Nothing there."));
    let answer = system.say("ada", "go").await;
    assert_eq!(
        answer.assert_ok()["tool_calls"]
            .as_array()
            .expect("calls")
            .len(),
        8
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_does_not_answer_is_asked_again_and_has_one_effect() {
    let system = TestSystem::with(Options {
        worker: vec!["--tool-timeout", "400ms"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let mut stuck = system.db.begin().await.expect("a transaction");
    sqlx::query("lock table tool_calls in share mode")
        .execute(&mut *stuck)
        .await
        .expect("a lock");
    let accepted = Answer::of(
        system
            .post_chat("ada", &json!({"message": "add buy milk"}))
            .header("prefer", "respond-async"),
    )
    .await;
    // The first one is not over when the second one comes.
    let waiting = "select (count(*) >= 2)::int::bigint from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%run_calls%'";
    system.until(waiting, 1).await;
    stuck.rollback().await.expect("the lock is given up");
    let run = accepted.body["run_id"].as_str().expect("a run");
    let answer = system.get("ada", &format!("runs/{run}?wait=30")).await;
    assert_eq!(answer.assert_ok()["response"], "Added.");
    assert_eq!(
        answer.body["tool_calls"].as_array().expect("calls").len(),
        1
    );
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}
