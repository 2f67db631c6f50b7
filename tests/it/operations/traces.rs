//! Traces: a turn as a collector sees it, through API, queue, worker and back, also when a worker dies.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, PATIENCE, TestSystem,
    otlp::{Collector, SOON, Span},
    process::Process,
    socket::Socket,
};

pub(super) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// A client's own.
pub(super) fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CLIENT}-{flags}")
}

/// A system whose programs are yet to be started.
pub(super) async fn system() -> TestSystem {
    TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await
}

pub(super) async fn worker(system: &TestSystem, more: &[(&str, &str)]) -> Process {
    let base_url = system.model.base_url();
    let mut environment = vec![
        ("DATABASE_URL", system.database_url.as_str()),
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_MODEL", "scripted"),
        ("LOG_FORMAT", "json"),
        SOON,
    ];
    environment.extend(more);
    let mut worker = Process::start("errand-worker", &[], environment).await;
    worker.until_says("taking runs").await;
    worker
}

/// Puts an API of its own process in the place of the system's.
pub(super) async fn api(system: &mut TestSystem, more: &[(&str, &str)]) -> Process {
    let mut environment = vec![
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        SOON,
    ];
    environment.extend(more);
    let mut api = Process::start("errand-api", &[], environment).await;
    let line: Value = serde_json::from_str(&api.until_says("serving").await).expect("a line");
    system.url = format!("http://{}", line["address"].as_str().expect("an address"));
    api.until_says("the database is ready").await;
    api
}

