//! The operator's page over HTTP: who gets in, what is told, and who is said to have done what.

use std::{collections::HashSet, time::Instant};

use errand_devkit::model::Turn;
use reqwest::{Method, StatusCode, header::SET_COOKIE};
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    process::{self, Process},
};

const TOKEN: &str = "a token of an operator";

async fn with_page() -> TestSystem {
    TestSystem::with(Options {
        api: vec!["--admin-token", TOKEN],
        ..Options::default()
    })
    .await
}

async fn sign_in(system: &TestSystem, token: &str) -> Answer {
    let request = system.bare(Method::POST, "/admin/session");
    Answer::of(request.json(&json!({"token": token}))).await
}

/// The cookie of a new session, as a browser sends it.
async fn session(system: &TestSystem) -> String {
    let answer = sign_in(system, TOKEN).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    let cookie = answer.headers[SET_COOKIE].to_str().expect("text");
    for rule in ["HttpOnly", "SameSite=Strict", "Path=/admin"] {
        assert!(cookie.contains(rule), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN), "{cookie}");
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn asked(system: &TestSystem, cookie: &str, method: Method, path: &str) -> Answer {
    let request = system.bare(method, &format!("/admin/{path}"));
    Answer::of(request.header("cookie", cookie)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_no_page() {
    let system = TestSystem::start().await;
    for (method, path) in [
        (Method::GET, "/admin"),
        (Method::GET, "/admin/state"),
        (Method::POST, "/admin/pause"),
    ] {
        let answer = Answer::of(system.bare(method, path)).await;
        answer.assert_error(404, "not_found");
    }
    assert_eq!(sign_in(&system, TOKEN).await.status, 404);
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", "https://auth.example.com"),
        ("ADMIN_TOKEN", "canary-fifteen!"),
    ];
    let (status, said) = process::run("errand-api", &[], environment).await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("ADMIN_TOKEN") && said.contains("16 characters"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_token_nor_by_many_guesses() {
    let system = with_page().await;
    let page = system.bare(Method::GET, "/admin").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("connect-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for path in ["state", "runs/01a21ff1-5e08-7c2f-8a6d-b7f3e0d4195c"] {
        for cookie in ["", "errand_admin=1.2", "errand_admin=99999999999.AAAA"] {
            let answer = asked(&system, cookie, Method::GET, path).await;
            answer.assert_error(401, "unauthorized");
        }
    }
    // A user's token is none of an operator.
    let request = system.bare(Method::GET, "/admin/state");
    let user = system.identity.token("ada");
    Answer::of(request.bearer_auth(user))
        .await
        .assert_error(401, "unauthorized");

    let cookie = session(&system).await;
    // Another page cannot act, though a browser would send it the cookie.
    for (name, value) in [
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = system.bare(Method::POST, "/admin/pause");
        let request = request.header("cookie", &cookie).header(name, value);
        Answer::of(request).await.assert_error(403, "forbidden");
    }
    for _ in 0..5 {
        sign_in(&system, "a token of an operato")
            .await
            .assert_error(401, "unauthorized");
    }
    let refused = sign_in(&system, TOKEN).await;
    refused.assert_error(429, "rate_limited");
    assert!(refused.headers.contains_key("retry-after"));
    // Who is in stays in.
    asked(&system, &cookie, Method::GET, "state")
        .await
        .assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_pages_cost_the_database_one() {
    let system = with_page().await;
    let cookie = session(&system).await;
    // A worker is known some time after it has started.
    system.until("select count(*) from apalis.workers", 1).await;
    let looks = (0..10).map(|_| asked(&system, &cookie, Method::GET, "state"));
    let began = Instant::now();
    let looks = futures::future::join_all(looks).await;
    // A look is a second old at most, and a machine that stands still may need several.
    let most = 1 + began.elapsed().as_secs() as usize;
    let first = looks[0].assert_ok();
    let different: HashSet<String> = looks
        .iter()
        .map(|look| look.assert_ok().to_string())
        .collect();
    assert!(different.len() <= most, "{different:?}");
    assert_eq!(first["counts"]["workers"], 1, "{first}");
    assert_eq!(first["workers"][0]["draining_since"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_is_logged_with_who_did_it() {
    let system = TestSystem::start().await;
    system.model.push(Turn::status(400));
    let failed = system.say("ada", "go").await;
    let run = failed.body["error"]["details"]["run_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", failed.body))
        .to_owned();
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("ADMIN_TOKEN", TOKEN),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("TRUSTED_PROXIES", "1"),
    ];
    let mut api = Process::start("errand-api", &[], environment).await;
    let line = api.until_says("serving").await;
    let address = line.split("address=").nth(1).expect("an address");
    let url = format!("http://{}/admin", address.trim());
    let http = reqwest::Client::new();
    let post = |path: &str, cookie: &str| {
        let request = http.post(format!("{url}/{path}"));
        request
            .header("x-forwarded-for", "203.0.113.7")
            .header("cookie", cookie)
    };
    let wrong = post("session", "").json(&json!({"token": "not this one at all"}));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let said = api.until_says("a wrong token").await;
    assert!(said.contains("203.0.113.7"), "{said}");
    let session = post("session", "").json(&json!({"token": TOKEN}));
    let session = session.send().await.unwrap();
    let cookie = session.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let worker: String = sqlx::query_scalar("select id from apalis.workers")
        .fetch_one(&system.db)
        .await
        .unwrap();
    system.model.push(Turn::text("Better."));
    for (path, line) in [
        ("pause".to_owned(), "the queue is paused"),
        ("resume".to_owned(), "the queue is resumed"),
        (format!("runs/{run}/requeue"), "is in the queue again"),
        (format!("runs/{run}/cancel"), "a cancel was asked for"),
        (format!("workers/{worker}/drain"), "a worker is drained"),
    ] {
        let answer = Answer::of(post(&path, &cookie)).await;
        answer.assert_ok();
        let said = api.until_says(line).await;
        assert!(said.contains("admin at 203.0.113.7"), "{said}");
        assert!(said.contains("INFO"), "{said}");
    }
    let gone = Answer::of(post("workers/nobody/drain", &cookie)).await;
    gone.assert_error(404, "not_found");
}
