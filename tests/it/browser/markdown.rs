//! Replies as they are set: tables on a phone, code to copy, words from right to left.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;

const TABLE: &str = "
| Appointment | Responsibility | Municipality | Notes |
| --- | --- | --- | --- |
| Refrigerator maintenance | Administration | Fürstenfeldbruck | Bring the documentation and the identification |
| Groceries | Ann | Berlin | Milk |
";

/// Words of the table that are set on two lines.
const SPLIT: &str = "
    const split = [];
    const walker = document.createTreeWalker(document.querySelector('.md table'), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        for (const { index, 0: word } of node.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + word.length);
            if (range.getClientRects().length > 1) split.push(word);
        }
    }
    return split.join();
";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_a_phone_splits_no_word_and_scrolls_in_its_own_box() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::text(format!("Here they are:\n{TABLE}")));
    browser.sign_in(&system.url, "ada").await;
    browser.be_a_phone().await;
    browser.say("as a table").await;
    browser
        .sees("the table", |seen| {
            seen.replies.iter().any(|it| it.contains("Milk")) && !seen.can_stop
        })
        .await;
    browser.picture("table-phone").await;
    browser.shows(SPLIT, "").await;
    let widths = "
        const wider = (selector) => {
            const { scrollWidth, clientWidth } = document.querySelector(selector);
            return scrollWidth > clientWidth;
        };
        return [wider('.md .table'), wider('#scroller'), wider('html')].join();";
    browser.shows(widths, "true,false,false").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_copied_with_a_button_and_that_is_said() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let code = "cargo dev\ncargo test";
    let reply = format!("Try this:\n\n```sh\n{code}\n```\n\nor\n\n- this:\n\n  ```\n  ls\n  ```\n");
    system.model.push(Turn::text(reply));
    browser.sign_in(&system.url, "ada").await;
    browser.say("how?").await;
    browser
        .sees("the reply", |seen| {
            seen.replies.iter().any(|it| it.contains("ls")) && !seen.can_stop
        })
        .await;
    let buttons = "return String(document.querySelectorAll('.md button[aria-label=\"Copy the code\"]').length)";
    browser.shows(buttons, "2").await;
    // By the keyboard: it is the next stop behind the code.
    let focus = "document.querySelector('.md pre').focus()";
    browser.script(focus).await;
    browser.press("\u{E004}\u{E007}").await;
    let said = "return document.querySelector('#announcer').innerText";
    browser.shows(said, "Copied").await;
    browser.picture("code").await;
    browser
        .type_into("#composer-text", "\u{E009}v\u{E000}")
        .await;
    let typed = "return document.querySelector('#composer-text').value";
    browser.shows(typed, code).await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_from_right_to_left_run_so_wherever_they_stand() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let (message, title) = ("תוסיף לקנות חלב", "לקנות חלב");
    system
        .model
        .push(Turn::call("add_task", json!({"title": title})));
    let reply = "החלב ברשימה.\n\n- אחד\n- שתיים\n\nAnd in English.\n\n```\nlet x = 1;\n```";
    system.model.push(Turn::text(reply));
    browser.sign_in(&system.url, "ada").await;
    browser.say(message).await;
    browser
        .sees("the reply and the task", |seen| {
            seen.replies.iter().any(|it| it.contains("let x")) && seen.tasks == [title]
        })
        .await;
    browser.type_into("#composer-text", "שלום").await;
    let directions = "
        const way = (selector) => {
            const element = document.querySelector(selector);
            return element ? getComputedStyle(element).direction : `no ${selector}`;
        };
        return ['.bubble', '.md > p', '.md > ul', '.md > p:nth-of-type(2)', '.md pre', '.task-title', '.conversation-title',
            '#chat-title', '#composer-text'].map(way).join();";
    browser
        .shows(directions, "rtl,rtl,rtl,ltr,ltr,rtl,rtl,rtl,rtl")
        .await;
    browser.picture("right-to-left").await;
    browser.end(&[]).await;
}
