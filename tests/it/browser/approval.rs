//! An approval on the page: asked in one window, answered in another after a reload.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::{Options, TestSystem};

const QUESTION: &str = "return [...document.querySelectorAll('.approval-question')].map((words) => words.innerText).join()";
const CHANGES: &str = "return [...document.querySelectorAll('.approval-changes li')].map((change) => change.innerText).join('|')";
const ANSWERS: &str =
    "return [...document.querySelectorAll('.approval button')].map((it) => it.innerText).join()";

#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_a_reload_and_is_answered_from_another_window() {
    let (Some(asking), Some(answering)) = (Browser::start().await, Browser::start().await) else {
        return;
    };
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..by_name()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add buy milk").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));

    asking.sign_in(&system.url, "ada").await;
    asking.say("delete it").await;
    asking.shows(QUESTION, "Delete “buy milk”?").await;
    let place = asking.script("return location.href").await;
    // What the answers do is what they say; and the one that takes something away looks like it.
    let answers = "return [...document.querySelectorAll('.approval button')].map((it) => `${it.innerText} ${it.matches('.danger-button')}`).join()";
    asking.shows(answers, "Delete true,Keep false").await;
    let hint = "return document.querySelector('.approval-hint').innerText";
    asking.shows(hint, "It can be restored for 30 days.").await;
    asking.picture("approval").await;
    asking.reload().await;
    asking.shows(QUESTION, "Delete “buy milk”?").await;

    answering.sign_in(&system.url, "ada").await;
    answering.open(place.as_str().expect("an address")).await;
    answering.shows(QUESTION, "Delete “buy milk”?").await;
    system.model.push(Turn::text("It is gone."));
    answering.click(".approval .approve").await;
    for window in [&answering, &asking] {
        window
            .sees("the reply", |seen| seen.replies == ["It is gone."])
            .await;
        let seen = window.look().await;
        assert_eq!(seen.messages, ["delete it"]);
        assert_eq!(seen.tools, ["Deleted “buy milk”, done"]);
        window.shows(QUESTION, "").await;
    }
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    asking.reload().await;
    asking
        .sees("the stored turn", |seen| {
            seen.replies == ["It is gone."] && seen.tools.len() == 1
        })
        .await;
    asking.end(&[]).await;
    answering.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_has_not_failed() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..by_name()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add buy milk").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    browser.sign_in(&system.url, "ada").await;
    browser.say("delete it").await;
    browser.shows(QUESTION, "Delete “buy milk”?").await;
    system.model.push(Turn::text("It stays, then."));
    browser.click(".approval .reject").await;
    let state = "return [...document.querySelectorAll('.trouble')].map((line) => line.dataset.state).join()";
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.replies == ["It stays, then."] && seen.tools == ["Kept “buy milk”"]
            })
            .await;
        browser.shows(state, "rejected").await;
        browser.picture("rejected").await;
        browser.reload().await;
    }
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    browser.end(&[]).await;
}

/// Whatever a call says, the page asks about the task that would be overwritten, in the server's words for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_overwritten_is_named_first_and_texts_are_no_markup() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "update_task"],
        ..by_name()
    })
    .await;
    let precious = json!({"title": "call the <i>doctor</i>", "description": "on Monday"});
    system.model.push(Turn::call("add_task", precious));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add it").await;
    let task = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let hostile =
        json!({"task_id": task, "title": "buy <b>milk</b>", "description": "", "completed": true});
    system.model.push(Turn::call("update_task", hostile));
    browser.sign_in(&system.url, "ada").await;
    browser.say("go on").await;
    for look in ["live", "stored"] {
        browser
            .shows(QUESTION, "Change “call the <i>doctor</i>”?")
            .await;
        let changes = [
            "Title: “call the <i>doctor</i>” → “buy <b>milk</b>”",
            "Details: “on Monday” → nothing",
            "Done: no → yes",
        ];
        browser.shows(CHANGES, &changes.join("|")).await;
        browser.shows(ANSWERS, "Allow,Don’t").await;
        browser.picture(&format!("overwritten-{look}")).await;
        browser.reload().await;
    }
    system.model.push(Turn::text("It stays, then."));
    browser.click(".approval .reject").await;
    browser
        .sees("what was rejected", |seen| {
            seen.tools == ["Change “call the <i>doctor</i>”: you said no"]
        })
        .await;
    assert_eq!(system.titles("ada").await, ["call the <i>doctor</i>"]);
    browser.end(&[]).await;
}
