//! A database that is suspended when nobody asks it anything: it sleeps as long as there is nothing to do, and the first message wakes all.

use std::time::Duration;

use errand_devkit::{
    model::Turn,
    postgres::{Cluster, ClusterOptions},
    process::free_port,
    suspending::Suspending,
    system::migrated,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::system::{Options, PATIENCE, TestSystem, process::Process, socket::Socket};

/// Silence after which the database is suspended.
const SUSPENDED_AFTER: Duration = Duration::from_secs(3);

/// How long it has to stay so: longer than any of the pauses that processes make at rest.
const NIGHT: Duration = Duration::from_secs(25);

/// What the first message may take from the moment when the database accepts connections again. It takes a tenth of a second.
const AWAKE: Duration = Duration::from_secs(2);

struct Sleepy {
    system: TestSystem,
    database: Suspending,
    api: Process,
    worker: Process,
    metrics: String,
}

/// An API and a worker as processes on a server that is suspended, with these variables besides.
async fn sleepy(api: &[(&str, &str)], worker: &[(&str, &str)]) -> Sleepy {
    let cluster = Cluster::start(ClusterOptions::throwaway()).await;
    let cluster = cluster.expect("a private Postgres");
    migrated(&cluster, "errand").await.expect("migrated");
    let database = Suspending::after(SUSPENDED_AFTER, cluster).await;
    let database = database.expect("a way");
    let url = database.url("errand_app", "errand");
    // Its own API asks the shared server and nobody asks it; what is measured are processes.
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system.model.script(|_| Turn::text("Good morning."));
    let metrics = format!("127.0.0.1:{}", free_port());
    let wake = format!("http://{metrics}/wake");
    let (_, port) = metrics.split_once(':').expect("a port");
    let model = system.model.base_url();
    let own = [
        ("DATABASE_URL", url.as_str()),
        ("SLEEP_AFTER", "2s"),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        ("OPENAI_BASE_URL", &model),
    ];
    let port = [("METRICS_PORT", port)];
    let environment = own.iter().chain(&port).chain(worker);
    let mut worker = Process::start("errand-worker", &[], environment.copied()).await;
    worker.until_says("taking runs").await;
    let named = api.iter().any(|(name, _)| *name == "WAKE_URLS");
    let wake = (!named).then_some(("WAKE_URLS", wake.as_str()));
    let environment = own.iter().chain(&wake).chain(api);
    let mut api = Process::start("errand-api", &[], environment.copied()).await;
    let line = api.until_says("serving").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line");
    system.url = format!("http://{}", line["address"].as_str().expect("an address"));
    api.until_says("the database is ready").await;
    Sleepy {
        system,
        database,
        api,
        worker,
        metrics,
    }
}

impl Sleepy {
    async fn falls_asleep(&self) -> usize {
        let seen = self.database.until(false, PATIENCE).await;
        let seen = seen.expect("nobody asks it anything");
        // Nobody connects again.
        assert_eq!(self.database.connections(), 0);
        seen.starts
    }

    /// Says something; how long it took from the start of the database to the answer.
    async fn is_woken(&self) -> Duration {
        let before = self.database.seen().starts;
        let answer = self.system.say("ada", "wake up").await;
        assert_eq!(answer.assert_ok()["response"], "Good morning.");
        let seen = self.database.seen();
        assert_eq!(seen.starts, before + 1);
        seen.since.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "how long it took")]
async fn a_database_sleeps_until_a_message_wakes_it() {
    let mut sleepy = sleepy(&[], &[]).await;
    sleepy.system.say("ada", "hello").await.assert_ok();
    // A page that somebody left open.
    let mut socket = Socket::connect(&sleepy.system, "ada").await;
    let followed = sleepy.system.say("ada", "hello").await;
    let conversation = &followed.assert_ok()["conversation_id"];
    let follow = json!({"conversation_id": conversation});
    socket.call("subscribe", follow).await;
    for _ in 0..2 {
        let starts = sleepy.falls_asleep().await;
        let slept = Instant::now();
        while slept.elapsed() < NIGHT {
            // Who asks how the processes are wakes nobody.
            for url in [
                format!("{}/readyz", sleepy.system.url),
                format!("{}/metrics", sleepy.system.url),
                format!("http://{}/metrics", sleepy.metrics),
            ] {
                let answer = crate::system::client().get(&url).send().await;
                assert_eq!(answer.expect("an answer").status(), 200, "{url}");
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(sleepy.database.seen().starts, starts, "somebody woke it");
        let took = sleepy.is_woken().await;
        eprintln!("answered {took:.2?} after the database's start");
        assert!(took < AWAKE, "{took:?}");
    }
    for process in [&mut sleepy.api, &mut sleepy.worker] {
        process.signal("TERM").await;
        assert!(process.ends(PATIENCE).await.success());
    }
}

/// Nobody tells the worker, as when the API dies behind the commit: it looks by itself, and an API that starts tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_nobody_wakes_looks_by_itself() {
    let sleepy = sleepy(&[("WAKE_URLS", "")], &[("WAKE_EVERY", "15s")]).await;
    sleepy.falls_asleep().await;
    let answer = sleepy.system.say("ada", "wake up").await;
    assert_eq!(answer.assert_ok()["response"], "Good morning.");
}

/// Operators have to be heard as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_wakes_a_worker() {
    let mut sleepy = sleepy(&[], &[]).await;
    sleepy.falls_asleep().await;
    let wake = format!("http://{}/wake", sleepy.metrics);
    let url = sleepy.database.url("errand_app", "errand");
    let environment = [("DATABASE_URL", url.as_str()), ("WAKE_URLS", &wake)];
    let worker = sleepy.worker.heard().iter().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["worker"].as_str().map(str::to_owned)
    });
    let worker = worker.expect("its name");
    let drained = crate::system::process::run("errand-api", &["drain", &worker], environment).await;
    assert!(drained.0.success(), "{}", drained.1);
    assert!(sleepy.worker.ends(PATIENCE).await.success());
}
