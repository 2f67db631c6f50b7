//! Streaming: AG-UI events over SSE and the socket, whole, resumed anywhere, taken over.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use errand_store::queue::purge::{self, Purge};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem, ag_ui,
    events::{assert_well_formed, kinds, read_sse, stored, text},
    rows,
    socket::Socket,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_streams_as_server_sent_events() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})).and_text("Let me see."));
    system.model.push(Turn::text("It is on your list."));
    let request = system
        .post_chat("ada", &json!({"message": "add buy milk"}))
        .header("accept", "text/event-stream");
    let events = read_sse(request, usize::MAX).await;
    assert_well_formed(&events);
    let run = events[0].1["runId"].as_str().unwrap();
    assert_eq!(events, stored(&system, run).await);
    assert_eq!(
        kinds(&events),
        [
            "RUN_STARTED",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "TOOL_CALL_START",
            "TOOL_CALL_ARGS",
            "TOOL_CALL_END",
            "TOOL_CALL_RESULT",
            "STATE_SNAPSHOT",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "CUSTOM",
            "RUN_FINISHED"
        ]
    );
    assert_eq!(text(&events), "Let me see.It is on your list.");
    let snapshot = events
        .iter()
        .find(|(_, event)| event["type"] == "STATE_SNAPSHOT")
        .unwrap();
    assert_eq!(snapshot.1["snapshot"]["tasks"][0]["title"], "buy milk");
    assert_eq!(events.last().unwrap().1["outcome"]["type"], "success");
    // The streamed message is the stored one.
    let view = system.get("ada", &format!("runs/{run}")).await;
    let last = events
        .iter()
        .rfind(|(_, event)| event["type"] == "TEXT_MESSAGE_END")
        .unwrap();
    assert_eq!(view.assert_ok()["message_id"], last.1["messageId"]);
    assert_eq!(view.body["response"], "It is on your list.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_at_any_event() {
    let system = TestSystem::start().await;
    // Two steps: the changes of one may be told of together.
    for title in ["a", "b"] {
        system
            .model
            .push(Turn::call("add_task", json!({"title": title})));
    }
    let words = "one two three four five six seven eight nine ten";
    system
        .model
        .push(Turn::text(words).chunk_every(Duration::from_millis(60)));
    let accepted = Answer::of(
        system
            .post_chat("ada", &json!({"message": "go"}))
            .header("prefer", "respond-async"),
    )
    .await;
    let run = accepted.body["run_id"].as_str().unwrap().to_owned();
    let path = format!("runs/{run}/events");
    // Live, cut after every single event.
    let mut seen: Vec<(i64, Value)> = Vec::new();
    while !seen
        .last()
        .is_some_and(|(_, event)| event["type"] == "RUN_FINISHED")
    {
        let mut request = system.request(Method::GET, "ada", &path);
        if let Some((seq, _)) = seen.last() {
            request = request.header("last-event-id", seq.to_string());
        }
        seen.extend(read_sse(request, 1).await);
    }
    assert_well_formed(&seen);
    assert_eq!(text(&seen), words);
    assert!(kinds(&seen).contains(&"STATE_DELTA"));
    let stored = stored(&system, &run).await;
    assert_eq!(seen, stored);
    // And afterwards, from every place.
    for cut in 0..stored.len() {
        let request = system
            .request(Method::GET, "ada", &path)
            .header("last-event-id", cut.to_string());
        assert_eq!(read_sse(request, usize::MAX).await, stored[cut..]);
    }
    for bad in ["-1", "x", "1.5"] {
        let request = system
            .request(Method::GET, "ada", &path)
            .header("last-event-id", bad);
        Answer::of(request)
            .await
            .assert_error(400, "invalid_request");
    }
    let beyond = system
        .request(Method::GET, "ada", &path)
        .header("last-event-id", "1000");
    Answer::of(beyond).await.assert_error(404, "not_found");
    system
        .get("bob", &path)
        .await
        .assert_error(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_closes_what_was_open_and_goes_on() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "once"})));
    system
        .model
        .push(Turn::text("these words are lost").gate_after(3, &gate));
    system.model.push(Turn::text("And this is the answer."));
    let more = [("LEASE_TIMEOUT", "1s")];
    let mut doomed = system.worker_process(&more).await;
    doomed.until_says("taking runs").await;
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "go"})).await;
    gate.reached(1).await.unwrap();
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    doomed.kill().await;
    let _other = system.worker_process(&more).await;
    let attempt = socket.until(|frame| frame["type"] == "run.attempt").await;
    assert_eq!(attempt["attempt"], 2);
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let events = socket.events();
    assert_well_formed(&events);
    assert_eq!(
        events,
        stored(&system, started["runId"].as_str().unwrap()).await
    );
    assert!(text(&events).ends_with("And this is the answer."));
    let ids: std::collections::HashSet<_> = events
        .iter()
        .filter(|(_, event)| event["type"] == "TEXT_MESSAGE_START")
        .map(|(_, event)| event["messageId"].to_string())
        .collect();
    assert_eq!(ids.len(), 2, "it goes on under a new message");
    assert_eq!(
        events
            .iter()
            .filter(|(_, event)| event["type"] == "TOOL_CALL_RESULT")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ag_ui_input_opens_the_conversation_under_the_clients_ids() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let (thread, run) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    let input = |thread: &str, run: &str| {
        json!({"threadId": thread, "runId": run, "protocolVersion": "1.0", "state": {}, "tools": [], "context": [],
            "forwardedProps": {}, "messages": [
                {"id": "1", "role": "user", "content": "earlier"}, {"id": "2", "role": "assistant", "content": "yes"},
                {"id": "3", "role": "user", "content": [{"type": "text", "text": "hi there"}]}]})
    };
    let post = |user: &str, body: &Value| {
        system
            .post_chat(user, body)
            .header("accept", "text/event-stream")
    };
    let body = input(&thread.to_string(), &run.to_string());
    let events = read_sse(post("ada", &body), usize::MAX).await;
    assert_well_formed(&events);
    assert_eq!(events[0].1["threadId"], thread.to_string());
    assert_eq!(events[0].1["runId"], run.to_string());
    // Repeated, it is the same run.
    assert_eq!(read_sse(post("ada", &body), usize::MAX).await, events);
    let said: Vec<String> = sqlx::query_scalar("select content from messages order by position")
        .fetch_all(&system.db)
        .await
        .unwrap();
    assert_eq!(said, ["hi there", "Hello."]);
    let foreign = input(&thread.to_string(), &uuid::Uuid::now_v7().to_string());
    Answer::of(post("bob", &foreign))
        .await
        .assert_error(404, "not_found");
}

