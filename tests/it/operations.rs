//! What an operator meets: bad configuration, an empty database, the Procfile, `cargo dev`.

use std::time::Duration;

use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn},
};
use reqwest::Method;
use serde_json::json;

use crate::system::{
    self, Answer, TestSystem,
    mcp::Mcp,
    process::{self, Process},
};

mod admin;
mod architecture;
mod development;
mod documentation;
mod mcp_traces;
mod metrics;
mod operator;
mod stops;
mod telemetry;
mod traces;

#[tokio::test(flavor = "multi_thread")]
async fn bad_configuration_names_the_variable_and_exits_2() {
    let database = ("DATABASE_URL", "postgres://errand@localhost/errand");
    let issuer = ("BETTER_AUTH_URL", "https://auth.example.com");
    let key = ("OPENAI_API_KEY", "sk-hunter2");
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let unknown_variable = system::file("agent.md", "You work for {{ compnay }}.");
    // A program, its environment, and the variable it must name.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("errand-api", &[issuer], "DATABASE_URL"),
        ("errand-api", &[database], "BETTER_AUTH_URL"),
        (
            "errand-api",
            &[database, ("BETTER_AUTH_URL", "nonsense")],
            "BETTER_AUTH_URL",
        ),
        (
            "errand-api",
            &[("DATABASE_URL", "mysql://me:hunter2@host"), issuer],
            "DATABASE_URL",
        ),
        (
            "errand-api",
            &[("DATABASE_URL", ""), issuer],
            "DATABASE_URL",
        ),
        ("errand-api", &[database, issuer, ("PORT", "http")], "PORT"),
        ("errand-api", &[database, issuer, ("PORT", "99999")], "PORT"),
        ("errand-api", &[database, issuer, ("HOST", "here")], "HOST"),
        (
            "errand-api",
            &[
                database,
                issuer,
                ("ALLOWED_ORIGINS", "https://a.example/path"),
            ],
            "ALLOWED_ORIGINS",
        ),
        (
            "errand-api",
            &[database, issuer, ("MCP_URL", "https://app.example.com/")],
            "MCP_URL",
        ),
        (
            "errand-api",
            &[database, issuer, ("RATE_RUNS_PER_MINUTE", "-1")],
            "RATE_RUNS_PER_MINUTE",
        ),
        (
            "errand-api",
            &[database, issuer, ("LOG_FORMAT", "xml")],
            "LOG_FORMAT",
        ),
        (
            "errand-api",
            &[database, issuer, ("RUST_LOG", "errand=loud")],
            "RUST_LOG",
        ),
        (
            "errand-api",
            &[database, issuer, ("LOG_USER_IDS", "secret")],
            "LOG_USER_IDS",
        ),
        (
            "errand-api",
            &[database, issuer, ("OTEL_EXPORTER_OTLP_ENDPOINT", "here")],
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (
            "errand-api",
            &[
                database,
                issuer,
                collector,
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ],
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
        (
            "errand-api",
            &[database, issuer, ("GUARDRAILS", "input.everything")],
            "GUARDRAILS",
        ),
        (
            "errand-api",
            &[database, issuer, ("PRICES_FILE", "/nowhere/prices.toml")],
            "PRICES_FILE",
        ),
        (
            "errand-worker",
            &[database, key, ("GUARDRAILS", "output.nothing")],
            "GUARDRAILS",
        ),
        (
            "errand-worker",
            &[database, key, ("TOOL_TIMEOUT", "0")],
            "TOOL_TIMEOUT",
        ),
        (
            "errand-worker",
            &[database, key, ("AGENT_VARIABLES", "company")],
            "AGENT_VARIABLES",
        ),
        (
            "errand-worker",
            &[
                database,
                key,
                ("AGENT_INSTRUCTIONS_FILE", "/nowhere/agent.md"),
            ],
            "AGENT_INSTRUCTIONS_FILE",
        ),
        (
            "errand-worker",
            &[database, key, ("AGENT_INSTRUCTIONS_FILE", unknown_variable)],
            "compnay",
        ),
        (
            "errand-worker",
            &[
                database,
                key,
                collector,
                ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ],
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            "errand-worker",
            &[
                database,
                key,
                collector,
                ("OTEL_TRACES_SAMPLER", "sometimes"),
            ],
            "OTEL_TRACES_SAMPLER",
        ),
        (
            "errand-worker",
            &[database, key, collector, ("OTEL_TRACES_SAMPLER_ARG", "2")],
            "OTEL_TRACES_SAMPLER_ARG",
        ),
        ("errand-worker", &[key], "DATABASE_URL"),
        ("errand-worker", &[database], "OPENAI_API_KEY"),
        (
            "errand-worker",
            &[database, key, ("OPENAI_BASE_URL", "nonsense")],
            "OPENAI_BASE_URL",
        ),
        (
            "errand-worker",
            &[database, key, ("RUN_TIMEOUT", "soon")],
            "RUN_TIMEOUT",
        ),
        (
            "errand-worker",
            &[database, key, ("SLEEP_AFTER", "soon")],
            "SLEEP_AFTER",
        ),
        (
            "errand-api",
            &[database, issuer, ("WAKE_URLS", "worker:9091")],
            "WAKE_URLS",
        ),
        (
            "errand-worker",
            &[database, key, ("MAX_STEPS", "0")],
            "MAX_STEPS",
        ),
        (
            "errand-worker",
            &[database, key, ("WORKER_CONCURRENCY", "none")],
            "WORKER_CONCURRENCY",
        ),
        (
            "errand-worker",
            &[
                database,
                key,
                ("REQUIRE_APPROVAL", "delete_task,delete_all"),
            ],
            "REQUIRE_APPROVAL",
        ),
        (
            "errand-worker",
            &[database, key, ("DATABASE_DIRECT_URL", "nonsense:hunter2")],
            "DATABASE_DIRECT_URL",
        ),
        ("errand-mcp", &[issuer], "DATABASE_URL"),
        ("errand-mcp", &[database], "BETTER_AUTH_URL"),
        (
            "errand-mcp",
            &[database, ("BETTER_AUTH_URL", "")],
            "BETTER_AUTH_URL",
        ),
        (
            "errand-mcp",
            &[
                database,
                issuer,
                ("MCP_URL", "https://mcp.example.com/elsewhere"),
            ],
            "MCP_URL",
        ),
        (
            "errand-mcp",
            &[database, issuer, ("MCP_ALLOWED_HOSTS", "a/b")],
            "MCP_ALLOWED_HOSTS",
        ),
        (
            "errand-mcp",
            &[database, issuer, ("RATE_CALLS_PER_MINUTE", "many")],
            "RATE_CALLS_PER_MINUTE",
        ),
    ];
    for (program, environment, variable) in cases {
        let (status, said) = process::run(program, &[], environment.iter().copied()).await;
        assert_eq!(status.code(), Some(2), "{variable}: {said}");
        assert!(said.contains(variable), "{variable} is not named: {said}");
        assert!(!said.contains("hunter2"), "a secret is told: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_every_variable() {
    let api = process::run("errand-api", &["--help"], []).await;
    let worker = process::run("errand-worker", &["--help"], []).await;
    let mcp = process::run("errand-mcp", &["--help"], []).await;
    for ((status, said), variables) in [
        (
            api,
            &[
                "DATABASE_URL",
                "DATABASE_DIRECT_URL",
                "PORT",
                "HOST",
                "BETTER_AUTH_URL",
                "AUTH_JWKS_URL",
                "AUTH_AUDIENCE",
                "ALLOWED_ORIGINS",
                "RATE_RUNS_PER_MINUTE",
                "MAX_ACTIVE_RUNS",
                "MCP_URL",
                "MCP_ALLOWED_HOSTS",
                "RATE_CALLS_PER_MINUTE",
                "SLEEP_AFTER",
                "WAKE_URLS",
                "LOG_FORMAT",
                "RUST_LOG",
            ][..],
        ),
        (
            worker,
            &[
                "DATABASE_URL",
                "OPENAI_API_KEY",
                "OPENAI_BASE_URL",
                "OPENAI_MODEL",
                "GEMINI_API_KEY",
                "WORKER_CONCURRENCY",
                "RUN_TIMEOUT",
                "MAX_STEPS",
                "HISTORY_TOKENS",
                "SLEEP_AFTER",
                "WAKE_EVERY",
            ][..],
        ),
        (
            mcp,
            &[
                "--stdio",
                "--user",
                "DATABASE_URL",
                "PORT",
                "HOST",
                "BETTER_AUTH_URL",
                "AUTH_JWKS_URL",
                "AUTH_AUDIENCE",
                "ALLOWED_ORIGINS",
                "MCP_URL",
                "MCP_ALLOWED_HOSTS",
                "RATE_CALLS_PER_MINUTE",
            ][..],
        ),
    ] {
        assert!(status.success());
        for variable in variables {
            assert!(said.contains(variable), "{variable}: {said}");
        }
    }
}

/// The Procfile's lines against an empty database: migrate (twice), one web, two workers.
#[tokio::test(flavor = "multi_thread")]
async fn the_procfile_works_on_an_empty_database() {
    let url = system::empty_database().await;
    let model = ScriptedModel::start().await.unwrap();
    let identity = IdentityProvider::start(IdentityOptions::default())
        .await
        .unwrap();
    let base_url = model.base_url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("BETTER_AUTH_URL", identity.issuer()),
        ("OPENAI_BASE_URL", &base_url),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
    ];
    let mut web = Process::start("errand-api", &[], environment).await;
    let line: serde_json::Value = serde_json::from_str(&web.until_says("serving").await).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("http://{address}{path}"));
    Answer::of(get("/healthz")).await.assert_ok();
    Answer::of(get("/readyz"))
        .await
        .assert_error(503, "unavailable");

    let (first, second) = tokio::join!(
        process::run("errand-api", &["migrate"], [("DATABASE_URL", url.as_str())]),
        process::run("errand-api", &["migrate"], [("DATABASE_URL", url.as_str())])
    );
    assert!(
        first.0.success() && second.0.success(),
        "{} {}",
        first.1,
        second.1
    );
    let mut workers = Vec::new();
    for _ in 0..2 {
        let mut worker = Process::start("errand-worker", &[], environment).await;
        worker.until_says("taking runs").await;
        workers.push(worker);
    }
    web.until_says("the database is ready").await;
    Answer::of(get("/readyz")).await.assert_ok();
    model.push(Turn::call("add_task", json!({"title": "buy milk"})));
    model.push(Turn::text("Done."));
    let request = http
        .post(format!("http://{address}/api/ada/chat"))
        .bearer_auth(identity.token("ada"));
    let answer = Answer::of(request.json(&json!({"message": "add buy milk"}))).await;
    assert_eq!(answer.assert_ok()["response"], "Done.");
    for process in workers.iter_mut().chain([&mut web]) {
        process.signal("TERM").await;
        assert!(process.ends(Duration::from_secs(10)).await.success());
    }
}

/// An older version cannot migrate a newer database, and says so; its processes start on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_named_as_such() {
    let url = system::database().await;
    let db = sqlx::PgPool::connect(&url).await.unwrap();
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (99990101000000, 'of a later version', true, '\\x00', 0)";
    system::rows::execute(&db, newer).await;
    let (status, said) =
        process::run("errand-api", &["migrate"], [("DATABASE_URL", url.as_str())]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("a newer version of this program (migration 99990101000000"),
        "{said}"
    );
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("BETTER_AUTH_URL", "http://127.0.0.1:9"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        // An empty variable is one that is not set: what is informed of is said.
        ("RUST_LOG", ""),
    ];
    let mut web = Process::start("errand-api", &[], environment).await;
    web.until_says("the database is ready").await;
}

