//! Behind a transaction pooler: the API's queries go through PgBouncer, everything else beside it.
//!
//! These tests want a PgBouncer of version 1.21 or newer: named by `PGBOUNCER`, built by `tests/pgbouncer/build`, or from `PATH`. Without one they are
//! skipped.

use errand_devkit::model::{Turn, request};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::system::{
    self, Answer, Options, TestSystem,
    events::{assert_well_formed, read_sse, text},
    pooler::Pooler,
    process::{self, Process},
    socket::Socket,
};

/// Leaves the test if there is no pooler.
macro_rules! pooler_or_skip {
    ($database:expr, $settings:expr) => {
        match Pooler::in_front_of($database, $settings).await {
            Ok(pooler) => pooler,
            Err(reason) => return skip(&reason),
        }
    };
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn skip(reason: &str) {
    eprintln!("skipped: no PgBouncer 1.21 or newer ({reason})");
}

async fn world_behind(pooler: &Pooler, database: &str) -> TestSystem {
    let options = Options {
        api_database_url: Some(pooler.url().to_owned()),
        ..Options::default()
    };
    let system = TestSystem::on(database, options).await;
    system
        .model
        .script(|request| match request::steps(request).len() {
            0 => Turn::call("add_task", json!({"title": request::last_user(request)})),
            _ => Turn::text("Done, and told in several words."),
        });
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_a_transaction_pooler() {
    let database = system::database().await;
    let pooler = pooler_or_skip!(&database, "");
    let system = world_behind(&pooler, &database).await;
    // More clients than the pooler has connections, each several times: statements meet servers that never saw them.
    join_all((0..16).map(|n| {
        let system = &system;
        async move {
            let user = format!("user-{n}");
            let first = system.say(&user, "one").await;
            let conversation = &first.assert_ok()["conversation_id"];
            system.say_in(&user, conversation, "two").await.assert_ok();
            assert_eq!(system.titles(&user).await, ["one", "two"]);
            let tasks = system.get(&user, "tasks").await;
            assert_eq!(tasks.assert_ok()["tasks"].as_array().unwrap().len(), 2);
            let messages = format!("conversations/{}/messages", conversation.as_str().unwrap());
            let messages = system.get(&user, &messages).await;
            assert_eq!(
                messages.assert_ok()["messages"].as_array().unwrap().len(),
                4
            );
        }
    }))
    .await;

    let stream = system.post_chat("ada", &json!({"message": "streamed"}));
    let events = read_sse(stream.header("accept", "text/event-stream"), 1000).await;
    assert_well_formed(&events);
    assert_eq!(text(&events), "Done, and told in several words.");

    let mut socket = Socket::connect(&system, "bob").await;
    socket.call("run.start", json!({"message": "socket"})).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_well_formed(&socket.events());

    system
        .model
        .script(|_| Turn::text("I was going to say").stall_after(3));
    let accepted = system.post_chat("eve", &json!({"message": "go"}));
    let accepted = Answer::of(accepted.header("prefer", "respond-async")).await;
    let run = accepted.body["run_id"].as_str().unwrap();
    system
        .until("select count(*) from runs where status = 'running'", 1)
        .await;
    let cancel = system.request(Method::POST, "eve", &format!("runs/{run}/cancel"));
    Answer::of(cancel).await.assert_ok();
    let run = system.get("eve", &format!("runs/{run}?wait=20")).await;
    assert_eq!(run.assert_ok()["status"], "cancelled");
    // Nothing of the API's queries has gone around the pooler.
    let around = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'errand-api'
                  and client_port in (select client_port from pg_stat_activity where query like 'LISTEN%')";
    assert_eq!(system.count(around).await, 0);
}

/// A pooler where Postgres itself should be is named, by each program.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_the_wrong_place_is_refused_by_name() {
    let database = system::database().await;
    let pooler = pooler_or_skip!(&database, "");
    let environment = [
        ("DATABASE_URL", pooler.url()),
        ("BETTER_AUTH_URL", "http://127.0.0.1:9"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
    ];
    for (program, arguments) in [
        ("errand-api", &["migrate"][..]),
        ("errand-api", &[]),
        ("errand-worker", &[]),
    ] {
        let (status, said) = process::run(program, arguments, environment).await;
        assert!(!status.success(), "{program}: {said}");
        assert!(said.contains("DATABASE_DIRECT_URL"), "{program}: {said}");
    }
}

/// A pooler that is told to ignore what it does not know lets LISTEN through and delivers nothing: that is said, and the slow
/// polls answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_swallows_notifications_is_told_of_and_answers_still_come() {
    let database = system::database().await;
    let pooler = pooler_or_skip!(&database, "ignore_startup_parameters = options");
    let system = TestSystem::on(
        &database,
        Options {
            workers: Some(1),
            ..Options::default()
        },
    )
    .await;
    system.model.script(|_| Turn::text("Hello."));
    let environment = [
        ("DATABASE_URL", pooler.url()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
    ];
    let mut web = Process::start("errand-api", &[], environment).await;
    let said = web.until_says("serving").await;
    let address = said.split("address=").nth(1).unwrap().trim().to_owned();
    web.until_says("is DATABASE_DIRECT_URL a transaction pooler?")
        .await;
    let http = reqwest::Client::new();
    let deadline = tokio::time::Instant::now() + system::PATIENCE;
    loop {
        let request = http
            .post(format!("http://{address}/api/ada/chat"))
            .bearer_auth(system.identity.token("ada"));
        let answer = Answer::of(request.json(&json!({"message": "hello"}))).await;
        if answer.status == 200 {
            assert_eq!(answer.body["response"], "Hello.");
            return;
        }
        // A notification that the pooler gave to the wrong client is an error of that client's query.
        answer.assert_error(503, "unavailable");
        assert!(tokio::time::Instant::now() < deadline, "never answers");
    }
}