/// npm's `@ag-ui/client` runs a turn with a tool call against us, unchanged. It checks the order of events itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ag_ui_client_runs_a_turn() {
    let system = TestSystem::start().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("It is on your list."));
    system.model.push(Turn::text("Milk."));
    let thread = uuid::Uuid::now_v7().to_string();
    let mut made = Vec::new();
    for message in ["add buy milk", "what was it?"] {
        let Some(turn) = ag_ui::turn(&system, &thread, message).await else {
            return;
        };
        made.push(turn);
    }
    let types = made[0]["types"].as_array().unwrap();
    assert_eq!(
        (types.first(), types.last()),
        (Some(&json!("RUN_STARTED")), Some(&json!("RUN_FINISHED")))
    );
    let messages = made[0]["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    assert_eq!(messages[1]["toolCalls"][0]["function"]["name"], "add_task");
    assert_eq!(messages[3]["content"], "It is on your list.");
    assert_eq!(made[0]["state"]["tasks"][0]["title"], "buy milk");
    assert_eq!(
        made[1]["messages"].as_array().unwrap().last().unwrap()["content"],
        "Milk."
    );
    assert_eq!(
        system
            .count("select count(distinct conversation_id) from runs")
            .await,
        1
    );
}

/// For any cut at any moment, with workers dying in between: what a client saw before and after resuming joins to exactly
/// the stored events.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_the_stream_equals_the_store() {
    use rand::{RngExt, SeedableRng};
    let seed: u64 = rand::random();
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system.model.script(
        |request| match errand_devkit::model::request::steps(request).len() {
            0 => Turn::call("add_task", json!({"title": "once"}))
                .chunk_every(Duration::from_millis(10)),
            _ => Turn::text("word ".repeat(60)).chunk_every(Duration::from_millis(25)),
        },
    );
    let more = [("LEASE_TIMEOUT", "1s"), ("MAX_ATTEMPTS", "9")];
    let mut worker = system.worker_process(&more).await;
    let run_id = uuid::Uuid::now_v7().to_string();
    let mut seen: Vec<(i64, Value)> = Vec::new();
    let mut thread = Value::Null;
    let mut kills = 0;
    while !seen
        .last()
        .is_some_and(|(_, event)| event["type"] == "RUN_FINISHED")
    {
        // Cut: the socket is dropped after a random number of events, and a new one resumes behind the last.
        let mut socket = Socket::connect(&system, "ada").await;
        if thread.is_null() {
            thread = socket
                .call("run.start", json!({"message": "go", "runId": run_id}))
                .await["threadId"]
                .clone();
        } else {
            let after = json!({"runId": run_id, "seq": seen.last().map_or(0, |(seq, _)| *seq)});
            socket
                .call("subscribe", json!({"threadId": thread, "after": after}))
                .await;
        }
        let wanted = random.random_range(1..12);
        socket.until_events(wanted).await;
        seen.extend(socket.events());
        if kills < 2
            && random.random_bool(0.25)
            && !seen
                .last()
                .is_some_and(|(_, event)| event["type"] == "RUN_FINISHED")
        {
            kills += 1;
            worker.kill().await;
            worker = system.worker_process(&more).await;
        }
    }
    assert_well_formed(&seen);
    assert_eq!(seen, stored(&system, &run_id).await, "seed {seed}");
    assert_eq!(system.titles("ada").await, ["once"], "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_events_ask_for_a_resync() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    let said = system.say("ada", "hi").await;
    let (thread, run) = (
        &said.assert_ok()["conversation_id"],
        said.body["run_id"].as_str().unwrap(),
    );
    sqlx::raw_sql("update runs set finished_at = finished_at - interval '2 days', started_at = started_at - interval '2 days'")
        .execute(&system.db)
        .await
        .unwrap();
    let mut db = system.db.acquire().await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    let early = purge::step(&mut db, Purge::Events, day * 3, 100).await;
    assert_eq!(early.unwrap().rows, 0);
    let due = purge::step(&mut db, Purge::Events, day, 100).await;
    assert!(due.unwrap().rows > 0);
    let mut socket = Socket::connect(&system, "ada").await;
    socket
        .call(
            "subscribe",
            json!({"threadId": thread, "after": {"runId": run, "seq": 1}}),
        )
        .await;
    socket
        .until(|frame| frame["type"] == "resync_required")
        .await;
    system
        .get("ada", &format!("runs/{run}/events"))
        .await
        .assert_error(404, "not_found");
    assert_eq!(
        system.get("ada", &format!("runs/{run}")).await.assert_ok()["response"],
        "Hello."
    );
}

/// An old run is read from its events as long as these are kept, however much has been said in its conversation since.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_of_a_long_conversation_is_still_streamed() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("At last."));
    let first = system.say("ada", "first").await;
    let first = first.assert_ok();
    let (run, conversation) = (
        first["run_id"].as_str().expect("a run"),
        first["conversation_id"].as_str().expect("an id"),
    );
    let later = format!(
        "insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, started_at, finished_at)
         select gen_random_uuid(), '{conversation}', 'ada', 'completed', 1, now(), now(), now() from generate_series(1, 80)"
    );
    rows::execute(&system.db, &later).await;
    let request = system.request(Method::GET, "ada", &format!("runs/{run}/events"));
    let events = read_sse(request, 100).await;
    assert_eq!(events, stored(&system, run).await);
    assert_eq!(kinds(&events).last(), Some(&"RUN_FINISHED"));
    let behind = system
        .request(Method::GET, "ada", &format!("runs/{run}/events"))
        .header("last-event-id", "2");
    assert_eq!(read_sse(behind, 100).await, events[2..]);
}
