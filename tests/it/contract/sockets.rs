//! The WebSocket: its methods, its door, its close codes.

use errand_devkit::model::{Gate, Turn};
use reqwest::Method;
use serde_json::json;

use crate::system::{Answer, Options, TestSystem, socket::Socket};

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_speaks_its_protocol() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let mut socket = Socket::connect(&system, "ada").await;
    assert_eq!(socket.call("ping", json!({})).await["type"], "success");
    let run_id = uuid::Uuid::now_v7();
    let start = json!({"message": "hi", "runId": run_id});
    let started = socket.call("run.start", start.clone()).await;
    assert_eq!(
        (started["type"].as_str(), started["runId"].as_str()),
        (Some("success"), Some(run_id.to_string().as_str()))
    );
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let frame = socket
        .frames
        .iter()
        .find(|frame| frame["type"] == "event")
        .unwrap();
    assert_eq!(
        (frame["seq"].as_i64(), frame["threadId"].clone()),
        (Some(1), started["threadId"].clone())
    );

    // The same run id is the same run: nothing is said twice.
    let again = socket.call("run.start", start).await;
    assert_eq!(
        (again["runId"].clone(), again["threadId"].clone()),
        (started["runId"].clone(), started["threadId"].clone())
    );
    assert_eq!(system.count("select count(*) from runs").await, 1);
    let other = socket
        .call(
            "run.start",
            json!({"message": "something else", "runId": run_id}),
        )
        .await;
    assert_eq!(
        (other["type"].as_str(), other["error"].as_str()),
        (Some("error"), Some("idempotency_key_reused"))
    );

    // Another tab: subscribed from a place in the middle, it sees the rest and what another tab starts.
    let mut tab = Socket::connect(&system, "ada").await;
    let after = json!({"threadId": started["threadId"], "after": {"runId": run_id, "seq": 2}});
    assert_eq!(tab.call("subscribe", after).await["type"], "success");
    tab.until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(tab.events().first().unwrap().0, 3);
    let second = socket
        .call(
            "run.start",
            json!({"message": "again", "threadId": started["threadId"]}),
        )
        .await;
    tab.until(|frame| {
        frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == second["runId"]
    })
    .await;

    // What is not stored has to be loaded afresh.
    let nowhere = json!({"threadId": started["threadId"], "after": {"runId": run_id, "seq": 1000}});
    tab.call("subscribe", nowhere).await;
    tab.until(|frame| frame["type"] == "resync_required").await;

    for (method, params, code) in [
        (
            "subscribe",
            json!({"threadId": uuid::Uuid::now_v7()}),
            "not_found",
        ),
        ("subscribe", json!({"threadId": "x"}), "invalid_request"),
        ("run.start", json!({"message": ""}), "invalid_request"),
        ("run.start", json!({}), "invalid_request"),
        (
            "run.cancel",
            json!({"runId": uuid::Uuid::now_v7()}),
            "not_found",
        ),
        ("dance", json!({}), "invalid_request"),
    ] {
        let answer = socket.call(method, params.clone()).await;
        assert_eq!(
            (answer["type"].as_str(), answer["error"].as_str()),
            (Some("error"), Some(code)),
            "{method} {params}"
        );
        assert!(answer["message"].is_string());
    }
    // A stranger's tab sees nothing of it.
    let mut bob = Socket::connect(&system, "bob").await;
    let foreign = bob
        .call("subscribe", json!({"threadId": started["threadId"]}))
        .await;
    assert_eq!(foreign["error"], "not_found");
    let foreign = bob
        .call(
            "run.start",
            json!({"message": "hi", "threadId": started["threadId"]}),
        )
        .await;
    assert_eq!(foreign["error"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_prove_who_it_is_is_shown_out() {
    let system = TestSystem::start().await;
    // A bad token, another user's, no token first, none at all.
    let mut socket = Socket::open(&system, "ada").await;
    assert_eq!(
        socket.call("auth", json!({"token": "nonsense"})).await["error"],
        "unauthorized"
    );
    assert_eq!(socket.closed().await, 4401);
    let mut socket = Socket::open(&system, "ada").await;
    assert_eq!(
        socket
            .call("auth", json!({"token": system.identity.token("bob")}))
            .await["error"],
        "forbidden"
    );
    assert_eq!(socket.closed().await, 4401);
    let mut socket = Socket::open(&system, "ada").await;
    socket.send("{\"id\":\"1\",\"method\":\"ping\"}").await;
    assert_eq!(socket.closed().await, 4401);
    let mut silent = Socket::open(&system, "ada").await;
    // Malformed and oversized frames.
    let mut socket = Socket::connect(&system, "ada").await;
    socket.send("not json").await;
    assert_eq!(socket.closed().await, 4400);
    let mut socket = Socket::connect(&system, "ada").await;
    socket.send(&"x".repeat(128 * 1024 + 1)).await;
    assert_eq!(socket.closed().await, 1009);
    assert_eq!(silent.closed().await, 4401);
    // A token that ends in mid-session; a fresh one in time goes on.
    let spec = errand_devkit::identity::TokenSpec {
        user: "ada".to_owned(),
        expires_in: 2,
        ..Default::default()
    };
    let brief = system.identity.token_with(&spec).unwrap();
    let mut ends = Socket::open(&system, "ada").await;
    ends.call("auth", json!({"token": brief})).await;
    let mut goes_on = Socket::open(&system, "ada").await;
    goes_on.call("auth", json!({"token": brief})).await;
    goes_on
        .call("auth", json!({"token": system.identity.token("ada")}))
        .await;
    assert_eq!(ends.closed().await, 4401);
    assert_eq!(goes_on.call("ping", json!({})).await["type"], "success");
    // A flood.
    for _ in 0..300 {
        goes_on.send("{\"id\":\"1\",\"method\":\"ping\"}").await;
    }
    assert_eq!(goes_on.closed().await, 4429);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origins_are_refused_at_the_upgrade() {
    let options = Options {
        api: vec!["--allowed-origins", "https://app.example.com"],
        ..Options::default()
    };
    let system = TestSystem::with(options).await;
    let own = system.url.clone();
    for (origin, welcome) in [
        (None, true),
        (Some("https://app.example.com"), true),
        (Some(own.as_str()), true),
        (Some("https://evil.example"), false),
        (Some("null"), false),
    ] {
        let result = Socket::try_open(&system, "ada", origin).await;
        assert_eq!(result.is_ok(), welcome, "{origin:?}");
        if let Err(status) = result {
            assert_eq!(status, 403);
        }
    }
    Answer::of(system.bare(Method::GET, "/api/ada/chat"))
        .await
        .assert_error(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_closes_sockets_so_that_clients_resume() {
    let system = TestSystem::start().await;
    let mut socket = Socket::connect(&system, "ada").await;
    let stopping = tokio::spawn(system.stop());
    assert_eq!(socket.closed().await, 1012);
    stopping.await.unwrap();
}

/// A reader that stalls is dropped, harms nobody, and resumes without loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_dropped_and_resumes() {
    const EVENTS: i64 = 150;
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system.model.push(Turn::text("never").gate_after(0, &gate));
    let mut quick = Socket::connect(&system, "ada").await;
    let mut slow = Socket::connect_with_small_buffer(&system, "ada").await;
    let run = quick.call("run.start", json!({"message": "go"})).await;
    let after = json!({"runId": run["runId"], "seq": 0});
    let subscribe = json!({"threadId": run["threadId"], "after": after});
    slow.call("subscribe", subscribe).await;
    quick
        .until(|frame| frame["event"]["type"] == "RUN_STARTED")
        .await;
    // More than the kernel holds back for a reader who has stopped reading; a model would take too long to say it.
    for first in (2..=EVENTS).step_by(10) {
        sqlx::query(
            "with written as (
                 insert into run_events (run_id, seq, event)
                 select $1::uuid, seq, jsonb_build_object('type', 'CUSTOM', 'name', 'filler', 'value', repeat('x', 100000))
                 from generate_series($2, least($2 + 9, $3)) seq
                 returning 1
             )
             select pg_notify('errand_run_events', $1) from written limit 1",
        )
        .bind(run["runId"].as_str())
        .bind(first)
        .bind(EVENTS)
        .execute(&system.db)
        .await
        .unwrap();
    }
    // While the slow one reads nothing, the quick one gets everything.
    quick.until(|frame| frame["seq"] == EVENTS).await;
    slow.is_dropped().await;
    let seen = slow.events().last().map_or(0, |(seq, _)| *seq);
    assert!(seen < EVENTS, "nothing was too slow");
    let mut resumed = Socket::connect(&system, "ada").await;
    let after = json!({"runId": run["runId"], "seq": seen});
    let subscribe = json!({"threadId": run["threadId"], "after": after});
    resumed.call("subscribe", subscribe).await;
    resumed.until(|frame| frame["seq"] == EVENTS).await;
    assert!(
        [slow.events(), resumed.events()].concat() == quick.events(),
        "the stream is not whole"
    );
}
