//! Events that are large, or many: a socket gets past them, and nobody holds more of them than a little.

use errand_devkit::model::{Turn, request};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use crate::system::{
    Options, TestSystem,
    events::{assert_well_formed, kinds, read_sse, stored},
    mcp::Mcp,
    process::Process,
    socket::Socket,
};

/// A run of ada's with a tool call, that is over: its id and its conversation's.
async fn run(system: &TestSystem) -> (String, Value) {
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let said = system.say("ada", "add buy milk").await;
    let run = said.assert_ok()["run_id"].as_str().expect("a run");
    (run.to_owned(), said.body["conversation_id"].clone())
}

/// Follows from behind this event to the end of the run.
async fn follow(system: &TestSystem, thread: &Value, run: &str, seq: i64) -> Vec<(i64, Value)> {
    let mut socket = Socket::connect(system, "ada").await;
    let after = json!({"threadId": thread, "after": {"runId": run, "seq": seq}});
    let answer = socket.call("subscribe", after).await;
    assert_eq!(answer["type"], "success", "{answer}");
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == run)
        .await;
    socket.events()
}

fn of_kind<'e>(events: &'e [(i64, Value)], kind: &str) -> &'e Value {
    let event = events.iter().find(|(_, event)| event["type"] == kind);
    &event.unwrap_or_else(|| panic!("no {kind}")).1
}

/// Makes the stored events of this kind huge, as if an earlier version had written them.
async fn grow(system: &TestSystem, run: &str, kind: &str, path: &str, value: &str) {
    let grow = format!(
        "update run_events set event = jsonb_set(event, '{path}', {value}), bytes = null
         where run_id = '{run}' and event ->> 'type' = '{kind}'"
    );
    let grown = sqlx::raw_sql(AssertSqlSafe(grow)).execute(&system.db).await;
    assert!(grown.expect("an update").rows_affected() > 0, "no {kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_gets_past_what_an_earlier_version_stored_too_large() {
    let system = TestSystem::start().await;
    let (run, thread) = run(&system).await;
    let huge = "to_jsonb(repeat('x', 3000000))";
    grow(&system, &run, "TOOL_CALL_RESULT", "{content}", huge).await;
    grow(&system, &run, "TOOL_CALL_ARGS", "{delta}", huge).await;
    grow(&system, &run, "TEXT_MESSAGE_CONTENT", "{delta}", huge).await;
    grow(&system, &run, "STATE_SNAPSHOT", "{snapshot,tasks}", huge).await;
    let whole = stored(&system, &run).await;
    let events = follow(&system, &thread, &run, 0).await;
    assert_eq!(events.len(), whole.len());
    assert_well_formed(&events);
    // What is shown instead is of the same kind, and says so.
    let result = of_kind(&events, "TOOL_CALL_RESULT");
    let content: Value = serde_json::from_str(result["content"].as_str().expect("a text"))
        .expect("JSON, as any result is");
    assert!(content.to_string().contains("GET"), "{content}");
    let expected = of_kind(&whole, "TOOL_CALL_RESULT");
    for field in ["messageId", "toolCallId", "role"] {
        assert_eq!(result[field], expected[field], "{field}");
    }
    let arguments = of_kind(&events, "TOOL_CALL_ARGS")["delta"].as_str();
    serde_json::from_str::<Value>(arguments.expect("a text")).expect("JSON, as any arguments are");
    assert!(of_kind(&events, "TEXT_MESSAGE_CONTENT")["delta"].is_string());
    // A list that is not there is no empty list.
    assert!(!kinds(&events).contains(&"STATE_SNAPSHOT"));
    // From every place, and over server-sent events too.
    for (seq, _) in &events[..events.len() - 1] {
        let place = usize::try_from(*seq).expect("a place");
        assert_eq!(follow(&system, &thread, &run, *seq).await, events[place..]);
    }
    let path = format!("runs/{run}/events");
    let request = system.request(Method::GET, "ada", &path);
    assert_eq!(read_sse(request, usize::MAX).await, events);
    // The run itself shows the result whole.
    let view = system.get("ada", &format!("runs/{run}")).await;
    assert_eq!(view.assert_ok()["tool_calls"][0]["result"]["success"], true);
}

/// What must not be there: an event whose recorded size is wrong. Not even that leaves a client without a code.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_cannot_be_sent_closes_its_socket_with_a_code() {
    let system = TestSystem::start().await;
    let (run, thread) = run(&system).await;
    let huge = "to_jsonb(repeat('x', 3000000))";
    grow(&system, &run, "TOOL_CALL_RESULT", "{content}", huge).await;
    sqlx::raw_sql("update run_events set bytes = 100")
        .execute(&system.db)
        .await
        .expect("an update");
    let mut socket = Socket::connect(&system, "ada").await;
    let after = json!({"threadId": thread, "after": {"runId": run, "seq": 0}});
    socket.call("subscribe", after).await;
    assert_eq!(socket.closed().await, 1009);
}

