//! The queue: order, one run at a time, fairness, attempts.

use errand_devkit::model::{Gate, Turn, request};
use serde_json::json;

use crate::system::{Answer, Options, TestSystem};

#[tokio::test(flavor = "multi_thread")]
async fn one_conversation_is_answered_in_order_without_overlap() {
    let system = TestSystem::with(Options {
        workers: Some(2),
        api: vec!["--max-active-runs", "0"],
        ..Options::default()
    })
    .await;
    system
        .model
        .script(|request| Turn::text(format!("re: {}", request::last_user(request))));
    let first = system.say("ada", "0").await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    let mut waiting = Vec::new();
    for n in 1..12 {
        let body = json!({"message": n.to_string(), "conversation_id": conversation});
        let accepted = Answer::of(
            system
                .post_chat("ada", &body)
                .header("prefer", "respond-async"),
        )
        .await;
        assert_eq!(accepted.status, 202);
        waiting.push(accepted.body["run_id"].as_str().unwrap().to_owned());
    }
    for (run, n) in waiting.iter().zip(1..) {
        let run = system.get("ada", &format!("runs/{run}?wait=20")).await;
        assert_eq!(run.assert_ok()["response"], format!("re: {n}"));
    }
    // Each run saw exactly the turns before it.
    for (request, n) in system.model.requests().iter().zip(0..) {
        let users = request["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|m| m["role"] == "user");
        let said: Vec<_> = users
            .map(|m| request::content(m).parse::<i32>().unwrap())
            .collect();
        assert_eq!(said, (0..=n).collect::<Vec<_>>());
    }
    let overlaps =
        "select count(*) from runs a join runs b on a.conversation_id = b.conversation_id
        and a.position < b.position and b.started_at < a.finished_at";
    assert_eq!(system.count(overlaps).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_crowd_holds_four_places_and_the_others_go_by() {
    let system = TestSystem::with(Options {
        api: vec!["--max-active-runs", "0"],
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    let held = gate.clone();
    system
        .model
        .script(move |request| match request::last_user(request).as_str() {
            "crowd" => Turn::text("Baa.").gate_after(0, &held),
            _ => Turn::text("Hello."),
        });
    for _ in 0..20 {
        let request = system
            .post_chat("crowd", &json!({"message": "crowd"}))
            .header("prefer", "respond-async");
        assert_eq!(Answer::of(request).await.status, 202);
    }
    gate.reached(4).await.unwrap();
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 4);
    assert_eq!(
        system
            .count("select count(*) from runs where status = 'queued' and admitted_at is null")
            .await,
        16
    );
    system.say("quiet", "hello").await.assert_ok();
    gate.open();
    system
        .until("select count(*) from runs where status = 'completed'", 21)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_calls_were_not_made_is_taken_up() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let accepted = Answer::of(
        system
            .post_chat("ada", &json!({"message": "add"}))
            .header("prefer", "respond-async"),
    )
    .await;
    // What a worker leaves that died between the commit of the step and of its second call.
    sqlx::raw_sql(
        "insert into steps (run_id, step, attempt, content, tool_calls)
            select id, 1, 1, '', '[{\"id\":\"a\",\"name\":\"add_task\",\"arguments\":\"{\\\"title\\\":\\\"first\\\"}\"},
                                   {\"id\":\"b\",\"name\":\"add_task\",\"arguments\":\"{\\\"title\\\":\\\"second\\\"}\"}]' from runs;
         insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters, result)
            select id, 1, 0, user_id, 'add_task', '{}', '{\"success\":true,\"message\":\"recorded\"}' from runs;
         update runs set attempt = 1;",
    )
    .execute(&system.db)
    .await
    .unwrap();
    system.model.push(Turn::text("Both."));
    let mut system = system;
    system.start_worker().await;
    let run = system
        .get(
            "ada",
            &format!("runs/{}?wait=20", accepted.body["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(run.assert_ok()["response"], "Both.");
    assert_eq!(system.titles("ada").await, ["second"]);
    let told = request::steps(&system.model.requests()[0]);
    assert_eq!(told.len(), 2);
    assert_eq!(run.body["tool_calls"][0]["result"]["message"], "recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_every_attempt_fails_and_its_conversation_goes_on() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let doomed = Answer::of(
        system
            .post_chat("ada", &json!({"message": "doomed"}))
            .header("prefer", "respond-async"),
    )
    .await;
    let next = json!({"message": "next", "conversation_id": doomed.body["conversation_id"]});
    let next = Answer::of(
        system
            .post_chat("ada", &next)
            .header("prefer", "respond-async"),
    )
    .await;
    sqlx::raw_sql("update runs set attempt = 3 where admitted_at is not null")
        .execute(&system.db)
        .await
        .unwrap();
    system.model.push(Turn::text("Still here."));
    let mut system = system;
    system.start_worker().await;
    let run = system
        .get(
            "ada",
            &format!("runs/{}?wait=20", next.body["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(run.assert_ok()["response"], "Still here.");
    let run = system
        .get(
            "ada",
            &format!("runs/{}", doomed.body["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(
        (
            run.assert_ok()["status"].as_str(),
            run.body["error"]["code"].as_str()
        ),
        (Some("failed"), Some("run_failed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_is_followed_by_another() {
    let system = TestSystem::start().await;
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as
            $$ begin if new.attempt < 3 then raise exception 'not now'; end if; return new; end $$;
         create trigger refuse before insert on steps for each row execute function refuse();",
    )
    .execute(&system.db)
    .await
    .unwrap();
    system.model.script(|_| Turn::text("At the third attempt."));
    let answer = system.say("ada", "go").await;
    assert_eq!(answer.assert_ok()["response"], "At the third attempt.");
    assert_eq!(
        system
            .count("select count(*) from runs where attempt = 3")
            .await,
        1
    );
    // With back-off: a second, then two.
    assert_eq!(
        system
            .count("select count(*) from runs where finished_at - started_at > interval '2.5 s'")
            .await,
        1
    );
}
