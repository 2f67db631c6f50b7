//! A database that goes away: down, silent, deaf. Everything recovers by itself, and what was accepted is answered.

use std::time::Duration;

use errand_tests::model::{Gate, Turn, request};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::Instant;

use crate::world::{self, Answer, Options, World, door::Door, process::Process};

/// What is promised: so long after the database is back, everything works again.
const RECOVERY: Duration = Duration::from_secs(10);
/// What a test adds for the work itself, on a machine that has other work.
const SLACK: Duration = Duration::from_secs(5);

/// A world behind a door, with as many connections in its pools as traffic makes, and a run at work for bob.
struct Busy {
    world: World,
    door: Door,
    /// Past the door.
    db: PgPool,
    gate: Gate,
    run: String,
}

impl Busy {
    async fn start() -> Self {
        let database = world::database().await;
        let door = Door::open_to(&database).await;
        let world = World::on(door.url(), Options::default()).await;
        world.model.script(|request| {
            match (
                request::last_user(request).as_str(),
                request::steps(request).len(),
            ) {
                ("add", 0) => Turn::call("add_task", json!({"title": "not lost"})),
                _ => Turn::text("Hello."),
            }
        });
        join_all((0..20).map(|n| {
            let world = &world;
            async move {
                world
                    .say(&format!("user-{n}"), "hello")
                    .await
                    .assert_ok()
                    .clone()
            }
        }))
        .await;
        let gate = Gate::closed();
        let call = Turn::call("add_task", json!({"title": "not lost"}));
        world.model.push(call.gate_after(1, &gate));
        let request = world.post_chat("bob", &json!({"message": "add"}));
        let accepted = Answer::of(request.header("prefer", "respond-async")).await;
        gate.reached(1).await.unwrap();
        let db = PgPool::connect(&database).await.unwrap();
        let run = accepted.body["run_id"].as_str().unwrap().to_owned();
        Self {
            world,
            door,
            db,
            gate,
            run,
        }
    }

