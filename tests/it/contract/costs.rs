//! What models took and what it cost: of a run, and of a user by day.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::{Options, TestSystem, file};

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_days_are_told_with_their_cost() {
    let prices = "[scripted]\ninput = 2.0\ncached = 0.5\noutput = 10.0\n";
    let path = file("prices.toml", prices);
    let system = TestSystem::with(Options {
        api: vec!["--prices-file", path],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("list_tasks", json!({})).usage(1_000, 100));
    system.model.push(
        Turn::text("Nothing.")
            .usage(2_000, 50)
            .cached(1_000)
            .reasoning(40),
    );
    let answer = system.say("ada", "what is there?").await;
    let answer = answer.assert_ok();
    // The contract of this answer has no cost.
    assert!(answer["usage"].get("cost").is_none());
    let run = answer["run_id"].as_str().expect("a run");
    let view = system.get("ada", &format!("runs/{run}")).await;
    // (1,000 + 1,000) x 2 + 1,000 x 0.5 + 150 x 10, of a million.
    assert_eq!(view.assert_ok()["usage"]["cost"], 0.006);
    let usage = system.get("ada", "usage").await;
    let day = &usage.assert_ok()["usage"][0];
    assert_eq!(
        (&day["tokens"], &day["cost"]),
        (&json!(3_150), &json!(0.006))
    );
    let of_day = (&day["cached_input_tokens"], &day["reasoning_tokens"]);
    assert_eq!(of_day, (&json!(1_000), &json!(40)));
    let models = json!([{"model": "scripted", "model_calls": 2, "input_tokens": 3_000, "cached_input_tokens": 1_000, "output_tokens": 150, "reasoning_tokens": 40, "cost": 0.006}]);
    assert_eq!(day["models"], models);
    let others = system.get("bob", "usage").await;
    assert_eq!(others.assert_ok()["usage"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prices_nothing_is_said_of_cost() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello.").usage(10, 1));
    let answer = system.say("ada", "hello").await;
    let run = answer.assert_ok()["run_id"]
        .as_str()
        .expect("a run")
        .to_owned();
    let view = system.get("ada", &format!("runs/{run}")).await;
    assert!(view.assert_ok()["usage"].get("cost").is_none());
    let usage = system.get("ada", "usage").await;
    let day: &Value = &usage.assert_ok()["usage"][0];
    assert!(day.get("cost").is_none() && day["models"][0].get("cost").is_none());
    assert_eq!(day["models"][0]["input_tokens"], 10);
}
