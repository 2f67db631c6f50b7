//! Many that follow: what they cost the database, and that they miss no end.

use std::time::Duration;

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};
use uuid::Uuid;

use crate::system::{
    Answer, Options, PATIENCE, TestSystem,
    events::{Sse, kinds},
    rows,
    socket::Socket,
};

async fn without_workers() -> TestSystem {
    TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await
}

/// Accepts a message; returns conversation and run.
async fn accepted(system: &TestSystem, user: &str) -> (String, String) {
    let request = system.post_chat(user, &json!({"message": "hi"}));
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    let id = |field: &str| accepted.body[field].as_str().expect("an id").to_owned();
    (id("conversation_id"), id("run_id"))
}

/// The fewest transactions that the database has seen in so long; the server tells of them with a delay of up to ten seconds, so what came
/// before is seen for a while.
async fn transactions(system: &TestSystem, within: Duration, at_most: i64) -> i64 {
    let count = async || {
        let query = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
        system.count(query).await
    };
    let mut fewest = i64::MAX;
    for _ in 0..5 {
        let before = count().await;
        tokio::time::sleep(within).await;
        fewest = fewest.min(count().await - before);
        if fewest <= at_most {
            break;
        }
    }
    fewest
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_a_silent_run_cost_the_database_nothing() {
    const WHILE: Duration = Duration::from_secs(5);
    let system = without_workers().await;
    let (thread, run) = accepted(&system, "ada").await;
    let mut first = Socket::connect(&system, "ada").await;
    let subscribe = json!({"threadId": thread});
    first.call("subscribe", subscribe.clone()).await;
    // A query for runs and one for events in a second, each on a connection that is cleared behind it.
    let of_one = transactions(&system, WHILE, 40).await;
    let mut sockets = Vec::new();
    for _ in 0..45 {
        let mut socket = Socket::connect(&system, "ada").await;
        socket.call("subscribe", subscribe.clone()).await;
        let events = system.request(Method::GET, "ada", &format!("runs/{run}/events"));
        sockets.push((socket, Sse::open(events).await));
    }
    let of_many = transactions(&system, WHILE, of_one + 12).await;
    assert!(
        of_many <= of_one + 12,
        "{of_one} transactions for one follower, {of_many} for 91"
    );
    // And they hear of the end as ever.
    let cancel = system.request(Method::POST, "ada", &format!("runs/{run}/cancel"));
    Answer::of(cancel).await.assert_ok();
    for (socket, stream) in &mut sockets {
        socket
            .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
            .await;
        stream.until("RUN_FINISHED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_runs_in_one_conversation_are_announced_and_starve_no_other() {
    const RUNS: usize = 2_500;
    let system = without_workers().await;
    let (thread, _) = accepted(&system, "ada").await;
    let (bobs, _) = accepted(&system, "bob").await;
    let mut ada = Socket::connect(&system, "ada").await;
    ada.call("subscribe", json!({"threadId": thread})).await;
    let mut bob = Socket::connect(&system, "bob").await;
    bob.call("subscribe", json!({"threadId": bobs})).await;
    rows::execute(
        &system.db,
        &format!(
            "insert into runs (id, conversation_id, user_id)
             select gen_random_uuid(), '{thread}', 'ada' from generate_series(1, {RUNS});
             select pg_notify('errand_conversation', '{thread}')"
        ),
    )
    .await;
    let queued = |frame: &Value| frame["type"] == "run.queued";
    let position = json!(RUNS);
    ada.until(|frame| queued(frame) && frame["position"] == position)
        .await;
    let mut announced: Vec<&Value> = ada
        .frames
        .iter()
        .filter(|frame| queued(frame))
        .map(|frame| &frame["position"])
        .collect();
    announced.sort_by_key(|position| position.as_i64());
    announced.dedup();
    assert_eq!(announced.len(), RUNS);
    // Who comes later hears of them, too: nobody is too slow for what there is at the beginning.
    let mut late = Socket::connect(&system, "ada").await;
    late.call("subscribe", json!({"threadId": thread})).await;
    late.until(|frame| queued(frame) && frame["position"] == 49)
        .await;
    let again = json!({"message": "again", "threadId": bobs});
    let run = bob.call("run.start", again).await["runId"].clone();
    bob.until(|frame| queued(frame) && frame["runId"] == run)
        .await;
}

/// A run may end at any moment between the look at it and the place among its followers.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_while_somebody_comes_is_heard_to_end() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let mut clients = JoinSet::new();
    let system = std::sync::Arc::new(system);
    for client in 0..8_u64 {
        let system = std::sync::Arc::clone(&system);
        clients.spawn(async move {
            for n in 0..25 {
                let user = format!("user-{client}-{n}");
                let (_, run) = accepted(&system, &user).await;
                tokio::time::sleep(Duration::from_millis((client * 25 + n) % 60)).await;
                let request = system.request(Method::GET, &user, &format!("runs/{run}/events"));
                let mut stream = Sse::open(request).await;
                let mut heard = std::pin::pin!(stream.until("RUN_FINISHED"));
                let mut is_over = false;
                let events = loop {
                    if let Ok(events) = timeout(PATIENCE / 2, heard.as_mut()).await {
                        break events;
                    }
                    assert!(!is_over, "{user} never hears of the end");
                    let run = system.get(&user, &format!("runs/{run}")).await;
                    is_over = run.assert_ok()["status"] == "completed";
                };
                assert_eq!(kinds(&events)[0], "RUN_STARTED");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client");
    }
}

/// Without any notification, the hub's own look finds new runs, events and ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_notified_of_is_found() {
    let system = without_workers().await;
    let (thread, run) = accepted(&system, "ada").await;
    let mut socket = Socket::connect(&system, "ada").await;
    socket.call("subscribe", json!({"threadId": thread})).await;
    let silent = Uuid::now_v7();
    rows::execute(
        &system.db,
        &format!(
            "insert into runs (id, conversation_id, user_id) values ('{silent}', '{thread}', 'ada');
             insert into run_events (run_id, seq, event) values
                 ('{run}', 1, '{{\"type\": \"RUN_STARTED\"}}'), ('{run}', 2, '{{\"type\": \"RUN_FINISHED\"}}'),
                 ('{silent}', 1, '{{\"type\": \"RUN_STARTED\"}}'), ('{silent}', 2, '{{\"type\": \"RUN_FINISHED\"}}')"
        ),
    )
    .await;
    for run in [json!(run), json!(silent)] {
        socket
            .until(|frame| frame["runId"] == run && frame["event"]["type"] == "RUN_FINISHED")
            .await;
    }
}