    /// Says hello until it is answered; returns how long that took.
    async fn until_answered(&self, user: &str) -> Duration {
        let begun = Instant::now();
        loop {
            let answer = self.world.say(user, "hello").await;
            if answer.status == 200 {
                return begun.elapsed();
            }
            assert!(
                [202, 503].contains(&answer.status.as_u16()),
                "{}",
                answer.body
            );
            assert!(begun.elapsed() < RECOVERY + SLACK, "never comes back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Bob's run, which was at work all the time, ends as it should; returns how long that took.
    async fn until_bob_is_answered(&self) -> Duration {
        let begun = Instant::now();
        let query = "select status from runs where id = $1::uuid and finished_at is not null";
        loop {
            let ended: Option<String> = sqlx::query_scalar(query)
                .bind(&self.run)
                .fetch_optional(&self.db)
                .await
                .unwrap();
            if let Some(status) = ended {
                assert_eq!(status, "completed");
                let query = "select count(*) from tasks where user_id = 'bob'";
                let tasks: i64 = sqlx::query_scalar(query).fetch_one(&self.db).await.unwrap();
                assert_eq!(tasks, 1);
                return begun.elapsed();
            }
            assert!(begun.elapsed() < RECOVERY + SLACK, "bob waits for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each of the process's listeners has a connection that was made after this moment.
    async fn until_all_listen_again(&self, since: chrono::DateTime<chrono::Utc>) -> Duration {
        let begun = Instant::now();
        // The API's one, and the worker's two: for jobs, and for cancels. They say LISTEN first, and probe later.
        let query = "select count(*) from pg_stat_activity where datname = current_database() and backend_start > $1
                     and query like 'LISTEN %'";
        loop {
            let listening: i64 = sqlx::query_scalar(query)
                .bind(since)
                .fetch_one(&self.db)
                .await
                .unwrap();
            if listening == 3 {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < RECOVERY + SLACK, "{listening} listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn assert_recovers(&self) {
        let now = chrono::Utc::now();
        let (api, worker, listeners) = tokio::join!(
            self.until_answered("carol"),
            self.until_bob_is_answered(),
            self.until_all_listen_again(now),
        );
        println!(
            "recovered: a new message in {api:.1?}, the run at work in {worker:.1?}, listeners in {listeners:.1?}"
        );
    }
}

/// Every connection there is goes silent, without a reset; new ones work.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_silent_are_replaced() {
    let busy = Busy::start().await;
    busy.door.silence();
    busy.door.reopen();
    busy.gate.open();
    busy.assert_recovers().await;
}

/// The network swallows everything for a while. Nothing hangs meanwhile, and no place in a pool is lost to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_503_within_seconds_and_is_recovered_from() {
    let busy = Busy::start().await;
    busy.door.silence();
    busy.gate.open();
    // More than the pool has places: what is given up must not keep one.
    for _ in 0..2 {
        let answers = join_all((0..25).map(|_| async {
            let begun = Instant::now();
            let answer = busy.world.get("ada", "tasks").await;
            (answer, begun.elapsed())
        }));
        for (answer, took) in answers.await {
            answer.assert_error(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            assert!(took < Duration::from_secs(8), "{took:?}");
        }
    }
    let ready = Answer::of(busy.world.bare(Method::GET, "/readyz")).await;
    ready.assert_error(503, "unavailable");
    busy.door.reopen();
    busy.assert_recovers().await;
}

/// An operator, or the server itself, ends every connection there is.
#[tokio::test(flavor = "multi_thread")]
async fn killed_backends_are_replaced() {
    let busy = Busy::start().await;
    let now = chrono::Utc::now();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::raw_sql(kill).execute(&busy.db).await.unwrap();
    busy.gate.open();
    let (api, worker, _) = tokio::join!(
        busy.until_answered("carol"),
        busy.until_bob_is_answered(),
        busy.until_all_listen_again(now),
    );
    println!("recovered: a new message in {api:.1?}, the run at work in {worker:.1?}");
}

/// A client that went silent in the middle of a transaction keeps its user's lock for seconds only.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_silent_client_is_freed() {
    let busy = Busy::start().await;
    // The commit vanishes with its connection, and the server knows nothing of it.
    let world = &busy.world;
    let vanish = async {
        let held = "select count(*) from pg_locks where locktype = 'advisory' and granted";
        while sqlx::query_scalar::<_, i64>(held)
            .fetch_one(&busy.db)
            .await
            .unwrap()
            == 0
        {}
        busy.door.silence();
        busy.door.reopen();
    };
    let slow = "create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(0.5); return null; end $$;
                create trigger dawdle after insert on messages for each row execute function dawdle()";
    sqlx::raw_sql(slow).execute(&busy.db).await.unwrap();
    let (answer, ()) = tokio::join!(world.say("ada", "vanishing"), vanish);
    println!("the vanishing request: {} {}", answer.status, answer.body);
    sqlx::raw_sql("drop trigger dawdle on messages")
        .execute(&busy.db)
        .await
        .unwrap();
    let took = busy.until_answered("ada").await;
    println!("the user's lock is free again: answered after {took:.1?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_503_and_comes_back() {
    // Through a door that the test can close: the database itself is shared.
    let door = Door::open_to(&world::database().await).await;
    let world = World::on(door.url(), Options::default()).await;
    world.model.script(|request| {
        // The turn that the outage hits asks again if its first answer could not be committed.
        match (
            request::last_user(request).as_str(),
            request::steps(request).len(),
        ) {
            ("add", 0) => Turn::call("add_task", json!({"title": "not lost"})),
            _ => Turn::text("Hello."),
        }
    });
    world.say("ada", "hello").await.assert_ok();

    // Accepted before the outage, and at work when it comes.
    let gate = Gate::closed();
    world
        .model
        .push(Turn::call("add_task", json!({"title": "not lost"})).gate_after(1, &gate));
    let accepted = world
        .post_chat("bob", &json!({"message": "add"}))
        .header("prefer", "respond-async");
    let accepted = Answer::of(accepted).await;
    gate.reached(1).await.unwrap();

    door.close();
    for _ in 0..2 {
        let answer = world.say("ada", "hello").await;
        answer.assert_error(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let ready = Answer::of(world.bare(Method::GET, "/readyz")).await;
    ready.assert_error(503, "unavailable");
    Answer::of(world.bare(Method::GET, "/healthz"))
        .await
        .assert_ok();
    gate.open();

    door.reopen();
    let deadline = tokio::time::Instant::now() + world::PATIENCE;
    while world.say("ada", "hello").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "never comes back");
    }
    let run = accepted.body["run_id"].as_str().unwrap();
    let run = world.get("bob", &format!("runs/{run}?wait=30")).await;
    assert_eq!(run.assert_ok()["status"], "completed", "{}", run.body);
    assert_eq!(world.titles("bob").await.len(), 1);
}

/// Losing every notification costs a second, never an answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_answers_still_come() {
    let world = World::start().await;
    world.model.script(|_| Turn::text("Hello."));
    world.say("ada", "hello").await.assert_ok();
    sqlx::raw_sql(
        "drop trigger notify_workers on apalis.jobs;
         create function public.pg_notify(text, text) returns void language sql as 'select'",
    )
    .execute(&world.db)
    .await
    .unwrap();
    // Our own notify goes to the function of the same name that comes first in the path.
    sqlx::raw_sql("do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$")
        .execute(&world.db)
        .await
        .unwrap();
    sqlx::raw_sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .execute(&world.db)
        .await
        .unwrap();
    // Killed connections may answer 503 at first; nothing hangs.
    let deadline = tokio::time::Instant::now() + world::PATIENCE;
    while world.get("ada", "tasks").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "never comes back");
    }
    for _ in 0..3 {
        // The wait is far longer than the patience: an answer that comes with its end is too late.
        let request = world
            .post_chat("ada", &json!({"message": "hello"}))
            .header("prefer", "wait=60");
        let answer = tokio::time::timeout(world::PATIENCE, Answer::of(request)).await;
        let answer = answer.expect("the slow polls find the job and the end of the run");
        assert_eq!(answer.assert_ok()["response"], "Hello.");
    }
}

/// A database that is down at the start is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let door = Door::open_to(&world::database().await).await;
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
    let world = World::with(Options {
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
             create or replace trigger fail before insert on messages for each row execute function fail()"
        );
        sqlx::raw_sql(AssertSqlSafe(fail))
            .execute(&world.db)
            .await
            .unwrap();
        let answer = world.say("ada", "hello").await;
        answer.assert_error(503, "unavailable");
        assert!(
            answer.header("retry-after").parse::<u64>().unwrap() >= 1,
            "{code}"
        );
    }
    assert_eq!(world.count("select count(*) from runs").await, 0);
}
