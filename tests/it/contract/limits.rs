//! Limits: what one user may ask for, counted in the database, and how slowly a client may speak.

use std::time::Duration;

use errand_devkit::model::Turn;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout},
};

use crate::system::{Answer, Options, PATIENCE, TestSystem};

/// The server's own bounds are 20 s.
const SLOW: Duration = Duration::from_secs(30);

fn without_waiting(system: &TestSystem, user: &str) -> RequestBuilder {
    system
        .post_chat(user, &json!({"message": "hi"}))
        .header("prefer", "respond-async")
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_429_with_a_retry_after() {
    let options = Options {
        api: vec!["--rate-runs-per-minute", "3", "--max-active-runs", "2"],
        workers: Some(0),
        ..Options::default()
    };
    let mut system = TestSystem::with(options).await;
    system.model.script(|_| Turn::text("Hello."));
    let post = |user: &str| {
        system
            .post_chat(user, &json!({"message": "hi"}))
            .header("prefer", "respond-async")
    };
    for _ in 0..2 {
        assert_eq!(Answer::of(post("ada")).await.status, 202);
    }
    let active = Answer::of(post("ada")).await;
    active.assert_error(429, "rate_limited");
    assert!(active.header("retry-after").parse::<u64>().unwrap() >= 1);
    // Another user has limits of their own.
    assert_eq!(Answer::of(post("bob")).await.status, 202);
    system.start_worker().await;
    system
        .until("select count(*) from runs where status = 'completed'", 3)
        .await;
    system.say("ada", "third").await.assert_ok();
    let rate = system.say("ada", "fourth").await;
    rate.assert_error(429, "rate_limited");
    let pause: u64 = rate.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&pause), "{pause}");
}

