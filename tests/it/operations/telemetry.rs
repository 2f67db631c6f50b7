//! What operators read: that a collector which is away costs no turn, and that log lines tell of a failure once.

use std::{net::TcpListener, time::Duration};

use errand_devkit::model::Turn;
use serde_json::json;

use super::traces::{TRACE, api, system, traceparent, worker};
use crate::system::{Answer, client};

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_turn_and_is_told_of_once() {
    let system = system().await;
    let (nobody, metrics) = (free_port(), free_port().to_string());
    let nobody = format!("http://127.0.0.1:{nobody}");
    let telemetry = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()),
        ("METRICS_PORT", &metrics),
    ];
    let mut worker = worker(&system, &telemetry).await;
    let metrics = format!("http://127.0.0.1:{metrics}/metrics");
    let (mut failed, mut batches) = (0, 0);
    for turn in 0.. {
        assert!(turn < 500, "no batch fails");
        system.model.push(Turn::text("Yes."));
        system
            .say(&format!("user-{turn}"), "hello")
            .await
            .assert_ok();
        let text = client().get(&metrics).send().await.expect("an answer");
        let text = text.text().await.expect("text");
        let spans = r#"errand_trace_spans_total{outcome="failed"} "#;
        let now = text
            .lines()
            .find_map(|line| line.strip_prefix(spans)?.parse().ok());
        let now: u64 = now.unwrap_or_else(|| panic!("not told: {text}"));
        if now > failed {
            (failed, batches) = (now, batches + 1);
        }
        if batches == 3 {
            break;
        }
    }
    worker.signal("TERM").await;
    assert!(worker.ends(Duration::from_secs(10)).await.success());
    worker.rest().await;
    let told = worker
        .heard()
        .iter()
        .filter(|line| line.contains("traces cannot be sent"));
    assert_eq!(told.count(), 1, "{:#?}", worker.heard());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_logged_once_with_its_run_and_its_user() {
    let mut system = system().await;
    let mut api = api(&mut system, &[]).await;
    let mut worker = worker(&system, &[]).await;
    system.model.push(Turn::status(400));
    let request = system.post_chat("ada", &json!({"message": "hello"}));
    let request = request.header("traceparent", traceparent(TRACE, "01"));
    let answer = Answer::of(request).await;
    answer.assert_error(502, "model_error");
    let run = answer.body["error"]["details"]["run_id"]
        .as_str()
        .expect("a run");
    for process in [&mut api, &mut worker] {
        process.signal("TERM").await;
        assert!(process.ends(Duration::from_secs(15)).await.success());
        process.rest().await;
    }
    // The databases of tests share their roles, which each start tells of.
    let is_trouble = |line: &&String| {
        (line.contains("WARN") || line.contains("ERROR"))
            && !line.contains("are shared with another")
    };
    let lines = api.heard().iter().chain(worker.heard());
    let lines: Vec<&String> = lines.filter(is_trouble).collect();
    let [line] = lines[..] else {
        panic!("not one line: {lines:#?}");
    };
    // Without a collector, too, log lines name the client's trace.
    for part in ["run failed", "model_error", "400", run, "\"ada\"", TRACE] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
