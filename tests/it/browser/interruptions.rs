//! Reloads, lost connections, dead workers: nothing that was said is lost or doubled.

use std::time::Duration;

use errand_devkit::{
    model::{Gate, Turn},
    proxy::Proxy,
};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{by_name, chrome::Browser};
use crate::system::{Options, TestSystem};

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_in_mid_stream_loses_and_doubles_nothing() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let gate = Gate::closed();
    let reply = "one two three four five six";
    system.model.push(Turn::text(reply).gate_after(4, &gate));

    browser.sign_in(&system.url, "ada").await;
    browser.say("count to six").await;
    let part = "one two three";
    browser
        .sees("the first half", |seen| seen.reads(part, reply))
        .await;
    browser.reload().await;
    browser
        .sees("the first half again", |seen| {
            seen.reads(part, reply) && seen.messages == ["count to six"] && seen.can_stop
        })
        .await;
    gate.open();
    browser
        .sees("the whole reply", |seen| {
            seen.reads(reply, reply) && !seen.can_stop
        })
        .await;
    browser.reload().await;
    browser
        .sees("the whole reply, stored", |seen| {
            seen.reads(reply, reply) && seen.messages == ["count to six"]
        })
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_seconds_without_a_network_lose_and_double_nothing() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let network = Proxy::open(&format!("{}/", system.url))
        .await
        .expect("a proxy");
    let (before, behind) = (Gate::closed(), Gate::closed());
    let reply = "one two three four five six";
    system.model.push(
        Turn::text(reply)
            .gate_after(3, &before)
            .gate_after(5, &behind),
    );

    browser.sign_in(network.url(), "ada").await;
    browser.say("count to six").await;
    browser
        .sees("the first words", |seen| seen.reads("one two", reply))
        .await;
    let cut = Instant::now();
    network.close();
    // Words that come while nobody can hear them.
    before.open();
    behind.reached(1).await.expect("the second gate");
    browser
        .sees("that the connection is gone", |seen| {
            seen.connection.contains("Reconnecting")
        })
        .await;
    sleep_until(cut + Duration::from_secs(5)).await;
    let seen = browser.look().await;
    assert!(seen.connection.contains("Reconnecting"), "{seen:?}");
    assert!(seen.reads("one two", reply), "{seen:?}");
    network.reopen();
    browser
        .sees("the words missed", |seen| {
            seen.reads("one two three four", reply)
        })
        .await;
    behind.open();
    browser
        .sees("the whole reply and no trouble", |seen| {
            seen.reads(reply, reply) && seen.connection.is_empty() && !seen.can_stop
        })
        .await;
    assert_eq!(browser.look().await.messages, ["count to six"]);
    browser
        .end(&["net::ERR_", "WebSocket connection to 'ws://"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_no_words_behind() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..by_name()
    })
    .await;
    let (lost, second) = (Gate::closed(), Gate::closed());
    system
        .model
        .push(Turn::call("add_task", json!({"title": "once"})));
    system
        .model
        .push(Turn::text("these words are lost").gate_after(3, &lost));
    let reply = "And this is the answer.";
    system.model.push(Turn::text(reply).gate_after(3, &second));
    let more = [("LEASE_TIMEOUT", "1s")];
    let mut doomed = system.worker_process(&more).await;
    doomed.until_says("taking runs").await;

    browser.sign_in(&system.url, "ada").await;
    browser.say("go").await;
    browser
        .sees("words of the first worker", |seen| {
            seen.replies == ["these words"]
        })
        .await;
    doomed.kill().await;
    let _other = system.worker_process(&more).await;
    browser
        .sees("words of the second worker only", |seen| {
            seen.replies == ["And this"] && seen.notices.iter().any(|it| it.contains("attempt 2"))
        })
        .await;
    second.open();
    browser
        .sees("the answer", |seen| {
            seen.reads(reply, reply) && !seen.can_stop
        })
        .await;
    let seen = browser.look().await;
    assert_eq!(seen.notices, [""; 0]);
    assert_eq!(seen.tools, ["Added “once”, done"]);
    assert_eq!(seen.tasks, ["once"]);
    assert_eq!(system.titles("ada").await, ["once"]);
    // And so it is stored.
    browser.reload().await;
    browser
        .sees("the answer, stored", |seen| {
            seen.reads(reply, reply) && seen.tools == ["Added “once”, done"]
        })
        .await;
    browser.end(&[]).await;
}