/// A system whose API has these limits and that no worker serves.
async fn limited(api: Vec<&'static str>) -> TestSystem {
    let options = Options {
        api,
        workers: Some(0),
        ..Options::default()
    };
    TestSystem::with(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_have_a_limit_of_their_own() {
    let mut system = limited(vec!["--max-queued-runs", "2", "--max-active-runs", "0"]).await;
    for _ in 0..2 {
        assert_eq!(
            Answer::of(without_waiting(&system, "ada")).await.status,
            202
        );
    }
    let refused = Answer::of(without_waiting(&system, "ada")).await;
    refused.assert_error(429, "rate_limited");
    // Runs at work do not wait.
    system
        .model
        .script(|_| Turn::text("never ends").stall_after(1));
    system.start_worker().await;
    system
        .until("select count(*) from runs where status = 'running'", 2)
        .await;
    assert_eq!(
        Answer::of(without_waiting(&system, "ada")).await.status,
        202
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_day_run_out_for_every_process_alike() {
    let system = TestSystem::with(Options {
        api: vec!["--tokens-per-day", "150"],
        ..Options::default()
    })
    .await;
    system.model.script(|_| Turn::text("Hello.").usage(90, 10));
    let first = system.say("ada", "one").await;
    first.assert_ok();
    assert_eq!(
        first.header("ratelimit-policy"),
        "\"runs\";q=60;w=60, \"tokens\";q=150;w=86400"
    );
    // Looked up before the run, so nothing is used yet.
    assert!(first.header("ratelimit").contains("\"tokens\";r=150;t="));
    let second = system.say("ada", "two").await;
    second.assert_ok();
    assert!(second.header("ratelimit").contains("\"tokens\";r=50;t="));
    let other = TestSystem::on(
        &system.database_url,
        Options {
            api: vec!["--tokens-per-day", "150"],
            workers: Some(0),
            ..Options::default()
        },
    )
    .await;
    let third = other.say("ada", "three").await;
    third.assert_error(429, "rate_limited");
    let pause: u64 = third.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&pause), "{pause}");
    assert!(third.header("ratelimit").contains("\"tokens\";r=0;t="));
    system.say("bob", "one").await.assert_ok();
    // A day later there are tokens again.
    sqlx::query("update usage_days set day = day - 1")
        .execute(&system.db)
        .await
        .unwrap();
    system.say("ada", "three").await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_counts_like_a_message_and_is_taken_back_where_that_is_refused() {
    let system = TestSystem::with(Options {
        api: vec!["--tokens-per-day", "150"],
        worker: vec!["--require-approval", "add_task"],
        ..Options::default()
    })
    .await;
    let ask = Turn::call("add_task", json!({"title": "milk"})).usage(190, 10);
    system.model.push(ask);
    let waits = system.say("ada", "add milk").await;
    assert_eq!(waits.status, 202, "{}", waits.body);
    let path = format!("runs/{}", waits.body["run_id"].as_str().unwrap());
    let approve = async || {
        let decision = system.request(Method::POST, "ada", &format!("{path}/decision"));
        Answer::of(decision.json(&json!({"approve": true}))).await
    };
    let refused = approve().await;
    refused.assert_error(429, "rate_limited");
    assert!(refused.header("ratelimit").contains("\"tokens\";r=0;t="));
    let still = system.get("ada", &path).await;
    assert_eq!(still.assert_ok()["status"], "waiting");
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    // A day later there are tokens again.
    sqlx::query("update usage_days set day = day - 1")
        .execute(&system.db)
        .await
        .unwrap();
    system.model.script(|_| Turn::text("Added.").usage(190, 10));
    let done = approve().await;
    done.assert_ok();
    assert!(done.header("ratelimit").contains("\"tokens\";r=150;t="));
    assert_eq!(system.titles("ada").await, ["milk"]);
    // What was decided before asks for nothing more.
    approve().await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_how_many_runs_are_left_in_the_minute() {
    let system = limited(vec!["--rate-runs-per-minute", "2"]).await;
    for left in [1, 0] {
        let accepted = Answer::of(without_waiting(&system, "ada")).await;
        assert_eq!(accepted.status, 202);
        assert_eq!(accepted.header("ratelimit-policy"), "\"runs\";q=2;w=60");
        let remaining = accepted.header("ratelimit").to_owned();
        assert!(
            remaining.starts_with(&format!("\"runs\";r={left};t=")),
            "{remaining}"
        );
    }
    let refused = Answer::of(without_waiting(&system, "ada")).await;
    refused.assert_error(429, "rate_limited");
    assert!(refused.header("ratelimit").starts_with("\"runs\";r=0;t="));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_there_is_nothing_to_tell() {
    let system = limited(vec![
        "--rate-runs-per-minute",
        "0",
        "--max-active-runs",
        "0",
    ])
    .await;
    let accepted = Answer::of(without_waiting(&system, "ada")).await;
    assert_eq!(accepted.status, 202);
    assert!(accepted.headers.get("ratelimit").is_none());
}

/// Sends `head`, then a byte a second, until the server has had enough; returns what it said.
async fn drip(system: &TestSystem, head: &str) -> String {
    let address = system.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = socket.split();
    let begun = Instant::now();
    let slowly = async {
        let mut second = interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            if write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        () = slowly => {}
        ended = timeout(SLOW, read.read_to_end(&mut said)) => {
            let _ = ended.unwrap_or_else(|_| panic!("still open after {:?}", begun.elapsed()));
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_speak_too_slowly_are_cut_off_and_hurt_nobody() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let token = system.identity.token("ada");
    let head = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let body = format!(
        "POST /api/ada/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    );
    let others = async {
        let fast = timeout(PATIENCE, system.say("bob", "hi")).await;
        fast.expect("an answer").assert_ok();
    };
    let (_, body, ()) = tokio::join!(drip(&system, head), drip(&system, &body), others);
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("invalid_request"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_have_bounds() {
    let system = TestSystem::start().await;
    let huge = system
        .bare(Method::GET, "/healthz")
        .header("x-huge", "x".repeat(100_000));
    assert_eq!(Answer::of(huge).await.status, 431);
    let many = (0..200).fold(system.bare(Method::GET, "/healthz"), |request, n| {
        request.header(format!("x-{n}"), "x")
    });
    assert_eq!(Answer::of(many).await.status, 431);
    let deep = format!(
        "{{\"message\":\"hi\",\"metadata\":{}1{}}}",
        "{\"a\":".repeat(500),
        "}".repeat(500)
    );
    let bodies: [Vec<u8>; 5] = [
        deep.into_bytes(),
        b"{\"message\":\"\\ud800\"}".to_vec(),
        b"{\"message\":\"\xff\"}".to_vec(),
        b"{\"message\":\"a\\u0000b\"}".to_vec(),
        b"{\"message\":\"a\"".to_vec(),
    ];
    for body in bodies {
        let request = system
            .request(Method::POST, "ada", "chat")
            .header("content-type", "application/json")
            .body(body);
        Answer::of(request)
            .await
            .assert_error(400, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_protect_its_reader() {
    let system = TestSystem::start().await;
    for path in [
        "/healthz",
        "/api/ada/tasks",
        "/",
        "/openapi.json",
        "/nowhere",
    ] {
        let answer = Answer::of(system.bare(Method::GET, path)).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "same-origin",
            "{path}"
        );
    }
    let api = Answer::of(system.bare(Method::GET, "/api/ada/tasks")).await;
    assert_eq!(api.header("cache-control"), "no-store");
}