/// What is logged of a request has a bound and is no client's to write; an id of theirs that is plain is theirs and ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_kept_if_it_is_plain() {
    let (system, mcp) = (TestSystem::start().await, Mcp::start().await);
    let longest = "x".repeat(64);
    let too_long = "x".repeat(65);
    for (id, is_plain) in [
        ("01a2162c-21d2-72a0-b4f1-04f24e824c16", true),
        ("A", true),
        (&longest, true),
        (&too_long, false),
        ("", false),
        ("two words", false),
        ("under_score", false),
        ("\u{e9}", false),
        ("a,b", false),
    ] {
        for request in [
            system.bare(Method::GET, "/healthz"),
            mcp.bare(Method::GET, "/healthz"),
        ] {
            let answer = Answer::of(request.header("x-request-id", id)).await;
            let given = answer.header("x-request-id");
            assert_eq!(given == id, is_plain, "{id:?}: {given:?}");
            assert!(
                is_plain || uuid::Uuid::parse_str(given).is_ok(),
                "{given:?}"
            );
        }
    }
    let twice = system.bare(Method::GET, "/healthz");
    let twice = twice
        .header("x-request-id", "a")
        .header("x-request-id", "b");
    let answer = Answer::of(twice).await;
    assert!(uuid::Uuid::parse_str(answer.header("x-request-id")).is_ok());
}
