//! What may be said next: the event before the last one.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::{
    TestSystem, ag_ui,
    events::{assert_well_formed, read_sse, stored},
};

async fn told(system: &TestSystem, message: &str) -> Vec<(i64, Value)> {
    let request = system
        .post_chat("ada", &json!({"message": message}))
        .header("accept", "text/event-stream");
    let events = read_sse(request, usize::MAX).await;
    assert_well_formed(&events);
    let run = events[0].1["runId"].as_str().expect("a run");
    assert_eq!(stored(system, run).await, events);
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_did_something_tells_what_may_be_said_next() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let events = told(&system, "add buy milk").await;
    let id: String = sqlx::query_scalar("select id::text from tasks")
        .fetch_one(&system.db)
        .await
        .expect("a task");
    let (_, told_last) = &events[events.len() - 2];
    let suggestions = json!([
        {"id": "schedule", "message": "Make “buy milk” due tomorrow", "task_id": id},
        {"id": "undo", "message": "Undo that"},
    ]);
    let expected = json!({"type": "CUSTOM", "name": "errand.suggestions", "value": {"suggestions": suggestions}});
    assert_eq!(*told_last, expected);
    let runs = [events.into_iter().map(|(_, event)| event).collect()];
    ag_ui::validate(&runs).await;
}

/// No model is asked for them, and where there is nothing to say nothing is told.
#[tokio::test(flavor = "multi_thread")]
async fn suggestions_cost_nothing_and_are_not_made_up() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    let mut all = told(&system, "hello").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": ""})));
    system.model.push(Turn::text("It needs a title."));
    all.extend(told(&system, "add").await);
    assert!(
        all.iter().all(|(_, event)| event["type"] != "CUSTOM"),
        "{all:?}"
    );
    assert_eq!(system.model.request_count(), 3);
}
