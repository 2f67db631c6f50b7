//! What the model is shown of the past: turns that did not come to their end, results that are too long, what only its provider
//! understands. The stand-in refuses what a strict provider refuses.

use errand_devkit::model::{Gate, Turn, request};
use serde_json::{Value, json};

use crate::system::{Options, TestSystem};

/// The contents of a request's messages of this role.
fn contents(request: &Value, role: &str) -> Vec<String> {
    request::messages(request)
        .iter()
        .filter(|message| message["role"] == role)
        .map(request::content)
        .collect()
}

/// Adds tasks straight through the tools, 25 a turn.
async fn fill(system: &TestSystem, user: &str, tasks: usize, description: usize) -> Value {
    let mut conversation = Value::Null;
    for first in (0..tasks).step_by(25) {
        let mut turn = Turn::empty();
        for n in first..(first + 25).min(tasks) {
            turn = turn.and_call(
                "add_task",
                json!({"title": format!("task {n}"), "description": "d".repeat(description)}),
            );
        }
        system.model.push(turn);
        system.model.push(Turn::text("Added."));
        let answer = system.say(user, "fill").await;
        conversation = answer.assert_ok()["conversation_id"].clone();
    }
    conversation
}

/// A failed and a cancelled turn have no reply; what follows is asked all the same, and the model is told.
#[tokio::test(flavor = "multi_thread")]
async fn turns_without_a_reply_leave_a_conversation_that_goes_on() {
    let system = TestSystem::start().await;
    system.model.push(Turn::status(401));
    let failed = system.say("ada", "first").await;
    failed.assert_error(502, "model_error");
    let run = failed.body["error"]["details"]["run_id"].as_str().unwrap();
    let view = system.get("ada", &format!("runs/{run}")).await;
    let conversation = view.assert_ok()["conversation_id"].clone();
    // Cancelled before it says a word, behind a call that took effect.
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "kept"})));
    system.model.push(Turn::text("never").gate_after(0, &gate));
    let accepted = system
        .post_chat(
            "ada",
            &json!({"message": "second", "conversation_id": conversation}),
        )
        .header("prefer", "respond-async");
    let accepted = crate::system::Answer::of(accepted).await;
    let run = accepted.body["run_id"].as_str().unwrap().to_owned();
    system.model.requests_seen(3).await.unwrap();
    let cancel = system.request(reqwest::Method::POST, "ada", &format!("runs/{run}/cancel"));
    crate::system::Answer::of(cancel).await;
    system.model.aborted_seen(1).await.unwrap();
    system.model.push(Turn::text("All is well."));
    let next = system.say_in("ada", &conversation, "third").await;
    assert_eq!(next.assert_ok()["response"], "All is well.");
    let asked = system.model.requests().pop().unwrap();
    assert_eq!(contents(&asked, "user"), ["first", "second", "third"]);
    let said = contents(&asked, "assistant");
    assert!(said[0].contains("failed"), "{said:?}");
    assert!(said.last().unwrap().contains("stopped"), "{said:?}");
}

/// A list that alone is over the budget leaves the last turn readable: "the second one" still finds its task.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_does_not_drop_the_history() {
    let system = TestSystem::start().await;
    let conversation = fill(&system, "ada", 50, 550).await;
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::text("You have 50 tasks."));
    let listed = system
        .say_in("ada", &conversation, "what is on my list?")
        .await;
    let tasks = listed.assert_ok()["tool_calls"][0]["result"]["tasks"].clone();
    assert_eq!(tasks.as_array().unwrap().len(), 50);
    assert!(
        tasks.to_string().len() > 32_000,
        "a list over the budget of 8,000 tokens"
    );
    system.model.push(Turn::text("Which one?"));
    system
        .say_in("ada", &conversation, "delete the second one")
        .await
        .assert_ok();
    // A summary may be asked for behind it.
    let mut asked = system.model.requests();
    asked.retain(|asked| request::last_user(asked) == "delete the second one");
    let asked = asked.pop().unwrap();
    assert!(contents(&asked, "user").contains(&"what is on my list?".to_owned()));
    let shown: Value = serde_json::from_str(contents(&asked, "tool").last().unwrap()).unwrap();
    assert_eq!(shown["tasks"][1]["id"], tasks[1]["id"]);
    let note = shown["shortened"].as_str().unwrap();
    assert!(note.contains("list_tasks"), "{note}");
    let size = asked["messages"].to_string().len();
    assert!(size < 8_000 * 4 + 8_000, "{size} bytes");
}

/// The smallest budget that is not none leaves the last turn in some form.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_turn_stays_whatever_the_budget() {
    let system = TestSystem::with(Options {
        worker: vec!["--history-tokens", "10"],
        ..Options::default()
    })
    .await;
    system.model.push(Turn::text("reply ".repeat(1_000)));
    let first = system.say("ada", &"words ".repeat(1_000)).await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    system.model.push(Turn::text("Yes."));
    system
        .say_in("ada", &conversation, "go on")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().unwrap();
    let said = contents(&asked, "user");
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("words words") && said[0].len() < 2_000);
}

