//! What an operator meets: bad configuration, an empty database, the Procfile, `cargo dev`.

use std::time::Duration;

use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::system::{
    self, Answer, TestSystem,
    mcp::Mcp,
    process::{self, Process},
};

mod architecture;
mod documentation;
mod metrics;
mod operator;
mod telemetry;
mod traces;

#[tokio::test(flavor = "multi_thread")]
async fn bad_configuration_names_the_variable_and_exits_2() {
    let database = ("DATABASE_URL", "postgres://errand@localhost/errand");
    let issuer = ("BETTER_AUTH_URL", "https://auth.example.com");
    let key = ("OPENAI_API_KEY", "sk-hunter2");
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
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

/// `cargo dev`: a turn with the stand-ins, Ctrl-C, and the data after a second start.
#[tokio::test(flavor = "multi_thread")]
async fn cargo_dev_keeps_its_data() {
    let state = std::env::temp_dir().join(format!("errand-dev-{}", uuid::Uuid::now_v7().simple()));
    let state = state.to_str().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut database_urls = Vec::new();
    for start in 1..=2 {
        let arguments = ["--state", state, "--port", "0"];
        let mut dev = Process::start("errand-dev", &arguments, [("PATH", path.as_str())]).await;
        let said = dev.until_says("/api/auth/token").await;
        let token_url = said.split_whitespace().last().unwrap().to_owned();
        let said = dev.until_says("serving").await;
        let api = said.split("address=").nth(1).unwrap().trim().to_owned();
        dev.until_says("taking runs").await;
        database_urls.push(assert_tools_for_others(dev.heard(), &api).await);
        let http = reqwest::Client::new();
        let token = Answer::of(http.get(&token_url)).await;
        let token = token.assert_ok()["token"].as_str().unwrap().to_owned();
        let chat = http
            .post(format!("http://{api}/api/demo/chat"))
            .bearer_auth(&token);
        let answer = Answer::of(chat.json(&json!({"message": "add buy milk and call Ann"}))).await;
        assert_eq!(
            answer.assert_ok()["tool_calls"].as_array().unwrap().len(),
            2
        );
        let tasks = http
            .get(format!("http://{api}/api/demo/tasks"))
            .bearer_auth(&token);
        assert_eq!(
            Answer::of(tasks).await.assert_ok()["tasks"]
                .as_array()
                .unwrap()
                .len(),
            2 * start
        );
        dev.signal("INT").await;
        assert!(dev.ends(Duration::from_secs(20)).await.success());
        // Its Postgres went with it.
        let left = tokio::process::Command::new("pgrep")
            .args(["-f", state])
            .output()
            .await;
        assert!(
            left.is_ok_and(|left| left.stdout.is_empty()),
            "a process is left"
        );
    }
    // What was copied stays right, unless somebody else has taken the port meanwhile.
    let port = database_urls[0].rsplit(['/', ':']).nth(1).expect("a port");
    let is_taken = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).is_err();
    assert!(
        database_urls[0] == database_urls[1] || is_taken,
        "{database_urls:?}"
    );
    std::fs::remove_dir_all(state).unwrap();
}

/// The banner's entries for MCP clients are ready to be copied, and do what they say. Returns the database's URL, which the banner tells.
async fn assert_tools_for_others(said: &[String], api: &str) -> String {
    // What is logged comes on another stream, in between.
    let banner = said
        .iter()
        .filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
    let entries = banner.map(String::as_str).collect::<Vec<_>>().join("\n");
    let entries = entries.split("\n  {\n").skip(1).map(|entry| {
        let (entry, _) = entry.split_once("\n  }\n").expect("an end");
        let entry: Value = serde_json::from_str(&format!("{{{entry}}}")).expect("JSON");
        entry["mcpServers"]["errand"].clone()
    });
    let entries: Vec<Value> = entries.collect();
    let [over_http, on_a_desktop] = &entries[..] else {
        panic!("two entries: {entries:?}");
    };
    // The name that people read leads to the same port.
    let url = over_http["url"].as_str().expect("a URL");
    let port = api.rsplit(':').next().expect("a port");
    assert_eq!(url, format!("http://localhost:{port}/mcp"));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = reqwest::Client::new()
        .post(format!("http://{api}/mcp"))
        .header("accept", "application/json, text/event-stream")
        .header(
            "authorization",
            over_http["headers"]["Authorization"]
                .as_str()
                .expect("a token"),
        );
    let listed = Answer::of(request.json(&list)).await;
    let tools = listed.assert_ok()["result"]["tools"].as_array();
    assert_eq!(tools.map(Vec::len), Some(5), "{}", listed.body);
    let program = on_a_desktop["command"].as_str().expect("a program");
    assert!(program.ends_with("/errand-mcp"), "{program}");
    assert_eq!(on_a_desktop["args"], json!(["--stdio", "--user", "demo"]));
    let database_url = on_a_desktop["env"]["DATABASE_URL"].as_str().expect("a URL");
    assert!(
        said.iter()
            .any(|line| line.trim() == format!("DATABASE_URL={database_url}")),
        "{said:#?}"
    );
    let mut desk = sqlx::PgConnection::connect(database_url)
        .await
        .expect("the database");
    let tasks: i64 = sqlx::query_scalar("select count(*) from tasks where user_id = 'demo'")
        .fetch_one(&mut desk)
        .await
        .expect("tasks");
    assert!(tasks % 2 == 0, "{tasks}");
    database_url.to_owned()
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
