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

const NEXT: &str = "return [...document.querySelectorAll('.follow-up')].filter((it) => it.checkVisibility()).map((it) => it.innerText).join('|')";

/// The page's own ways to begin, and what it offers below the last reply, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_planned_a_head_is_emptied_and_what_comes_next_is_offered() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    let prompts =
        "return [...document.querySelectorAll('.prompt')].map((it) => it.innerText).join('|')";
    browser.shows(prompts, "Plan my day|Empty your head").await;
    let beside = "return String(document.querySelectorAll('.suggestion').length)";
    browser.shows(beside, "4").await;
    // What is on one's mind goes on behind the words in the box.
    browser.click(".prompt:nth-child(2)").await;
    let begun = "Here is everything that is on my mind. Make a task of each thing, with a date only where I name one:\n";
    browser.shows(TYPED, begun).await;
    browser.picture("prompts").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("It is on your list."));
    browser.type_into("#composer-text", "milk\u{E007}").await;
    browser
        .sees("what was sent", |seen| {
            seen.messages == [format!("{begun}milk")] && seen.replies == ["It is on your list."]
        })
        .await;
    browser
        .shows(NEXT, "Make “buy milk” due tomorrow|Undo that")
        .await;
    browser.picture("follow-ups").await;
    system.model.push(Turn::text("Taken back."));
    browser.click(".follow-up:nth-child(2)").await;
    browser
        .sees("what was sent", |seen| {
            seen.messages.last().is_some_and(|it| it == "Undo that") && seen.replies.len() == 2
        })
        .await;
    // Nothing was done, so nothing is offered; and what was offered before is past.
    browser.shows(NEXT, "").await;

    browser.click("#new-conversation").await;
    system
        .model
        .push(Turn::call("list_tasks", json!({"view": "today"})));
    system.model.push(Turn::text("Nothing is due."));
    browser.click(".prompt:nth-child(1)").await;
    browser
        .sees("the plan", |seen| {
            seen.messages.len() == 1 && seen.messages[0].starts_with("Plan my day: look at")
        })
        .await;
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
