//! Connections that go silent without a reset, or are killed: all are replaced, and what was accepted is answered.

use std::time::Duration;

use errand_devkit::{
    model::{Gate, Turn, request},
    proxy::Proxy,
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::system::{self, Answer, Options, PATIENCE, TestSystem};

/// What is promised: so long after the database is back, everything works again.
const RECOVERY: Duration = Duration::from_secs(10);
/// What a test adds for the work itself, on a machine that has other work.
const SLACK: Duration = Duration::from_secs(5);

/// A system behind a door, with as many connections in its pools as traffic makes, and a run at work for bob.
struct Busy {
    system: TestSystem,
    door: Proxy,
    /// Past the door.
    db: PgPool,
    gate: Gate,
    run: String,
}

impl Busy {
    async fn start() -> Self {
        let database = system::database().await;
        let door = Proxy::open(&database).await.expect("a proxy");
        let system = TestSystem::on(door.url(), Options::default()).await;
        system.model.script(|request| {
            match (
                request::last_user(request).as_str(),
                request::steps(request).len(),
            ) {
                ("add", 0) => Turn::call("add_task", json!({"title": "not lost"})),
                _ => Turn::text("Hello."),
            }
        });
        join_all((0..20).map(|n| {
            let system = &system;
            async move {
                system
                    .say(&format!("user-{n}"), "hello")
                    .await
                    .assert_ok()
                    .clone()
            }
        }))
        .await;
        let gate = Gate::closed();
        let call = Turn::call("add_task", json!({"title": "not lost"}));
        system.model.push(call.gate_after(1, &gate));
        let request = system.post_chat("bob", &json!({"message": "add"}));
        let accepted = Answer::of(request.header("prefer", "respond-async")).await;
        gate.reached(1).await.unwrap();
        let db = PgPool::connect(&database).await.unwrap();
        let run = accepted.body["run_id"].as_str().unwrap().to_owned();
        Self {
            system,
            door,
            db,
            gate,
            run,
        }
    }

    /// Says hello until it is answered.
    async fn until_answered(&self, user: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.system.say(user, "hello").await;
            if answer.status == 200 {
                return;
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

    /// Bob's run, which was at work all the time, ends as it should.
    async fn until_bob_is_answered(&self) {
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
                return;
            }
            assert!(begun.elapsed() < RECOVERY + SLACK, "bob waits for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each of the process's listeners has a connection that was made after this moment.
    async fn until_all_listen_again(&self, since: chrono::DateTime<chrono::Utc>) {
        let begun = Instant::now();
        // The API's and the worker's. They say LISTEN first, and probe later.
        let query = "select count(*) from pg_stat_activity where datname = current_database() and backend_start > $1
                     and query like 'LISTEN %'";
        loop {
            let listening: i64 = sqlx::query_scalar(query)
                .bind(since)
                .fetch_one(&self.db)
                .await
                .unwrap();
            if listening == 2 {
                return;
            }
            assert!(begun.elapsed() < RECOVERY + SLACK, "{listening} listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn assert_recovers(&self) {
        let now = chrono::Utc::now();
        tokio::join!(
            self.until_answered("carol"),
            self.until_bob_is_answered(),
            self.until_all_listen_again(now),
        );
    }
}

/// Every connection there is goes silent in the middle of a query, without a reset; new ones work.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_silent_are_replaced() {
    let busy = Busy::start().await;
    let mut lock = busy.db.begin().await.unwrap();
    sqlx::raw_sql("lock table tasks in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    // One user alone could not have them all.
    let users: Vec<String> = (0..20).map(|nth| format!("user-{nth}")).collect();
    let queries = join_all(users.iter().map(|user| busy.system.get(user, "tasks")));
    let silence = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(&busy.db)
            .await
            .unwrap()
            < 20
        {
            assert!(Instant::now() < deadline, "too few queries wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        busy.door.silence();
        busy.door.reopen();
        lock.rollback().await.unwrap();
        busy.gate.open();
        busy.assert_recovers().await;
    };
    let (answers, ()) = tokio::join!(queries, silence);
    for answer in answers {
        answer.assert_error(503, "unavailable");
    }
}

/// The network swallows everything for a while. Nothing hangs meanwhile, and no place in a pool is lost to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_503_within_seconds_and_is_recovered_from() {
    let busy = Busy::start().await;
    busy.door.silence();
    busy.gate.open();
    // More than the pool has places: what is given up must not keep one.
    for _ in 0..2 {
        let busy = &busy;
        let answers = join_all((0..25).map(|nth| async move {
            let begun = Instant::now();
            let answer = busy.system.get(&format!("user-{nth}"), "tasks").await;
            (answer, begun.elapsed())
        }));
        for (answer, took) in answers.await {
            answer.assert_error(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            assert!(took < Duration::from_secs(8), "{took:?}");
        }
    }
    let ready = Answer::of(busy.system.bare(Method::GET, "/readyz")).await;
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
                where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()";
    sqlx::raw_sql(kill).execute(&busy.db).await.unwrap();
    busy.gate.open();
    tokio::join!(
        busy.until_answered("carol"),
        busy.until_bob_is_answered(),
        busy.until_all_listen_again(now),
    );
}

/// A client that went silent in the middle of a transaction keeps its user's lock for seconds only.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_silent_client_is_freed() {
    let busy = Busy::start().await;
    // The connection falls silent while the server inserts for it.
    let system = &busy.system;
    let vanish = async {
        let held = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                    where l.locktype = 'advisory' and l.granted and d.datname = current_database()";
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
                create trigger dawdle after insert on messages for each row when (new.content = 'vanishing') execute function dawdle()";
    sqlx::raw_sql(slow).execute(&busy.db).await.unwrap();
    // Of the transitions this one is a transaction of several statements.
    let message = json!({"message": "vanishing", "on_busy": "interrupt"});
    let request = Answer::of(system.post_chat("ada", &message));
    let (answer, ()) = tokio::join!(request, vanish);
    answer.assert_error(503, "unavailable");
    busy.until_answered("ada").await;
}
