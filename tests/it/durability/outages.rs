//! A database that is down, deaf, or in trouble of its own: nothing that was accepted is lost, and everything recovers by itself.

use errand_devkit::{
    model::{Gate, Turn, request},
    proxy::Proxy,
};
use reqwest::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::system::{self, Answer, Options, TestSystem, process::Process};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_503_and_comes_back() {
    // Through a door that the test can close: the database itself is shared.
    let door = Proxy::open(&system::database().await)
        .await
        .expect("a proxy");
    let system = TestSystem::on(door.url(), Options::default()).await;
    system.model.script(|request| {
        // The turn that the outage hits asks again if its first answer could not be committed.
        match (
            request::last_user(request).as_str(),
            request::steps(request).len(),
        ) {
            ("add", 0) => Turn::call("add_task", json!({"title": "not lost"})),
            _ => Turn::text("Hello."),
        }
    });
    system.say("ada", "hello").await.assert_ok();

    // Accepted before the outage, and at work when it comes.
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "not lost"})).gate_after(1, &gate));
    let accepted = system
        .post_chat("bob", &json!({"message": "add"}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    gate.reached(1).await.unwrap();

    door.close();
    for _ in 0..2 {
        let answer = system.say("ada", "hello").await;
        answer.assert_error(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let ready = Answer::of(system.bare(Method::GET, "/readyz")).await;
    ready.assert_error(503, "unavailable");
    Answer::of(system.bare(Method::GET, "/healthz"))
        .await
        .assert_ok();
    gate.open();

    door.reopen();
    let deadline = tokio::time::Instant::now() + system::PATIENCE;
    loop {
        let answer = system.say("ada", "hello").await;
        if answer.status == 200 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "never comes back: {answer:?}"
        );
    }
    let run = accepted.body["run_id"].as_str().unwrap();
    let run = system.get("bob", &format!("runs/{run}?wait=30")).await;
    assert_eq!(run.assert_ok()["status"], "completed", "{}", run.body);
    assert_eq!(system.titles("bob").await.len(), 1);
}

/// Losing every notification costs a second, never an answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_answers_still_come() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
    sqlx::raw_sql(
        "drop trigger if exists notify_workers on apalis.jobs;
         create function public.pg_notify(text, text) returns void language sql as 'select'",
    )
    .execute(&system.db)
    .await
    .unwrap();
    // Our own notify goes to the function of the same name that comes first in the path.
    sqlx::raw_sql("do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$")
        .execute(&system.db)
        .await
        .unwrap();
    let killed = sqlx::query_scalar::<_, i64>(
        "select count(*) filter (where pg_terminate_backend(pid, 20000)) from pg_stat_activity
         where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()",
    );
    assert!(killed.fetch_one(&system.db).await.unwrap() > 0);
    let deadline = tokio::time::Instant::now() + system::PATIENCE;
    let mut answers = 0;
    while answers < 3 {
        // The wait is far longer than the patience: an answer that comes with its end is too late.
        let request = system
            .post_chat("ada", &json!({"message": "hello"}))
            .header("prefer", "wait=60");
        let answer = tokio::time::timeout(system::PATIENCE, Answer::of(request)).await;
        let answer = answer.expect("the slow polls find the job and the end of the run");
        // The pools find the killed connections one by one: by a message that is not accepted, or by an answer that cannot be read.
        let is_hurt = matches!(answer.status.as_u16(), 503 | 202);
        if is_hurt && tokio::time::Instant::now() < deadline {
            continue;
        }
        assert_eq!(answer.assert_ok()["response"], "Hello.");
        answers += 1;
    }
}

/// A database that is down at the start is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let door = Proxy::open(&system::database().await)
        .await
        .expect("a proxy");
    door.close();
    let environment = [
        ("DATABASE_URL", door.url()),
        ("BETTER_AUTH_URL", "http://127.0.0.1:9"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
    ];
    let mut web = Process::start("errand-api", &[], environment).await;
    let mut worker = Process::start("errand-worker", &[], environment).await;
    web.until_says("waiting for the database").await;
    worker.until_says("waiting for the database").await;
    door.reopen();
    web.until_says("the database is ready").await;
    worker.until_says("taking runs").await;
}

/// What the server reports of itself: a full disk, too many connections, a failing device, a shutdown, an idle time-out.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_trouble_is_503() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for code in [
        "53100", "53200", "53300", "58030", "57P03", "57014", "25P03", "08006", "40001",
    ] {
        let fail = format!(
            "create or replace function fail() returns trigger language plpgsql as
             $$ begin raise exception 'trouble' using errcode = '{code}'; end $$;
             drop trigger if exists fail on messages;
             create trigger fail before insert on messages for each row execute function fail()"
        );
        sqlx::raw_sql(AssertSqlSafe(fail))
            .execute(&system.db)
            .await
            .unwrap();
        let answer = system.say("ada", "hello").await;
        answer.assert_error(503, "unavailable");
        assert!(
            answer.header("retry-after").parse::<u64>().unwrap() >= 1,
            "{code}"
        );
    }
    assert_eq!(system.count("select count(*) from runs").await, 0);
}
