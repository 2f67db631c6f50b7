//! What operators see: metrics of API and worker, what an autoscaler is told, and that dashboards and alerts name metrics that there are.

use std::{collections::BTreeSet, net::TcpListener, time::Duration};

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::{Answer, Options, PATIENCE, TestSystem, client, process};

/// A system whose worker has a port for its metrics; and that port.
async fn measured() -> (TestSystem, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let port_text: &'static str = Box::leak(port.to_string().into_boxed_str());
    let system = TestSystem::with(Options {
        worker: vec!["--metrics-port", port_text, "--worker-concurrency", "7"],
        ..Options::default()
    })
    .await;
    (system, port)
}

async fn scrape(url: &str) -> String {
    let response = client().get(url).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text().await.expect("text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The value of a sample by its name and labels, as they are written.
fn sample(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_measured_by_those_who_had_part_in_it() {
    let (system, port) = measured().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "a secret plan"})));
    system.model.push(Turn::text("Done."));
    system.say("ada", "add a secret plan").await.assert_ok();

    let worker = scrape(&format!("http://127.0.0.1:{port}/metrics")).await;
    for (name, value) in [
        ("errand_pickup_seconds_count", 1.0),
        ("errand_turn_seconds_count{outcome=\"completed\"}", 1.0),
        ("errand_first_token_seconds_count", 1.0),
        (
            "errand_model_request_seconds_count{model=\"scripted\",outcome=\"answered\"}",
            2.0,
        ),
        ("errand_tool_call_seconds_count{tool=\"add_task\"}", 1.0),
        ("errand_slots{state=\"busy\"}", 0.0),
        ("errand_slots{state=\"free\"}", 7.0),
        ("errand_panics_total", 0.0),
    ] {
        assert_eq!(sample(&worker, name), value, "{name}");
    }
    assert!(
        sample(
            &worker,
            "errand_model_tokens_total{model=\"scripted\",kind=\"output\"}"
        ) > 0.0
    );
    assert!(sample(&worker, "errand_pickup_seconds_sum") < 5.0);

    let api = scrape(&format!("{}/metrics", system.url)).await;
    let chat = "errand_http_request_seconds_count{method=\"POST\",route=\"/api/{user_id}/chat\",status=\"200\"}";
    for (name, value) in [
        (chat, 1.0),
        ("errand_database_up", 1.0),
        ("errand_runs_ready", 0.0),
        ("errand_workers", 1.0),
        ("errand_worker_slots", 7.0),
    ] {
        assert_eq!(sample(&api, name), value, "{name}");
    }
    for text in [&worker, &api] {
        assert!(!text.contains("secret") && !text.contains("ada"), "{text}");
    }
}

/// Where a turn's time goes, from the metrics of the processes that had part in it.
#[tokio::test(flavor = "multi_thread")]
async fn one_command_says_where_a_turns_time_goes() {
    let (system, port) = measured().await;
    let urls = [
        format!("{}/metrics", system.url),
        format!("http://127.0.0.1:{port}/metrics"),
    ];
    let times = async |more: &[&str]| {
        let mut arguments = vec!["times"];
        arguments.extend(more);
        arguments.extend(urls.iter().map(String::as_str));
        process::run("errand-api", &arguments, [("RUST_LOG", "off")]).await
    };
    let (status, said) = times(&[]).await;
    assert!(!status.success() && said.is_empty(), "{said}");

    let pause = Duration::from_millis(300);
    for _ in 0..2 {
        let call = Turn::call("add_task", json!({"title": "x"}));
        system.model.push(call.first_byte_after(pause));
        system.model.push(Turn::text("Done."));
        system.say("ada", "add x").await.assert_ok();
    }
    let (status, said) = times(&["--json"]).await;
    assert!(status.success(), "{said}");
    let seen: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(seen["turns"], 2.0, "{seen}");
    let parts = seen["parts"].as_array().expect("a list");
    let names: Vec<&str> = parts
        .iter()
        .filter_map(|part| part["part"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "accept", "queue", "history", "model", "step", "tool", "finish", "other", "deliver"
        ]
    );
    let number = |part: &str, what: &str| {
        let part = parts.iter().find(|line| line["part"] == part);
        part.and_then(|line| line[what].as_f64()).expect("a number")
    };
    for (part, times) in [
        ("accept", 1.0),
        ("queue", 1.0),
        ("model", 2.0),
        ("step", 1.0),
        ("tool", 1.0),
        ("finish", 1.0),
        ("deliver", 1.0),
    ] {
        assert_eq!(number(part, "times_a_turn"), times, "{part}: {seen}");
        assert!(number(part, "mean") > 0.0, "{part}: {seen}");
    }
    // The pause is the model's and nobody else's, and together the parts are the whole.
    assert!(
        number("model", "per_turn") >= 0.3 && number("tool", "per_turn") < 0.3,
        "{seen}"
    );
    assert!(number("other", "per_turn") < 0.3, "{seen}");
    let whole: f64 = names.iter().map(|part| number(part, "per_turn")).sum();
    assert!(
        (whole - seen["whole"].as_f64().expect("a number")).abs() < 1e-6,
        "{seen}"
    );
    let share: f64 = names.iter().map(|part| number(part, "share")).sum();
    assert!((share - 1.0).abs() < 1e-6, "{seen}");

    let (_, table) = times(&[]).await;
    assert!(
        table.contains("of 2 turns") && table.contains("\nmodel "),
        "{table}"
    );
    // Nothing happens while it looks.
    let (status, said) = times(&["--over", "100ms"]).await;
    assert!(!status.success(), "{said}");
}