/// The names of what is directly below a span, by their beginnings.
fn below(spans: &[Span], parent: &str) -> Vec<String> {
    let mut below: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
    below.sort_by_key(|span| span.from);
    below.iter().map(|span| span.name.clone()).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Waits for a turn's last spans.
async fn whole_turn(collector: &Collector, trace: &str) -> Vec<Span> {
    for name in ["POST /api/{user_id}/chat", "deliver", "invoke_agent errand"] {
        collector.span(trace, name).await;
    }
    let spans = collector.spans();
    spans
        .into_iter()
        .filter(|span| span.trace == trace)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_one_trace_and_tells_nothing_that_was_said() {
    let collector = Collector::start().await;
    let mut system = system().await;
    let telemetry = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=a%20key"),
        ("LOG_USER_IDS", "hashed"),
        ("RUST_LOG", "info,tower_http=debug"),
    ];
    let mut api = api(&mut system, &telemetry).await;
    let mut worker = worker(&system, &telemetry).await;
    let call = Turn::call("add_task", json!({"title": "a secret plan"}));
    system
        .model
        .push(call.usage(100, 20).cached(60).reasoning(12));
    system.model.push(Turn::text("A secret answer."));
    let body = json!({"message": "a secret message"});
    let request = system.post_chat("ada", &body);
    let answer = Answer::of(request.header("traceparent", traceparent(TRACE, "01"))).await;
    let run = answer.assert_ok()["run_id"]
        .as_str()
        .expect("a run")
        .to_owned();

    let spans = whole_turn(&collector, TRACE).await;
    let only = |name: &str| {
        let mut named = spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(named.next().is_none(), "{name} is there twice");
        span
    };
    let request = only("POST /api/{user_id}/chat");
    assert_eq!((request.parent.as_str(), request.kind), (CLIENT, 2));
    assert_eq!(request.get("http.response.status_code"), 200);
    assert_eq!(request.service, "errand-api");
    assert_eq!(
        sorted(below(&spans, &request.id)),
        ["accept", "claim", "deliver", "invoke_agent errand", "queue"]
    );
    let attempt = only("invoke_agent errand");
    assert_eq!(
        below(&spans, &attempt.id),
        [
            "history",
            "chat scripted",
            "step",
            "execute_tool add_task",
            "chat scripted",
            "finish"
        ]
    );
    assert_eq!(spans.len(), 12, "{spans:#?}");
    assert_eq!(
        (attempt.service.as_str(), attempt.links.len()),
        ("errand-worker", 0)
    );
    for span in ["accept", "queue", "claim", "deliver", "invoke_agent errand"] {
        assert_eq!(only(span).get("errand.run.id"), &json!(run));
    }
    assert_eq!(attempt.get("errand.run.attempt"), 1);
    assert_eq!(attempt.get("errand.run.outcome"), "completed");
    assert_eq!(attempt.get("gen_ai.operation.name"), "invoke_agent");
    assert_eq!(
        attempt.get("gen_ai.conversation.id"),
        &answer.body["conversation_id"]
    );

    // The queue ends where the attempt begins, and nothing takes longer than its parent.
    assert_eq!(only("queue").to, attempt.from);
    assert!(
        only("queue").took() < PATIENCE
            && only("claim").took() <= only("queue").took() + Duration::from_secs(1)
    );
    assert!(
        spans
            .iter()
            .all(|span| span.from <= span.to && !span.is_error),
        "{spans:#?}"
    );

    let chats: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "chat scripted")
        .collect();
    let asked = chats.iter().min_by_key(|span| span.from).expect("a chat");
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("scripted")),
        ("gen_ai.usage.input_tokens", json!(100)),
        ("gen_ai.usage.cache_read.input_tokens", json!(60)),
        ("gen_ai.usage.output_tokens", json!(20)),
        ("gen_ai.usage.reasoning.output_tokens", json!(12)),
        ("gen_ai.response.finish_reasons", json!(["tool_calls"])),
        ("server.address", json!("127.0.0.1")),
    ] {
        assert_eq!(asked.get(name), &value, "{name}");
    }
    assert_eq!(asked.kind, 3);
    let tool = only("execute_tool add_task");
    assert_eq!(tool.get("gen_ai.operation.name"), "execute_tool");
    assert_eq!(tool.get("gen_ai.tool.name"), "add_task");

    assert_eq!(
        collector.header("x-collector-key").as_deref(),
        Some("a key")
    );
    assert_eq!(
        collector.header("content-type").as_deref(),
        Some("application/x-protobuf")
    );
    // The user is told by a hash: here and in log lines, which name run and trace, too.
    let hashed = attempt.get("user.id").as_str().expect("text").to_owned();
    assert!(hashed.starts_with("u-") && hashed.len() == 18, "{hashed}");
    for text in ["secret", "ada\"", "/ada"] {
        assert!(!collector.was_told(text), "{text} was told");
    }
    let line = worker.until_says("run completed").await;
    for part in [TRACE, &run, &hashed] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let line = api.until_says("finished processing request").await;
    let path = format!("/api/{hashed}/chat");
    for part in [TRACE, &run, &hashed, &path] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let said = api.heard().iter().chain(worker.heard());
    assert!(
        said.clone()
            .all(|line| !line.contains("ada\"") && !line.contains("/ada"))
    );
}