/// The longest list that a model can ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_a_frame_may_be_kills_no_socket() {
    const TASKS: usize = 200;
    let system = TestSystem::start().await;
    let mcp = Mcp::on(&system.database_url, &["--rate-calls-per-minute", "0"]).await;
    for n in 0..TASKS {
        let task = json!({"user_id": "ada", "title": format!("task {n}"), "description": "😀".repeat(2000)});
        let added = mcp.call("ada", "add_task", task).await;
        assert_eq!(added["success"], true, "{added}");
    }
    system
        .model
        .script(|asked| match request::steps(asked).len() {
            0 => Turn::call("list_tasks", json!({"limit": TASKS})),
            1 => Turn::call("add_task", json!({"title": "one more"})),
            _ => Turn::text("These are all."),
        });
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "list"})).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let events = socket.events();
    assert_well_formed(&events);
    let run = started["runId"].as_str().expect("a run");
    assert_eq!(follow(&system, &started["threadId"], run, 0).await, events);
    let view = system.get("ada", &format!("runs/{run}")).await;
    let whole = &view.assert_ok()["tool_calls"][0]["result"]["tasks"];
    assert_eq!(whole.as_array().map(Vec::len), Some(TASKS));
    mcp.stop().await;
}

/// Runs of ada's in one conversation whose events make up this many pages and more, of every size; the conversation.
async fn many_events(system: &TestSystem, runs: usize, large: usize) -> (Vec<String>, Value) {
    system.model.script(|_| Turn::text("Hello."));
    let first = system.say("ada", "hi").await;
    let thread = first.assert_ok()["conversation_id"].clone();
    let mut ids = vec![first.body["run_id"].as_str().expect("a run").to_owned()];
    for _ in 1..runs {
        let next = system.say_in("ada", &thread, "and?").await;
        ids.push(
            next.assert_ok()["run_id"]
                .as_str()
                .expect("a run")
                .to_owned(),
        );
    }
    // Behind the beginning of each: large ones, then many small ones, then the rest of it. Random text does not compress.
    let more = format!(
        "update run_events set seq = seq + 1000000 where seq > 1;
         with filler as materialized (select string_agg(md5(random()::text || g), '') as text from generate_series(1, 6000) g),
         more as (
             select r.id, 1 + n as seq,
                    jsonb_build_object('type', 'CUSTOM', 'name', 'filler', 'value', case when n <= {large} then n || f.text else n::text end)
                        as event
             from runs r, filler f, generate_series(1, {large} + 700) n
         )
         insert into run_events (run_id, seq, event, bytes) select id, seq, event, octet_length(event::text) from more;
         update run_events set seq = seq - 1000000 + {large} + 700 where seq > 1000000"
    );
    sqlx::raw_sql(AssertSqlSafe(more))
        .execute(&system.db)
        .await
        .expect("events");
    (ids, thread)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_whole_and_in_order() {
    let system = TestSystem::start().await;
    let (runs, thread) = many_events(&system, 4, 12).await;
    let mut socket = Socket::connect(&system, "ada").await;
    let after = json!({"threadId": thread, "after": {"runId": runs[0], "seq": 3}});
    socket.call("subscribe", after).await;
    // What comes meanwhile comes behind it.
    let live = system.say_in("ada", &thread, "go on").await;
    let live = live.assert_ok()["run_id"].as_str().expect("a run");
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == live)
        .await;
    let told: Vec<_> = socket
        .frames
        .iter()
        .filter(|frame| frame["type"] == "event")
        .map(|frame| {
            (
                frame["runId"].clone(),
                frame["seq"].clone(),
                frame["event"].clone(),
            )
        })
        .collect();
    let mut expected = Vec::new();
    for run in runs.iter().map(String::as_str).chain([live]) {
        for (seq, event) in stored(&system, run).await {
            if run != runs[0] || seq > 3 {
                expected.push((json!(run), json!(seq), event));
            }
        }
    }
    assert_eq!(told.len(), expected.len());
    assert!(told == expected, "not in order, or not as it is stored");
}

/// Readers who missed a lot and do not read: what they missed stays in the database.
#[tokio::test(flavor = "multi_thread")]
async fn what_many_readers_missed_is_not_held_for_them() {
    const READERS: usize = 8;
    let mut system = TestSystem::with(Options::default()).await;
    // 10 runs of 16 events of 192 KB: 31 MB for each reader.
    let (runs, thread) = many_events(&system, 10, 16).await;
    let issuer = system.identity.issuer().to_owned();
    let database_url = system.database_url.clone();
    let environment = [
        ("DATABASE_URL", database_url.as_str()),
        ("BETTER_AUTH_URL", &issuer),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
    ];
    let mut api = Process::start("errand-api", &[], environment).await;
    let line = api.until_says("serving").await;
    let address = line.split("address=").nth(1).expect("an address").trim();
    system.url = format!("http://{address}");
    api.until_says("the database is ready").await;
    let Some(before) = api.most_memory() else {
        return;
    };
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Socket::connect_with_small_buffer(&system, "ada").await);
    }
    let after = json!({"threadId": thread, "after": {"runId": runs[0], "seq": 0}});
    for reader in &mut readers {
        let call = json!({"id": "1", "method": "subscribe", "params": after});
        reader.send(&call.to_string()).await;
    }
    // All are shown out for not reading.
    let mut dropped: JoinSet<()> = readers
        .into_iter()
        .map(|mut reader| async move { reader.is_dropped().await })
        .collect();
    while let Some(reader) = dropped.join_next().await {
        reader.expect("no panic");
    }
    let grown = api.most_memory().expect("as before") - before;
    assert!(grown < 64 << 20, "{} MB more", grown >> 20);
    // Who reads gets everything.
    let mut socket = Socket::connect(&system, "ada").await;
    socket.call("subscribe", after).await;
    let last = runs.last().expect("a run");
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == *last)
        .await;
    let events: i64 = system.count("select count(*) from run_events").await;
    assert_eq!(
        i64::try_from(socket.events().len()).expect("a number"),
        events
    );
    let grown = api.most_memory().expect("as before") - before;
    assert!(grown < 64 << 20, "{} MB more", grown >> 20);
}
