//! Words that were typed and not sent: whose they are, how long they last, and what may not take them.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;

const BOX: &str = "#composer-text";
const TYPED: &str = "return document.querySelector('#composer-text')?.value ?? 'no box'";
const NEW: &str = "#new-conversation";

/// Everything that the page has stored about drafts, on this machine.
const STORED: &str = "
    const stores = [localStorage, sessionStorage];
    return stores.flatMap((store) => Object.entries(store)).filter(([key]) => key.includes('draft')).map((entry) => entry.join(' ')).join();
";

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_stays_in_its_conversation_and_outlives_a_reload() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system.model.push(Turn::text("Hello."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("hi").await;
    browser
        .sees("the reply", |seen| {
            seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;
    browser.shows(TYPED, "").await;
    browser.type_into(BOX, "half a thought").await;
    let first = browser.address().await;

    browser.click(NEW).await;
    browser.shows(TYPED, "").await;
    browser.type_into(BOX, "quite another").await;
    browser.click("a.conversation").await;
    browser.shows(TYPED, "half a thought").await;
    browser.reload().await;
    browser.shows(TYPED, "half a thought").await;
    browser.click(NEW).await;
    browser.shows(TYPED, "quite another").await;
    browser.reload().await;
    browser.shows(TYPED, "quite another").await;

    // Sent is sent, and in the other conversation nothing was lost.
    system.model.push(Turn::text("I see."));
    browser.say("").await;
    browser
        .sees("the message and its reply", |seen| {
            seen.messages == ["quite another"] && seen.replies == ["I see."] && !seen.can_stop
        })
        .await;
    browser.shows(TYPED, "").await;
    browser.reload().await;
    browser
        .sees("the stored message", |seen| {
            seen.messages == ["quite another"]
        })
        .await;
    browser.shows(TYPED, "").await;
    browser.click(NEW).await;
    browser.shows(TYPED, "").await;
    browser.open(&first).await;
    browser.shows(TYPED, "half a thought").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_nobody_elses() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    browser.type_into(BOX, "a secret of ada").await;
    browser.reload().await;
    browser.shows(TYPED, "a secret of ada").await;
    browser.click("#sign-out").await;
    // Waits for the name to be asked for.
    browser.type_into("#sign-in-name", "").await;
    browser.shows(STORED, "").await;
    browser.sign_in(&system.url, "bob").await;
    browser.shows(TYPED, "").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_windows_take_no_draft_from_each_other() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let first = browser.window().await;
    let second = browser.new_window().await;
    browser.sign_in(&system.url, "ada").await;
    browser.type_into(BOX, "the first").await;
    browser.look_at(&second).await;
    browser.open(&system.url).await;
    // A window that is opened finds what was typed last.
    browser.shows(TYPED, "the first").await;
    browser.type_into(BOX, " and the second").await;
    browser.look_at(&first).await;
    browser.reload().await;
    browser.shows(TYPED, "the first").await;
    system.model.push(Turn::text("Hello."));
    browser.say("").await;
    browser
        .sees("the reply", |seen| {
            seen.messages == ["the first"] && seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;
    browser.shows(TYPED, "").await;
    browser.reload().await;
    browser
        .sees("the same", |seen| seen.replies == ["Hello."])
        .await;
    browser.shows(TYPED, "").await;
    browser.look_at(&second).await;
    browser.reload().await;
    browser.shows(TYPED, "the first and the second").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_write_about_a_task_takes_no_word_of_a_draft() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    for title in ["buy milk", "call Ann"] {
        system
            .model
            .push(Turn::call("add_task", json!({"title": title})));
        system.model.push(Turn::text("Added."));
        system.say("ada", title).await;
    }
    browser.sign_in(&system.url, "ada").await;
    let write_about = async |place: usize| {
        let task = format!("[aria-label='Open tasks'] .task:nth-child({place}) .task-open");
        browser.click(&task).await;
        browser.click(".task-mention").await;
    };
    // In an empty box it begins the sentence, and what it began makes way for another.
    write_about(1).await;
    browser.shows(TYPED, "Mark “buy milk” as done").await;
    write_about(2).await;
    browser.shows(TYPED, "Mark “call Ann” as done").await;
    browser
        .script("document.querySelector('#composer-text').select()")
        .await;

    browser.type_into(BOX, "\u{E003}Remind me of tonight").await;
    browser.shows(TYPED, "Remind me of tonight").await;
    let cursor = "document.querySelector('#composer-text').setSelectionRange(12, 12)";
    browser.script(cursor).await;
    write_about(2).await;
    browser
        .shows(TYPED, "Remind me of “call Ann” tonight")
        .await;
    // One step back, as with anything typed.
    browser.type_into(BOX, "\u{E009}z\u{E000}").await;
    browser.shows(TYPED, "Remind me of tonight").await;
    browser.reload().await;
    browser.shows(TYPED, "Remind me of tonight").await;
    browser.end(&[]).await;
}
