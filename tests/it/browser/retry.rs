//! What is offered when an answer did not come to its end: going on behind what has taken effect, never all of it again.

use errand_devkit::{model::Turn, proxy::Proxy};
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::{Options, TestSystem};

/// The buttons at the ends of the turns.
const OFFERED: &str = "return [...document.querySelectorAll('.turn-end button')].map((button) => button.innerText).join()";
const AGAIN: &str = ".turn-end button";
const FOUR: [&str; 4] = ["one", "two", "three", "four"];

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_the_rest_is_done_and_nothing_twice() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let mut calls = Turn::call("add_task", json!({"title": "one"}));
    for title in &FOUR[1..] {
        calls = calls.and_call("add_task", json!({"title": title}));
    }
    system.model.push(calls);
    system
        .model
        .push(Turn::text("Now there are four more").stall_after(4));

    browser.sign_in(&system.url, "ada").await;
    browser.say("add four").await;
    let part = "Now there are";
    browser
        .sees("the first words", |seen| seen.replies == [part])
        .await;
    browser.click("[aria-label='Stop the answer']").await;
    browser.shows(OFFERED, "Continue").await;
    // Stored messages say nothing about how a run ended.
    browser.reload().await;
    browser
        .sees("the stopped turn", |seen| {
            seen.replies == [part] && seen.tools == ["Added 4 tasks, done"]
        })
        .await;
    browser.shows(OFFERED, "Continue").await;
    browser.picture("continue").await;
    let other = browser.new_window().await;
    let first = browser.window().await;
    let address = browser.address().await;
    browser.look_at(&other).await;
    browser.open(&address).await;
    browser.shows(OFFERED, "Continue").await;
    browser.look_at(&first).await;

    system.model.push(Turn::text("All four are there."));
    browser.click(AGAIN).await;
    for window in [&first, &other] {
        browser.look_at(window).await;
        let what = "one message, the first words and what goes on behind them";
        browser
            .sees(what, |seen| {
                seen.messages == ["add four"]
                    && seen.replies == [part, "All four are there."]
                    && seen.notices == ["Stopped."]
                    && seen.tools == ["Added 4 tasks, done"]
                    && !seen.can_stop
            })
            .await;
        browser.shows(OFFERED, "").await;
    }
    assert_eq!(system.titles("ada").await, FOUR);
    browser.picture("continued").await;
    browser.reload().await;
    browser
        .sees("the same, stored", |seen| {
            seen.messages == ["add four"]
                && seen.replies == [part, "All four are there."]
                && seen.notices == ["Stopped."]
        })
        .await;
    browser.shows(OFFERED, "").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_without_an_effect_it_is_tried_again_for_the_same_message() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    // The model has nothing to say: a 400.
    browser.sign_in(&system.url, "ada").await;
    browser.say("hello?").await;
    browser.shows(OFFERED, "Try again").await;
    browser.click(AGAIN).await;
    // It fails once more, behind the first; only the last can be gone on from.
    let failed = "select count(*) from runs where status = 'failed'";
    system.until(failed, 2).await;
    browser
        .sees("both failures", |seen| seen.notices.len() == 2)
        .await;
    browser.shows(OFFERED, "Try again").await;
    browser.reload().await;
    browser
        .sees("both failures, stored", |seen| {
            seen.notices.len() == 2 && seen.messages == ["hello?"]
        })
        .await;
    browser.shows(OFFERED, "Try again").await;

    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system
        .model
        .push(Turn::text("Hello.").error_after(0, 400, "this model has gone"));
    browser.click(AGAIN).await;
    // Now something has happened.
    browser.shows(OFFERED, "Continue").await;
    browser.reload().await;
    browser.shows(OFFERED, "Continue").await;
    system.model.push(Turn::text("Here I am."));
    browser.click(AGAIN).await;
    browser
        .sees("the reply to the one message", |seen| {
            seen.messages == ["hello?"] && seen.replies == ["Here I am."] && !seen.can_stop
        })
        .await;
    assert_eq!(browser.look().await.tasks, ["buy milk"]);
    let messages = "select count(*) from messages where role = 'user'";
    assert_eq!(system.count(messages).await, 1);
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_never_accepted_is_sent_again_as_it_was() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut options: Options = by_name();
    options.api.extend(["--rate-runs-per-minute", "1"]);
    let system = TestSystem::with(options).await;
    system.model.push(Turn::text("Hello."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("hi").await;
    browser
        .sees("the reply", |seen| {
            seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;
    browser.say("and another").await;
    browser.shows(OFFERED, "Try again").await;
    // The minute is over.
    let earlier = "update runs set created_at = created_at - interval '2 minutes'";
    crate::system::rows::execute(&system.db, earlier).await;
    system.model.push(Turn::text("Yes?"));
    browser.click(AGAIN).await;
    browser
        .sees("both, once", |seen| {
            seen.messages == ["hi", "and another"] && seen.replies == ["Hello.", "Yes?"]
        })
        .await;
    browser.shows(OFFERED, "").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_without_a_network_waits_for_one() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let network = Proxy::open(&format!("{}/", system.url))
        .await
        .expect("a proxy");
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("It is there").stall_after(3));
    browser.sign_in(network.url(), "ada").await;
    browser.say("add buy milk").await;
    browser
        .sees("the first words", |seen| seen.replies == ["It is"])
        .await;
    browser.click("[aria-label='Stop the answer']").await;
    browser.shows(OFFERED, "Continue").await;
    network.close();
    browser
        .sees("that the connection is gone", |seen| {
            seen.connection.contains("Reconnecting")
        })
        .await;
    system.model.push(Turn::text("It is on the list."));
    browser.click(AGAIN).await;
    let waits = "return [...document.querySelectorAll('.waiting')].filter((it) => it.checkVisibility()).map((it) => it.innerText.split('.')[0]).join()";
    browser.shows(waits, "Not sent yet").await;
    browser.shows(OFFERED, "").await;
    network.reopen();
    browser
        .sees("what goes on", |seen| {
            seen.messages == ["add buy milk"] && seen.replies == ["It is", "It is on the list."]
        })
        .await;
    browser.shows(waits, "").await;
    assert_eq!(system.count("select count(*) from runs").await, 2);
    browser
        .end(&["net::ERR_", "WebSocket connection to 'ws://"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_counts_when_the_rest_fails() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "add_task"],
        ..by_name()
    })
    .await;
    browser.sign_in(&system.url, "ada").await;
    for (answer, offer) in [(".reject", "Try again"), (".approve", "Continue")] {
        browser.click("#new-conversation").await;
        system
            .model
            .push(Turn::call("add_task", json!({"title": "buy milk"})));
        browser.say("add buy milk").await;
        // Behind the decision the model has nothing to say.
        browser.click(&format!(".approval {answer}")).await;
        browser.shows(OFFERED, offer).await;
        browser.reload().await;
        browser
            .sees("the stored turn", |seen| {
                seen.messages == ["add buy milk"] && seen.tools.len() == 1
            })
            .await;
        browser.shows(OFFERED, offer).await;
    }
    system.model.push(Turn::text("It is on the list."));
    browser.click(AGAIN).await;
    browser
        .sees("the reply", |seen| {
            seen.replies == ["It is on the list."] && seen.messages == ["add buy milk"]
        })
        .await;
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    browser.end(&[]).await;
}
