//! Workers that die, come back from the dead, take long, stop in good order.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn};
use serde_json::json;

use crate::system::{
    Answer, Options, TestSystem,
    process::{self, Process},
};

fn environment<'a>(system: &'a TestSystem, base_url: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DATABASE_URL", &system.database_url),
        ("OPENAI_BASE_URL", base_url),
        ("OPENAI_API_KEY", "test"),
        ("PATH", "/usr/bin:/bin"),
    ]
}

async fn worker(system: &TestSystem) -> Process {
    let base_url = system.model.base_url();
    let mut worker = Process::start("errand-worker", &[], environment(system, &base_url)).await;
    worker.until_says("taking runs").await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_the_death_of_its_worker() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let (effect, reply) = (Gate::closed(), Gate::closed());
    // The first worker dies after the tool call's commit, while the model is talking.
    system
        .model
        .push(Turn::call("add_task", json!({"title": "exactly once"})));
    system
        .model
        .push(Turn::text("lost words").gate_after(2, &effect));
    system.model.push(Turn::text("Done.").gate_after(0, &reply));
    let mut doomed = worker(&system).await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "add"})).send());
    effect.reached(1).await.unwrap();
    let _other = worker(&system).await;
    let died = std::time::Instant::now();
    doomed.kill().await;
    reply.reached(1).await.unwrap();
    let picked_up = died.elapsed();
    reply.open();

    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(system.titles("ada").await, ["exactly once"]);
    assert_eq!(
        system.model.request_count(),
        3,
        "a committed step was asked for again"
    );
    assert!(
        picked_up < Duration::from_secs(10),
        "picked up after {picked_up:?}"
    );
    let run = system
        .get(
            "ada",
            &format!("runs/{}", answer["run_id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(run.assert_ok()["attempt"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_under_way() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::text("Finished.").gate_after(1, &gate));
    let mut worker = worker(&system).await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    gate.reached(1).await.unwrap();
    worker.signal("TERM").await;
    worker.until_says("asked to stop").await;
    gate.open();
    assert!(worker.ends(Duration::from_secs(10)).await.success());
    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "Finished.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_the_drain_is_handed_back_without_counting() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    system.model.push(Turn::text("never").stall_after(1));
    system.model.push(Turn::text("By another."));
    let base_url = system.model.base_url();
    let mut stopping = Process::start(
        "errand-worker",
        &["--drain-timeout", "200ms"],
        environment(&system, &base_url),
    )
    .await;
    stopping.until_says("taking runs").await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    system.model.requests_seen(1).await.unwrap();
    let _other = worker(&system).await;
    stopping.signal("TERM").await;
    assert!(stopping.ends(Duration::from_secs(10)).await.success());
    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "By another.");
    assert_eq!(
        system
            .count("select count(*) from runs where attempt = 2 and handbacks = 1")
            .await,
        1
    );
    system.model.aborted_seen(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_writes_nothing() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let (undead, living) = (Gate::closed(), Gate::closed());
    system
        .model
        .push(Turn::call("add_task", json!({"title": "by a zombie"})).gate_after(1, &undead));
    system
        .model
        .push(Turn::call("add_task", json!({"title": "by the living"})).gate_after(1, &living));
    system.model.push(Turn::text("Alive."));
    let mut zombie = worker(&system).await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    undead.reached(1).await.unwrap();
    zombie.signal("STOP").await;
    let _other = worker(&system).await;
    // The zombie comes back while the other is at work: the run is still `running`, only the attempt tells them apart.
    living.reached(1).await.unwrap();
    zombie.signal("CONT").await;
    undead.open();
    zombie.until_says("another attempt owns the run").await;
    assert_eq!(system.count("select count(*) from steps").await, 0);
    living.open();
    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "Alive.", "{answer}");
    assert_eq!(system.titles("ada").await, ["by the living"]);
    assert_eq!(system.count("select count(*) from steps").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_leaves_its_model() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let undead = Gate::closed();
    let endless = Turn::text("never to be read by anybody");
    system
        .model
        .push(endless.gate_after(2, &undead).stall_after(4));
    system.model.push(Turn::text("Alive."));
    let mut zombie = worker(&system).await;
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    undead.reached(1).await.unwrap();
    zombie.signal("STOP").await;
    let _other = worker(&system).await;
    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "Alive.", "{answer}");
    // It is in the middle of an answer, with no step to commit: the events tell it.
    zombie.signal("CONT").await;
    undead.open();
    zombie.until_says("another attempt owns the run").await;
    system.model.aborted_seen(1).await.unwrap();
    let told = "select count(*) from run_events where event ->> 'delta' like '%read%'";
    assert_eq!(system.count(told).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_run_is_not_taken_over_however_long_it_takes() {
    let system = TestSystem::with(Options {
        workers: Some(2),
        worker: vec!["--lease-timeout", "1s"],
        ..Options::default()
    })
    .await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::text("At last.").gate_after(1, &gate));
    let answer = tokio::spawn(system.post_chat("ada", &json!({"message": "go"})).send());
    gate.reached(1).await.unwrap();
    // Both workers have had five leases' time to take it.
    system
        .until(
            "select count(*) from apalis.workers
             where last_seen > (select started_at from runs) + interval '5 s'",
            2,
        )
        .await;
    gate.open();
    let answer: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["response"], "At last.", "{answer}");
    assert_eq!(system.model.request_count(), 1);
    assert_eq!(
        system
            .count("select count(*) from runs where attempt = 1")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_three_workers_fails_and_an_operator_can_requeue_it() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let base_url = system.model.base_url();
    let start = async || {
        let arguments = ["--lease-timeout", "1s"];
        let mut worker =
            Process::start("errand-worker", &arguments, environment(&system, &base_url)).await;
        worker.until_says("taking runs").await;
        worker
    };
    let step = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "only once"})));
    for _ in 0..3 {
        system
            .model
            .push(Turn::text("killing").gate_after(1, &step));
    }
    let accept = async |body: serde_json::Value| {
        let request = system.post_chat("ada", &body);
        Answer::of(request.header("prefer", "respond-async")).await
    };
    let poison = accept(json!({"message": "poison"})).await;
    let run_id = poison.body["run_id"].as_str().unwrap().to_owned();
    for death in 1..=3 {
        let mut worker = start().await;
        step.reached(death).await.unwrap();
        worker.kill().await;
    }
    let _survivor = start().await;
    let run = system.get("ada", &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["status"], "failed");
    assert_eq!(run.body["error"]["code"], "run_failed");
    assert_eq!(
        run.body["error"]["message"],
        "The run was interrupted 3 times."
    );

    // Its conversation goes on.
    system.model.push(Turn::text("Next."));
    let next = system
        .say_in("ada", &poison.body["conversation_id"], "next")
        .await;
    assert_eq!(next.assert_ok()["response"], "Next.");

    let requeue = async |run_id: &str| {
        let environment = [("DATABASE_URL", system.database_url.as_str())];
        process::run("errand-api", &["requeue", run_id], environment).await
    };
    system.model.push(Turn::text("Cured."));
    let (status, said) = requeue(&run_id).await;
    assert!(status.success(), "{said}");
    let run = system.get("ada", &format!("runs/{run_id}?wait=20")).await;
    assert_eq!(run.assert_ok()["response"], "Cured.", "{}", run.body);
    assert!(
        run.body.get("error").is_none_or(serde_json::Value::is_null),
        "{}",
        run.body
    );
    assert_eq!(system.titles("ada").await, ["only once"]);
    // What a client sees that resumes: the failure, then a new start, without a gap.
    let types: Vec<String> = sqlx::query_scalar(
        "select event ->> 'type' from run_events where run_id = $1::text::uuid
         and event ->> 'type' like 'RUN_%' order by seq",
    )
    .bind(&run_id)
    .fetch_all(&system.db)
    .await
    .unwrap();
    assert_eq!(
        types,
        ["RUN_STARTED", "RUN_ERROR", "RUN_STARTED", "RUN_FINISHED"]
    );
    let gaps = "select count(*) from (select max(seq) - count(*) as gap from run_events group by run_id) g where gap <> 0";
    assert_eq!(system.count(gaps).await, 0);

    // Only what failed, and what there is.
    let (status, said) = requeue(&run_id).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("the run is completed"), "{said}");
    let (status, said) = requeue("018f0000-0000-7000-8000-000000000000").await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("there is no such run"), "{said}");
    let (status, said) = requeue("run-1").await;
    assert_eq!(status.code(), Some(2), "{said}");
}
