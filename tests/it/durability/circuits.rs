//! A model that fails again and again is left alone for a while: with another behind it nobody waits for it, and without one nobody waits
//! for nothing. One request finds out when it is back.

use std::{net::TcpListener, time::Duration};

use errand_devkit::model::Turn;
use tokio::time::Instant;

use crate::system::{Options, PATIENCE, TestSystem, client};

/// Answers that fail in a row before a circuit opens.
const FAILURES: usize = 5;

/// A system whose worker tells its metrics at the port.
async fn measured(more: &[&'static str]) -> (TestSystem, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut worker = vec![
        "--metrics-port",
        Box::leak(port.to_string().into_boxed_str()),
    ];
    worker.extend(more);
    let system = TestSystem::with(Options {
        worker,
        ..Options::default()
    })
    .await;
    (system, port)
}

async fn assert_told(port: u16, samples: &[&str]) {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = client()
        .get(url)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    for sample in samples {
        assert!(
            text.lines().any(|line| line == *sample),
            "no {sample} in\n{text}"
        );
    }
}

fn asked(system: &TestSystem, name: &str) -> usize {
    let requests = system.model.requests();
    requests
        .iter()
        .filter(|asked| asked["model"] == name)
        .count()
}

/// Says something until the first model has answered.
async fn until_it_is_back(system: &TestSystem) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = system.say("ada", "hello").await;
        if answer.body["response"] == "Back." {
            return;
        }
        assert!(Instant::now() < deadline, "it stays away: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fallback_the_next_one_is_asked_at_once() {
    let (system, port) = measured(&["--openai-fallback-models", "second"]).await;
    system
        .model
        .script(|asked| match asked["model"] == "scripted" {
            true => Turn::status(401),
            false => Turn::text("Instead."),
        });
    assert_told(
        port,
        &["errand_model_circuit{model=\"scripted\",provider=\"compatible\",state=\"closed\"} 1"],
    )
    .await;
    for _ in 0..FAILURES + 3 {
        let answer = system.say("ada", "hello").await;
        assert_eq!(answer.assert_ok()["response"], "Instead.");
    }
    assert_eq!(asked(&system, "scripted"), FAILURES);
    assert_told(
        port,
        &[
            "errand_model_circuit{model=\"scripted\",provider=\"compatible\",state=\"open\"} 1",
            "errand_model_circuit{model=\"scripted\",provider=\"compatible\",state=\"closed\"} 0",
            "errand_model_circuit{model=\"second\",provider=\"compatible\",state=\"closed\"} 1",
            "errand_model_circuit_opened_total{model=\"scripted\",provider=\"compatible\"} 1",
            "errand_model_circuit_opened_total{model=\"second\",provider=\"compatible\"} 0",
            "errand_model_passed_over_total{model=\"scripted\"} 8",
            "errand_model_passed_over_total{model=\"second\"} 0",
        ],
    )
    .await;
    system
        .model
        .script(|asked| match asked["model"] == "scripted" {
            true => Turn::text("Back."),
            false => Turn::text("Instead."),
        });
    until_it_is_back(&system).await;
    assert_eq!(
        asked(&system, "scripted"),
        FAILURES + 1,
        "one request tried it"
    );
    assert_told(
        port,
        &["errand_model_circuit{model=\"scripted\",provider=\"compatible\",state=\"closed\"} 1"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_turns_fail_at_once_until_it_is_back() {
    let (system, _) = measured(&[]).await;
    system.model.script(|_| Turn::status(401));
    for n in 0..FAILURES + 3 {
        let answer = system.say("ada", "hello").await;
        answer.assert_error(502, "model_error");
        assert_eq!(system.model.request_count(), (n + 1).min(FAILURES));
    }
    system.model.script(|_| Turn::text("Back."));
    until_it_is_back(&system).await;
}

/// What one user says, and a provider does not take, is nobody else's trouble.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused_for_what_they_hold_open_nothing() {
    let (system, port) = measured(&[]).await;
    for status in [400, 413, 422] {
        for _ in 0..FAILURES {
            system.model.push(Turn::status(status));
            system
                .say("ada", "hello")
                .await
                .assert_error(502, "model_error");
        }
    }
    system.model.push(Turn::text("Well."));
    assert_eq!(
        system.say("bob", "hello").await.assert_ok()["response"],
        "Well."
    );
    assert_told(
        port,
        &["errand_model_circuit_opened_total{model=\"scripted\",provider=\"compatible\"} 0"],
    )
    .await;
}
