//! What the page offers to be said: first messages, and a message that is said once more in other words.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;

const CHIPS: &str =
    "return [...document.querySelectorAll('.suggestion')].map((it) => it.innerText).join('|')";
const TYPED: &str = "return document.querySelector('#composer-text').value";
const EDIT: &str = "document.querySelector('.is-last-said .edit').click()";

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_fit_the_list_and_send_on_a_click() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    let for_an_empty_list = "Add call Ann tomorrow at 5|Pay rent on the 1st of every month|Buy milk, eggs and bread today|Water the plants every Sunday";
    browser.shows(CHIPS, for_an_empty_list).await;
    browser.picture("suggestions").await;
    // What is typed stays typed.
    browser.type_into("#composer-text", "half a thought").await;
    system.model.push(
        Turn::call(
            "add_task",
            json!({"title": "pay the rent", "due_date": "2020-01-01"}),
        )
        .and_call("add_task", json!({"title": "call Ann"})),
    );
    system.model.push(Turn::text("Done."));
    browser.click(".suggestion:nth-child(2)").await;
    browser
        .sees("what was sent", |seen| {
            seen.messages == ["Pay rent on the 1st of every month"] && seen.replies == ["Done."]
        })
        .await;
    browser.shows(TYPED, "half a thought").await;

    browser.click("#new-conversation").await;
    let for_this_list = "Move what is overdue to tomorrow|What is due today?|What else is on my list?|Add call Ann tomorrow at 5";
    browser.shows(CHIPS, for_this_list).await;
    browser.picture("suggestions-overdue").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_message_is_edited_and_sent_as_another() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    for (message, reply) in [("first", "One."), ("buy milc", "Two.")] {
        system.model.push(Turn::text(reply));
        browser.say(message).await;
        browser
            .sees(reply, |seen| {
                seen.replies.last().is_some_and(|it| it == reply) && !seen.can_stop
            })
            .await;
    }
    let offered = "return String([...document.querySelectorAll('.edit')].filter((it) => it.checkVisibility()).length)";
    browser.shows(offered, "1").await;
    let note = "return [...document.querySelectorAll('.composer-editing')].filter((it) => it.checkVisibility()).map((it) => it.innerText.trim()).join()";
    // What was typed before comes back if it is not sent.
    browser.type_into("#composer-text", "a draft").await;
    browser.script(EDIT).await;
    browser.shows(TYPED, "buy milc").await;
    browser
        .shows(
            note,
            "Your edit is sent as a new message. The first one, and what it did, stay.",
        )
        .await;
    browser.picture("edit").await;
    browser.press("\u{E00C}").await;
    browser.shows(TYPED, "a draft").await;
    browser.shows(note, "").await;

    browser.script(EDIT).await;
    browser.shows(TYPED, "buy milc").await;
    system.model.push(Turn::text("Three."));
    browser
        .type_into("#composer-text", "\u{E003}k\u{E007}")
        .await;
    browser
        .sees("both", |seen| {
            seen.messages == ["first", "buy milc", "buy milk"]
                && seen.replies == ["One.", "Two.", "Three."]
        })
        .await;
    browser.shows(note, "").await;
    let stored = "select count(*) from messages where role = 'user'";
    assert_eq!(system.count(stored).await, 3);
    browser.end(&[]).await;
}
