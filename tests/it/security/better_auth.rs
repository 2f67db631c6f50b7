//! The real Better Auth as the identity provider: accounts, tokens, keys that change and vanish, and forgeries made with
//! its own keys.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::system::{
    Answer, Options, PATIENCE, TestSystem,
    better_auth::{BetterAuth, claims, kid},
    socket::Socket,
};

/// An API and a worker that believe this provider.
async fn world_of(provider: &BetterAuth) -> TestSystem {
    TestSystem::with(Options {
        issuer: Some(provider.url().to_owned()),
        ..Options::default()
    })
    .await
}

async fn tasks(system: &TestSystem, user: &str, token: &str) -> Answer {
    let path = format!("/api/{user}/tasks");
    Answer::of(system.bare(Method::GET, &path).bearer_auth(token)).await
}

async fn chat(system: &TestSystem, user: &str, token: &str, message: &str) -> Answer {
    let path = format!("/api/{user}/chat");
    let request = system.bare(Method::POST, &path).bearer_auth(token);
    Answer::of(request.json(&json!({"message": message}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_account_to_a_task() {
    let Some(provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let token = provider.token(&session).await;
    assert_eq!(claims(&token)["sub"], user);
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("It is on your list."));

    let answer = chat(&system, &user, &token, "add buy milk").await;
    assert_eq!(answer.assert_ok()["response"], "It is on your list.");
    assert_eq!(system.titles(&user).await, ["buy milk"]);

    // The session is between the user and the provider, and another's path is another's.
    let answer = tasks(&system, &user, &session).await;
    answer.assert_error(401, "unauthorized");
    let (other, _) = provider.member("bob").await;
    let answer = tasks(&system, &other, &token).await;
    answer.assert_error(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_somebody_chats() {
    let Some(provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let old = provider.token(&session).await;
    let gate = Gate::closed();
    let reply = "one two three four";
    system.model.push(Turn::text(reply).gate_after(2, &gate));
    system.model.push(Turn::text("Again."));
    system.model.push(Turn::text("And again."));

    let mut socket = Socket::open(&system, &user).await;
    let answer = socket.call("auth", json!({"token": old})).await;
    assert_eq!(answer["type"], "success", "{answer}");
    socket.call("run.start", json!({"message": "count"})).await;
    gate.reached(1).await.expect("half a reply");
    provider.rotate().await;
    let new = provider.token(&session).await;
    assert_ne!(kid(&old), kid(&new));

    // In mid-stream the socket takes the new key's token, the API takes both, and the run notices nothing.
    let answer = socket.call("auth", json!({"token": new})).await;
    assert_eq!(answer["type"], "success", "{answer}");
    chat(&system, &user, &new, "and?").await.assert_ok();
    chat(&system, &user, &old, "and?").await.assert_ok();
    gate.open();
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    let replies = "select count(*) from messages where content = 'one two three four'";
    assert_eq!(system.count(replies).await, 1);
    assert_eq!(provider.requests("jwks").await, 2);
}

/// Old keys stay published for a month, and the one that signs comes last: a race at the first use makes many too.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_many_keys_is_believed() {
    let Some(provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let oldest = provider.token(&session).await;
    let mut newest = oldest.clone();
    for _ in 0..80 {
        provider.rotate().await;
        newest = provider.token(&session).await;
    }
    for token in [&newest, &oldest] {
        tasks(&system, &user, token).await.assert_ok();
    }
    assert_eq!(provider.requests("jwks").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_provider_cached_keys_go_on_and_no_keys_are_503() {
    let Some(mut provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let token = provider.token(&session).await;
    tasks(&system, &user, &token).await.assert_ok();

    provider.stop().await;
    system.model.push(Turn::text("Still here."));
    let answer = chat(&system, &user, &token, "are you there?").await;
    assert_eq!(answer.assert_ok()["response"], "Still here.");
    // A process that has never seen a key can judge nobody, and says when to come back.
    let newcomer = world_of(&provider).await;
    let answer = tasks(&newcomer, &user, &token).await;
    answer.assert_error(503, "unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);

    // Back on its port, with the keys from its database.
    provider.run(&[]).await;
    let deadline = Instant::now() + PATIENCE;
    while tasks(&newcomer, &user, &token).await.status != 200 {
        assert!(Instant::now() < deadline, "never recovers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let token = provider.token(&session).await;
    tasks(&system, &user, &token).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn forgeries_with_the_providers_own_key_are_401() {
    let Some(provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let honest = claims(&provider.token(&session).await);
    let key = provider.steal_key().await;
    let with = |name: &str, value: Value| {
        let mut claims = honest.clone();
        claims[name] = value;
        key.sign(&key.header(), &claims)
    };
    let header_with = |name: &str, value: Value| {
        let mut header = key.header();
        header[name] = value;
        key.sign(&header, &honest)
    };
    let long_ago = chrono::Utc::now().timestamp() - 60;
    let soon = chrono::Utc::now().timestamp() + 600;
    let elsewhere = "https://elsewhere.example";
    let mut forged = vec![
        ("expired", with("exp", json!(long_ago))),
        ("no expiry", with("exp", Value::Null)),
        ("not yet", with("nbf", json!(soon))),
        ("wrong audience", with("aud", json!(elsewhere))),
        ("wrong audiences", with("aud", json!([elsewhere, "x"]))),
        ("wrong issuer", with("iss", json!(elsewhere))),
        (
            "a longer issuer",
            with("iss", json!(format!("{}.example", provider.url()))),
        ),
        ("no subject", with("sub", Value::Null)),
        ("crit", header_with("crit", json!(["exp"]))),
        ("unknown crit", header_with("crit", json!(["b64"]))),
        ("unknown key", header_with("kid", json!("made-up"))),
        ("no key", header_with("kid", Value::Null)),
        (
            "a key's name too long",
            header_with("kid", json!("k".repeat(200))),
        ),
        ("another algorithm", header_with("alg", json!("ES256"))),
        ("oversized", with("padding", json!("x".repeat(8 * 1024)))),
    ];
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        forged.push(("unsigned", key.unsigned(algorithm, &honest)));
    }
    forged.push(("unsigned", key.unsigned("EdDSA", &honest)));
    for token in key.confuse(&honest) {
        forged.push(("public key as a secret", token));
    }
    for (what, token) in forged {
        let answer = tasks(&system, &user, &token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.assert_error(401, "unauthorized");
    }
    // What made them bad is what was changed, not the way in which they were made.
    let again = key.sign(&key.header(), &honest);
    tasks(&system, &user, &again).await.assert_ok();
    let large = with("padding", json!("x".repeat(4 * 1024)));
    tasks(&system, &user, &large).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_reaches_the_provider_once() {
    let Some(provider) = BetterAuth::start().await else {
        return;
    };
    let system = world_of(&provider).await;
    let (user, session) = provider.member("ada").await;
    let token = provider.token(&session).await;
    let (honest, key) = (claims(&token), provider.steal_key().await);
    tasks(&system, &user, &token).await.assert_ok();
    assert_eq!(provider.requests("jwks").await, 1);

    let begun = Instant::now();
    let flood = (0..300).map(|number| {
        let header = json!({"alg": "EdDSA", "kid": format!("made-up-{number}")});
        let forged = key.sign(&header, &honest);
        let (system, user, token) = (&system, &user, &token);
        async move {
            let answer = tasks(system, user, &forged).await;
            answer.assert_error(401, "unauthorized");
            // Whoever is honest waits for nobody.
            if number % 10 == 0 {
                tasks(system, user, token).await.assert_ok();
            }
        }
    });
    join_all(flood).await;
    // One more fetch for all of them, and another for each ten seconds that the flood took.
    let allowed = 2 + begun.elapsed().as_secs() / 10;
    let fetches = provider.requests("jwks").await;
    assert!((2..=allowed).contains(&fetches), "{fetches} fetches");
}