/// Paths that somebody makes up are no labels.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_paths_make_no_metrics() {
    let system = TestSystem::start().await;
    let metrics = format!("{}/metrics", system.url);
    let before = scrape(&metrics).await.lines().count();
    for n in 0..50 {
        let response = client()
            .get(format!("{}/nothing/{n}", system.url))
            .send()
            .await;
        assert_eq!(response.expect("an answer").status(), 404);
    }
    scrape(&metrics).await;
    let after = scrape(&metrics).await;
    assert!(after.lines().count() < before + 100, "{after}");
    assert!(!after.contains("nothing"), "{after}");
}

async fn scaling(system: &TestSystem, query: &str) -> Answer {
    Answer::of(client().get(format!("{}/scaling{query}", system.url))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_is_told_what_waits() {
    let mut system = TestSystem::with(Options {
        workers: Some(0),
        worker: vec!["--worker-concurrency", "1"],
        ..Options::default()
    })
    .await;
    system.model.script(|_| Turn::text("Hi."));
    assert_eq!(
        scaling(&system, "").await.assert_ok()["suggested_workers"],
        0
    );
    for user in ["ada", "bob", "eve"] {
        let body = json!({"message": "hello"});
        let request = system
            .post_chat(user, &body)
            .header("prefer", "respond-async");
        assert_eq!(Answer::of(request).await.status, 202);
    }
    // What is told is at most five seconds old.
    let begun = tokio::time::Instant::now();
    let told = loop {
        let told = scaling(&system, "?target_pickup=60")
            .await
            .assert_ok()
            .clone();
        if told["ready"] == 3 {
            break told;
        }
        assert!(begun.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(
        (&told["running"], &told["slots"], &told["workers"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(told["suggested_workers"], 1);
    assert!(told["oldest_age_seconds"].as_f64() >= Some(0.0), "{told}");
    system.start_worker().await;
    let told = loop {
        let told = scaling(&system, "").await.assert_ok().clone();
        if told["workers"] == 1 && told["ready"] == 0 {
            break told;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(told["slots"], 1);
    for bad in [
        "?target_pickup=0",
        "?target_pickup=NaN",
        "?target_pickup=x",
        "?target=1",
    ] {
        scaling(&system, bad)
            .await
            .assert_error(400, "invalid_request");
    }
}

/// However often and by however many it is asked for, the queue is counted once in five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_counted_once_for_all_who_ask() {
    let system = TestSystem::start().await;
    let counted = "select count(*) from (select distinct measured_at from queue_state) q";
    scrape(&format!("{}/metrics", system.url)).await;
    let first: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select measured_at from queue_state")
            .fetch_one(&system.db)
            .await
            .expect("a state");
    // One client: to make thirty takes as long as an answer may.
    let client = client();
    let asks = (0..30).map(|n| {
        let url = match n % 2 {
            0 => format!("{}/metrics", system.url),
            _ => format!("{}/scaling", system.url),
        };
        let asked = client.get(url).send();
        async move { asked.await.expect("an answer").status() }
    });
    for status in futures::future::join_all(asks).await {
        assert_eq!(status, 200);
    }
    let last: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select measured_at from queue_state")
            .fetch_one(&system.db)
            .await
            .expect("a state");
    assert_eq!(system.count(counted).await, 1);
    assert!(
        last == first || last - first > chrono::Duration::seconds(5),
        "{first} {last}"
    );
}

/// Every metric that the dashboard and the alerts name is one that a process tells of.
#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_name_metrics_that_there_are() {
    let (system, port) = measured().await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": ""})));
    system.model.push(Turn::text("Done."));
    system.say("ada", "hello").await.assert_ok();
    let told = scrape(&format!("{}/metrics", system.url)).await
        + &scrape(&format!("http://127.0.0.1:{port}/metrics")).await;
    let known: BTreeSet<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let dashboard = include_str!("../../../docs/grafana-dashboard.json");
    let _: Value = serde_json::from_str(dashboard).expect("JSON");
    let alerts = include_str!("../../../docs/alerts.yml");
    let named: BTreeSet<&str> = [dashboard, alerts]
        .into_iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("errand_"))
        .collect();
    assert!(named.len() > 12, "{named:?}");
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| {
            let base = ["_total", "_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            !known.contains(name) && !base.is_some_and(|base| known.contains(base))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {known:?}");
}
