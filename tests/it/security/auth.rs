//! Who gets in: tokens, keys, and the owner of a path.

use errand_devkit::{
    identity::{Signature, TokenSpec},
    model::Turn,
};
use reqwest::Method;
use serde_json::json;

use crate::system::{Answer, Options, TestSystem};

async fn with_token(system: &TestSystem, token: &str) -> Answer {
    Answer::of(
        system
            .bare(Method::GET, "/api/ada/tasks")
            .bearer_auth(token),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_or_a_bad_one_is_401() {
    let system = TestSystem::start().await;
    let none = Answer::of(system.bare(Method::GET, "/api/ada/tasks")).await;
    none.assert_error(401, "unauthorized");
    assert_eq!(none.header("www-authenticate"), "Bearer");
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer not.a.token",
        "Bearer a.b",
    ] {
        let request = system
            .bare(Method::GET, "/api/ada/tasks")
            .header("authorization", header);
        Answer::of(request).await.assert_error(401, "unauthorized");
    }
    with_token(&system, &format!("{}x", system.identity.token("ada")))
        .await
        .assert_error(401, "unauthorized");
    with_token(&system, &"a".repeat(9000))
        .await
        .assert_error(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn dishonest_tokens_are_401() {
    let system = TestSystem::start().await;
    let base = || TokenSpec {
        user: "ada".to_owned(),
        ..TokenSpec::default()
    };
    let specs = [
        (
            "expired",
            TokenSpec {
                expires_in: -60,
                ..base()
            },
        ),
        (
            "no expiry",
            TokenSpec {
                claims: json!({"exp": null}),
                ..base()
            },
        ),
        (
            "no subject",
            TokenSpec {
                claims: json!({"sub": null}),
                ..base()
            },
        ),
        (
            "empty subject",
            TokenSpec {
                claims: json!({"sub": ""}),
                ..base()
            },
        ),
        (
            "another issuer",
            TokenSpec {
                claims: json!({"iss": "https://elsewhere.example"}),
                ..base()
            },
        ),
        (
            "the audience of errand-mcp",
            TokenSpec {
                claims: json!({"aud": "https://mcp.example.com/mcp"}),
                ..base()
            },
        ),
        (
            "another audience",
            TokenSpec {
                claims: json!({"aud": "somebody else"}),
                ..base()
            },
        ),
        (
            "not yet",
            TokenSpec {
                claims: json!({"nbf": chrono::Utc::now().timestamp() + 600}),
                ..base()
            },
        ),
        (
            "unknown key",
            TokenSpec {
                kid: Some("made-up".to_owned()),
                ..base()
            },
        ),
        (
            "foreign key",
            TokenSpec {
                signature: Signature::ForeignKey,
                ..base()
            },
        ),
        (
            "public key as a secret",
            TokenSpec {
                signature: Signature::Hs256WithPublicKey,
                ..base()
            },
        ),
        (
            "unsigned",
            TokenSpec {
                signature: Signature::Unsigned,
                ..base()
            },
        ),
    ];
    for (what, spec) in specs {
        let answer = with_token(&system, &system.identity.token_with(&spec).unwrap()).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
    }
    with_token(&system, &system.identity.token_with(&base()).unwrap())
        .await
        .assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_path_is_403() {
    let system = TestSystem::start().await;
    for (method, path) in [
        (Method::POST, "/api/bob/chat"),
        (Method::GET, "/api/bob/tasks"),
        (Method::GET, "/api/bob/conversations"),
        (
            Method::GET,
            "/api/bob/conversations/01890000-0000-7000-8000-000000000000/messages",
        ),
        (
            Method::GET,
            "/api/bob/runs/01890000-0000-7000-8000-000000000000",
        ),
    ] {
        let request = system
            .bare(method, path)
            .bearer_auth(system.identity.token("ada"))
            .json(&json!({"message": "hi"}));
        Answer::of(request).await.assert_error(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_rotate_and_the_provider_may_be_down() {
    let system = TestSystem::start().await;
    system.get("ada", "tasks").await.assert_ok();
    system.identity.rotate().unwrap();
    system.get("ada", "tasks").await.assert_ok();
    assert_eq!(system.identity.jwks_fetches(), 2);

    // Cached keys go on; a flood of made-up ones leads to no flood of fetches.
    system.identity.set_down(true);
    system.get("ada", "tasks").await.assert_ok();
    for n in 0..50 {
        let spec = TokenSpec {
            user: "ada".to_owned(),
            kid: Some(format!("made-up-{n}")),
            ..TokenSpec::default()
        };
        let answer = with_token(&system, &system.identity.token_with(&spec).unwrap()).await;
        answer.assert_error(401, "unauthorized");
    }
    assert!(
        system.identity.jwks_fetches() <= 3,
        "{}",
        system.identity.jwks_fetches()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_it_is_503() {
    let system = TestSystem::start().await;
    system.identity.set_down(true);
    let answer = system.get("ada", "tasks").await;
    answer.assert_error(503, "unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_may_read_answers() {
    let options = Options {
        api: vec![
            "--allowed-origins",
            "https://app.example.com, http://localhost:3000",
        ],
        ..Options::default()
    };
    let system = TestSystem::with(options).await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
        ("https://app.example.com.evil.example", false),
        ("null", false),
    ] {
        let preflight = system
            .bare(Method::OPTIONS, "/api/ada/chat")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,idempotency-key",
            );
        let answer = Answer::of(preflight).await;
        let named = answer
            .headers
            .get("access-control-allow-origin")
            .map(|value| value.to_str().unwrap());
        assert_eq!(named, allowed.then_some(origin), "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_never_meet() {
    let system = TestSystem::start().await;
    system.model.script(|request| {
        let steps = errand_devkit::model::request::steps(request);
        match (
            errand_devkit::model::request::last_user(request).as_str(),
            steps.len(),
        ) {
            ("list", 0) => Turn::call("list_tasks", json!({})),
            ("list", _) => Turn::text("Listed."),
            (title, 0) => Turn::call("add_task", json!({"title": title, "user_id": "ada"})),
            _ => Turn::text("Added."),
        }
    });
    system.say("ada", "hers").await.assert_ok();
    system.say("bob", "his").await.assert_ok();
    let listed = system.say("bob", "list").await;
    let tasks = &listed.assert_ok()["tool_calls"][0]["result"]["tasks"];
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    assert_eq!(tasks[0]["title"], "his");
    assert_eq!(
        (system.titles("ada").await, system.titles("bob").await),
        (vec!["hers".to_owned()], vec!["his".to_owned()])
    );
}