/// Whoever is not to be traced is not: that is for the client to say, and for `OTEL_TRACES_SAMPLER`.
#[tokio::test(flavor = "multi_thread")]
async fn events_end_their_trace_over_streams_and_sockets() {
    let collector = Collector::start().await;
    let mut system = system().await;
    let telemetry = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let _api = api(&mut system, &telemetry).await;
    let _worker = worker(&system, &telemetry).await;
    for _ in 0..3 {
        system.model.push(Turn::text("Yes."));
    }
    // One that its client does not record.
    let unseen = "1".repeat(32);
    let body = json!({"message": "hello"});
    let request = system.post_chat("ada", &body);
    let request = request.header("traceparent", traceparent(&unseen, "00"));
    Answer::of(request).await.assert_ok();

    let request = system
        .post_chat("ada", &body)
        .header("accept", "text/event-stream");
    let request = request.header("traceparent", traceparent(TRACE, "01"));
    let events = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("events");
    assert!(events.contains("RUN_FINISHED"), "{events}");
    let spans = whole_turn(&collector, TRACE).await;
    let delivery = spans
        .iter()
        .find(|span| span.name == "deliver")
        .expect("one");
    assert_eq!(delivery.get("errand.transport"), "sse");
    assert_eq!(delivery.get("errand.delivered"), true);
    let finish = spans
        .iter()
        .find(|span| span.name == "finish")
        .expect("one");
    assert!(delivery.to > finish.from);

    let mut socket = Socket::connect(&system, "ada").await;
    let third = "3".repeat(32);
    socket
        .call(
            "run.start",
            json!({"message": "hello", "traceparent": traceparent(&third, "01")}),
        )
        .await;
    let delivery = collector.span(&third, "deliver").await;
    assert_eq!(delivery.get("errand.transport"), "websocket");
    let start = collector.span(&third, "run.start").await;
    assert_eq!(
        (start.parent.as_str(), delivery.parent.as_str()),
        (CLIENT, start.id.as_str())
    );
    let attempt = collector.span(&third, "invoke_agent errand").await;
    assert_eq!(attempt.parent, start.id);
    assert!(collector.spans().iter().all(|span| span.trace != unseen));
}

/// kill -9 in the middle of a turn: the attempt that goes on is in the same trace and says which one was lost. Nobody but the workers
/// traces here, so the run itself is what the trace goes by.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_crash_is_linked_to_the_one_before() {
    let collector = Collector::start().await;
    let system = system().await;
    let telemetry = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let (lost, reply) = (Gate::closed(), Gate::closed());
    system
        .model
        .push(Turn::call("add_task", json!({"title": "exactly once"})));
    system
        .model
        .push(Turn::text("lost words").gate_after(1, &lost));
    system.model.push(Turn::text("Done.").gate_after(0, &reply));
    let mut doomed = worker(&system, &telemetry).await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "add"})).send());
    lost.reached(1).await.expect("the second answer begins");
    // What had ended by then is sent; the attempt itself has not.
    let first = collector
        .until(|spans| {
            let named = |name: &str| spans.iter().find(|span| span.name == name);
            named("execute_tool add_task").and(named("step")).cloned()
        })
        .await;
    let other = worker(&system, &telemetry).await;
    doomed.kill().await;
    reply.reached(1).await.expect("the run is taken over");
    reply.open();
    let answer: Value = answer
        .await
        .expect("no panic")
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["response"], "Done.", "{answer}");

    let attempt = collector.span(&first.trace, "invoke_agent errand").await;
    assert_eq!(attempt.get("errand.run.attempt"), 2);
    assert_eq!(attempt.get("errand.run.lost_attempts"), 1);
    assert_eq!(attempt.get("errand.run.id"), &answer["run_id"]);
    assert_eq!(attempt.links, std::slice::from_ref(&first.parent));
    let spans = collector.spans();
    assert!(
        spans.iter().all(|span| span.trace == first.trace),
        "{spans:#?}"
    );
    assert_eq!(
        sorted(below(&spans, &first.parent)),
        [
            "chat scripted",
            "claim",
            "execute_tool add_task",
            "history",
            "queue",
            "step"
        ]
    );
    // The call that was committed is made again under its key, and is found to be done.
    assert_eq!(
        sorted(below(&spans, &attempt.id)),
        [
            "chat scripted",
            "claim",
            "execute_tool add_task",
            "finish",
            "history"
        ]
    );
    drop(other);

    // A client's trace is carried through an API that does not trace.
    system.model.push(Turn::text("Again."));
    let _third = worker(&system, &telemetry).await;
    let request = system.post_chat("ada", &json!({"message": "again"}));
    let request = request.header("traceparent", traceparent(TRACE, "01"));
    Answer::of(request).await.assert_ok();
    let attempt = collector.span(TRACE, "invoke_agent errand").await;
    assert_eq!(attempt.parent, CLIENT);
}
