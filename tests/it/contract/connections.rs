//! Connections that stay: how many a user may have, that they end with their token and with their process, and that a slow call on one
//! keeps it from nothing else.

use std::time::Duration;

use errand_devkit::{
    identity::TokenSpec,
    model::{Gate, Turn},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::system::{
    Answer, Options, PATIENCE, TestSystem, events::Sse, process::Process, socket::Socket,
};

/// Sockets, and streams, that a user may have open in one process.
const SHARE: usize = 50;

/// Nobody is there to take what is said.
async fn without_workers() -> TestSystem {
    TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await
}

/// Holds the user's lock until it is dropped: whatever takes that lock waits.
async fn hold(system: &TestSystem, user: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut tx = system.db.begin().await.expect("a transaction");
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 1))")
        .bind(user)
        .execute(&mut *tx)
        .await
        .expect("the lock");
    tx
}

fn brief_token(system: &TestSystem, user: &str) -> String {
    let spec = TokenSpec {
        user: user.to_owned(),
        expires_in: 2,
        ..TokenSpec::default()
    };
    system.identity.token_with(&spec).expect("a token")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_hears_of_the_end_of_its_process() {
    const SOCKETS: usize = 200;
    let mut system = without_workers().await;
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
    ];
    let mut process = Process::start("errand-api", &[], environment).await;
    let line = process.until_says("serving").await;
    let address = line.split("address=").nth(1).expect("an address").trim();
    process.until_says("the database is ready").await;
    system.url = format!("http://{address}");
    let mut sockets = Vec::new();
    for n in 0..SOCKETS {
        sockets.push(Socket::connect(&system, &format!("user-{}", n % 8)).await);
    }
    // One that has not said who it is has a process, too.
    sockets.push(Socket::open(&system, "ada").await);
    process.signal("TERM").await;
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 1012);
    }
    assert!(process.ends(PATIENCE).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_keeps_a_socket_from_nothing_else() {
    let system = TestSystem::start().await;
    // The last words of a run wait for the user's lock, too.
    let (before, behind) = (Gate::closed(), Gate::closed());
    let answer = Turn::text("one two three four five six");
    system
        .model
        .push(answer.gate_after(3, &before).gate_after(5, &behind));
    let mut socket = Socket::connect(&system, "ada").await;
    socket.call("run.start", json!({"message": "go"})).await;
    before.reached(1).await.expect("the first words");
    let mut expires = Socket::open(&system, "ada").await;
    let token = brief_token(&system, "ada");
    expires.call("auth", json!({"token": token})).await;

    let lock = hold(&system, "ada").await;
    let slow = json!({"id": "slow", "method": "run.start", "params": {"message": "and then?"}});
    socket.send(&slow.to_string()).await;
    let behind = json!({"id": "behind", "method": "unsubscribe", "params": {"threadId": uuid::Uuid::now_v7()}});
    socket.send(&behind.to_string()).await;
    expires.send(&slow.to_string()).await;
    system.until_stuck("%run_accepts(%").await;
    // Pings are answered, words come, a token is renewed.
    assert_eq!(socket.call("ping", json!({})).await["type"], "success");
    before.open();
    socket
        .until(|frame| {
            let delta = frame["event"]["delta"].as_str();
            delta.is_some_and(|delta| delta.contains("four"))
        })
        .await;
    let token = json!({"token": system.identity.token("ada")});
    assert_eq!(socket.call("auth", token).await["type"], "success");
    let answered = |socket: &Socket, id: &str| socket.frames.iter().any(|frame| frame["id"] == id);
    assert!(!answered(&socket, "slow") && !answered(&socket, "behind"));
    // A token that ends, ends.
    assert_eq!(expires.closed().await, 4401);
    assert!(!answered(&expires, "slow"));

    drop(lock);
    socket.until(|frame| frame["id"] == "behind").await;
    let ids: Vec<&Value> = socket.frames.iter().map(|frame| &frame["id"]).collect();
    let place = |id: &str| ids.iter().position(|it| *it == id);
    assert!(place("slow") < place("behind"), "in order: {ids:?}");
}

/// What was called for is done, whether or not somebody waits for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_cancels_no_call() {
    let system = without_workers().await;
    let lock = hold(&system, "ada").await;
    let mut socket = Socket::connect(&system, "ada").await;
    for n in 0..5 {
        let call = json!({"id": n.to_string(), "method": "run.start", "params": {"message": format!("{n}")}});
        socket.send(&call.to_string()).await;
    }
    socket.leave().await;
    system.until_stuck("%run_accepts(%").await;
    drop(lock);
    system.until("select count(*) from runs", 5).await;
    let said: Vec<String> = sqlx::query_scalar("select content from messages order by position")
        .fetch_all(&system.db)
        .await
        .expect("messages");
    assert_eq!(said, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_sockets_and_no_more() {
    let system = without_workers().await;
    let mut sockets = Vec::new();
    for _ in 0..SHARE {
        sockets.push(Socket::connect(&system, "ada").await);
    }
    let mut one_more = Socket::connect(&system, "ada").await;
    assert_eq!(one_more.closed().await, 4429);
    assert_eq!(one_more.frames.len(), 1, "{:?}", one_more.frames);
    // The others are what they were, and other users have theirs.
    assert_eq!(sockets[0].call("ping", json!({})).await["type"], "success");
    let mut bob = Socket::connect(&system, "bob").await;
    assert_eq!(bob.call("ping", json!({})).await["type"], "success");
    // One that goes makes room for another.
    sockets.pop();
    let begun = Instant::now();
    loop {
        let mut socket = Socket::connect(&system, "ada").await;
        socket.send(r#"{"id":"p","method":"ping"}"#).await;
        if socket.is_answered("p").await {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "its place is never free");
    }
}

fn streaming(request: RequestBuilder) -> RequestBuilder {
    request.header("accept", "text/event-stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_streams_and_no_more() {
    let system = without_workers().await;
    let accepted = system.post_chat("ada", &json!({"message": "hi"}));
    let accepted = Answer::of(accepted.header("prefer", "respond-async")).await;
    let run = accepted.body["run_id"].as_str().expect("a run").to_owned();
    let events = || system.request(Method::GET, "ada", &format!("runs/{run}/events"));
    let mut streams = Vec::new();
    for _ in 0..SHARE {
        let response = events().send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        streams.push(response);
    }
    let refused = Answer::of(events()).await;
    refused.assert_error(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    // Who is refused has said nothing.
    let said = streaming(system.post_chat("ada", &json!({"message": "again"})));
    Answer::of(said).await.assert_error(429, "rate_limited");
    for action in ["retry", "decision"] {
        let request = system.request(Method::POST, "ada", &format!("runs/{run}/{action}"));
        let request = match action {
            "decision" => request.json(&json!({"approve": true})),
            _ => request,
        };
        let refused = Answer::of(streaming(request)).await;
        refused.assert_error(429, "rate_limited");
    }
    assert_eq!(system.count("select count(*) from runs").await, 1);
    let bobs = streaming(system.post_chat("bob", &json!({"message": "hi"})));
    let bobs = bobs.send().await.expect("an answer");
    assert_eq!(bobs.status(), 200);
    // A client that hangs up makes room.
    streams.pop();
    let begun = Instant::now();
    while events().send().await.expect("an answer").status() != 200 {
        assert!(begun.elapsed() < PATIENCE, "its place is never free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_and_goes_on_with_another() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    let answer = Turn::text("one two three").gate_after(3, &gate);
    system.model.push(answer);
    let token = brief_token(&system, "ada");
    let post = system.request_with(&token, Method::POST, "ada", "chat");
    let mut posted = Sse::open(streaming(post).json(&json!({"message": "go"}))).await;
    let begun = posted.until("TEXT_MESSAGE_CONTENT").await;
    let run = begun[0].1["runId"].as_str().expect("a run").to_owned();
    let path = format!("runs/{run}/events");
    let mut followed = Sse::open(system.request_with(&token, Method::GET, "ada", &path)).await;
    followed.until("TEXT_MESSAGE_CONTENT").await;
    let (mut seen, _) = *begun.last().expect("events");
    for stream in [&mut followed, &mut posted] {
        // The words may come in several events.
        let ended = async {
            while let Some((place, _)) = stream.next().await {
                seen = place;
            }
        };
        let ended = timeout(Duration::from_secs(10), ended).await;
        ended.expect("it ends with its token");
    }
    gate.open();
    let again = system.request(Method::GET, "ada", &path);
    let rest = Sse::open(again.header("last-event-id", seen.to_string()))
        .await
        .until("RUN_FINISHED")
        .await;
    assert_eq!(rest[0].0, seen + 1);
}