/// A model with a small window that says "too long" is asked with less of what this very run has read.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_fits_into_a_small_window() {
    let system = TestSystem::with(Options {
        worker: vec!["--max-steps", "40"],
        ..Options::default()
    })
    .await;
    fill(&system, "ada", 50, 100).await;
    system.model.script(|request| {
        if request["messages"].to_string().len() > 60_000 {
            let error =
                json!({"error": {"code": "context_length_exceeded", "message": "too long"}});
            return Turn::status(400).body(error);
        }
        match request::steps(request).len() {
            0..30 => Turn::call("list_tasks", json!({})),
            _ => Turn::text("Thirty times the same."),
        }
    });
    let answer = system.say("ada", "list them thirty times").await;
    assert_eq!(answer.assert_ok()["response"], "Thirty times the same.");
    assert_eq!(answer.body["tool_calls"].as_array().unwrap().len(), 30);
    // The result that the model has not read yet is whole.
    let asked = system.model.requests().pop().unwrap();
    let results = contents(&asked, "tool");
    assert!(results.last().unwrap().contains("ddddd"));
    assert!(results[0].contains("shortened") && results[0].len() < 400);
}

/// Fields that only one provider knows come back to the model that sent them, call by call, and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_providers_own_fields_come_back_to_its_model_alone() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let first = system.start_worker().await;
    let signed = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","reasoning_details":[{"type":"x","data":"one"}],"tool_calls":[{"index":0,"id":"function-call-1","type":"function","extra_content":{"google":{"thought_signature":"c2lnbmF0dXJl"}},"function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}]}}]}"#;
    let end = r#"data: {"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"x","data":"two"}]},"finish_reason":"tool_calls"}]}"#;
    system
        .model
        .push(Turn::raw([format!("{signed}\n\n{end}\n\n")]));
    let last = r#"data: {"choices":[{"index":0,"delta":{"content":"Done.","extra_content":{"google":{"thought_signature":"bGFzdA=="}}},"finish_reason":"stop"}]}"#;
    system.model.push(Turn::raw([format!("{last}\n\n")]));
    let answer = system.say("ada", "add A").await;
    let conversation = answer.assert_ok()["conversation_id"].clone();
    system.model.push(Turn::text("Yes."));
    system
        .say_in("ada", &conversation, "really?")
        .await
        .assert_ok();
    let requests = system.model.requests();
    for asked in &requests[1..] {
        let step = &asked["messages"][2];
        let call = &step["tool_calls"][0];
        assert_eq!(
            call["extra_content"]["google"]["thought_signature"], "c2lnbmF0dXJl",
            "{step}"
        );
        assert_eq!(call["id"], "function-call-1");
        assert_eq!(
            step["reasoning_details"],
            json!([{"type": "x", "data": "one"}, {"type": "x", "data": "two"}])
        );
    }
    let reply = &requests[2]["messages"][4];
    assert_eq!(reply["content"], "Done.");
    assert_eq!(
        reply["extra_content"]["google"]["thought_signature"],
        "bGFzdA=="
    );
    // Another model takes over.
    first.cancel();
    system.model_name = "another";
    system.start_worker().await;
    system.model.push(Turn::text("Me too."));
    system
        .say_in("ada", &conversation, "and you?")
        .await
        .assert_ok();
    let asked = system.model.requests().pop().unwrap();
    assert_eq!(asked["model"], "another");
    assert!(!asked.to_string().contains("thought_signature"), "{asked}");
    assert!(!asked.to_string().contains("reasoning_details"), "{asked}");
}

/// Most turns are read as they were kept with their replies; that is what their steps and calls say, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_kept_with_its_reply_as_its_steps_have_it() {
    let system = TestSystem::start().await;
    let signed = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","reasoning_details":[{"type":"x","data":"one"}],"tool_calls":[{"index":0,"id":"function-call-1","type":"function","extra_content":{"google":{"thought_signature":"c2lnbmF0dXJl"}},"function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}]},"finish_reason":"tool_calls"}]}"#;
    let last = r#"data: {"choices":[{"index":0,"delta":{"content":"Done.","extra_content":{"google":{"thought_signature":"bGFzdA=="}}},"finish_reason":"stop"}]}"#;
    let call = Turn::call("add_task", json!({"title": "milk \u{e4}\"\\"}))
        .and_call("list_tasks", json!({}))
        .and_call("complete_task", json!({"task_id": "none of ours"}))
        .and_call("no_such_tool", json!({}))
        .and_text("Let me see.");
    for turn in [
        Turn::raw([format!("{signed}\n\n")]),
        Turn::raw([format!("{last}\n\n")]),
        call,
        Turn::empty().and_call_raw("add_task", "no object"),
        Turn::text("I tried."),
        Turn::text("Nothing to do."),
        Turn::text("\u{0} is a NUL."),
    ] {
        system.model.push(turn);
    }
    let first = system.say("ada", "one").await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    for message in ["two", "three", "four"] {
        let answer = system.say_in("ada", &conversation, message).await;
        answer.assert_ok();
    }
    system.model.push(Turn::status(401));
    let failed = system.say_in("ada", &conversation, "five").await;
    failed.assert_error(502, "model_error");

    let history = async || -> Value {
        let query = "select jsonb_strip_nulls(run_history('ada', $1::uuid, 1000000, 48)::jsonb)";
        let history = sqlx::query_scalar(query).bind(conversation.as_str());
        history.fetch_one(&system.db).await.expect("a history")
    };
    let kept = "select count(*) from messages where turn_steps is not null";
    assert_eq!(system.count(kept).await, 4);
    let as_kept = history().await;
    assert_eq!(as_kept.as_array().unwrap().len(), 5);
    sqlx::query("update messages set turn_steps = null")
        .execute(&system.db)
        .await
        .expect("they are forgotten");
    assert_eq!(as_kept, history().await);
}
