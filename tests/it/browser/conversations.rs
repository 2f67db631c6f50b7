//! The list of conversations: renamed, deleted, searched, titled; in this window, in others, and on the server.

use errand_devkit::model::{Gate, Turn};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::{Answer, TestSystem, rows};

const TITLES: &str = "return [...document.querySelectorAll('.conversation-title')].filter((it) => it.checkVisibility()).map((it) => it.innerText).join()";
const HEADING: &str = "return document.querySelector('#chat-title').innerText";
const MORE: &str = ".conversation-more";
const BOX: &str = ".conversation-box";
const FOCUSED: &str = "return document.activeElement.innerText || document.activeElement.id";
/// Keys of the WebDriver protocol.
const ENTER: char = '\u{E007}';
const ESCAPE: char = '\u{E00C}';
const F2: char = '\u{E032}';

/// Chooses from the menu of the first conversation.
async fn choose(browser: &Browser, item: usize) {
    // As the mouse does, without one.
    browser
        .script(&format!("document.querySelector('{MORE}').click()"))
        .await;
    browser
        .click(&format!(".menu-item:nth-child({item})"))
        .await;
}

/// What is said in place of a conversation, or below it.
const NOTICE: &str = "return document.querySelector('.welcome-title')?.innerText ?? ''";

/// A page on which one conversation has been begun.
async fn begin(browser: &Browser, system: &TestSystem, message: &str) {
    browser.sign_in(&system.url, "ada").await;
    greet(browser, system, message).await;
}

async fn greet(browser: &Browser, system: &TestSystem, message: &str) {
    system.model.push(Turn::text("Hello."));
    browser.say(message).await;
    browser
        .sees("the reply", |seen| {
            seen.replies == ["Hello."] && !seen.can_stop
        })
        .await;
    browser.shows(TITLES, message).await;
}

/// A title that is longer than its row ends with an ellipsis, and the list does not move sideways for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_title_is_cut_where_its_row_ends() {
    const WIDER: &str =
        "return [...document.querySelectorAll('.conversation-groups, .conversation-title')]
        .map((it) => it.scrollWidth > it.clientWidth).join()";
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let title = "add water the plants every day, starting tomorrow at noon";
    begin(&browser, &system, title).await;
    // Not the list, but the title in it.
    browser.shows(WIDER, "false,true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_reaches_the_server_and_a_second_window() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let first = browser.window().await;
    let second = browser.new_window().await;
    begin(&browser, &system, "hi").await;
    let address = browser.address().await;
    browser.look_at(&second).await;
    browser.open(&address).await;
    browser.shows(TITLES, "hi").await;
    browser.look_at(&first).await;

    // In its place, by mouse; and by keys, which leave the focus where it was.
    choose(&browser, 1).await;
    browser
        .type_into(BOX, &format!("Shopping, 🛒{ENTER}"))
        .await;
    for window in [&first, &second] {
        browser.look_at(window).await;
        browser.shows(TITLES, "Shopping, 🛒").await;
        browser.shows(HEADING, "Shopping, 🛒").await;
    }
    let stored = "select count(*) from conversations where title = 'Shopping, 🛒'";
    system.until(stored, 1).await;
    browser.look_at(&first).await;
    browser.shows(FOCUSED, "Shopping, 🛒").await;
    browser.press(&F2.to_string()).await;
    browser.picture("rename").await;
    browser.type_into(BOX, &format!("not this{ESCAPE}")).await;
    browser.shows(TITLES, "Shopping, 🛒").await;
    browser.shows(FOCUSED, "Shopping, 🛒").await;

    // A name that cannot be seen is none: the server says so, and the page goes back to what is true.
    browser.press(&F2.to_string()).await;
    browser.type_into(BOX, &format!("\u{200b}{ENTER}")).await;
    let problem = "return [...document.querySelectorAll('.row-problem')].filter((it) => it.checkVisibility()).map((it) => it.innerText.split('.')[0]).join()";
    browser.shows(problem, "It keeps its name").await;
    browser.shows(TITLES, "Shopping, 🛒").await;
    assert_eq!(system.count(stored).await, 1);
    browser.end(&["400"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_asks_first_and_is_told_in_a_second_window() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    let first = browser.window().await;
    let second = browser.new_window().await;
    begin(&browser, &system, "add milk").await;
    let address = browser.address().await;
    browser.look_at(&second).await;
    browser.open(&address).await;
    browser
        .sees("it", |seen| seen.messages == ["add milk"])
        .await;
    browser.look_at(&first).await;

    let question = "return document.querySelector('dialog[open] h2')?.innerText ?? ''";
    choose(&browser, 2).await;
    browser.shows(question, "Delete “add milk”?").await;
    // The answer that changes nothing is the one that Enter gives.
    browser.shows(FOCUSED, "Keep").await;
    browser.picture("delete").await;
    browser.press(&ENTER.to_string()).await;
    browser.shows(question, "").await;
    browser.shows(FOCUSED, "add milk").await;
    let kept = "select count(*) from conversations where deleted_at is null";
    assert_eq!(system.count(kept).await, 1);

    choose(&browser, 2).await;
    browser.click("dialog[open] .danger-button").await;
    browser.shows(TITLES, "").await;
    assert_eq!(system.count(kept).await, 0);
    browser.shows("return location.hash", "#/").await;
    browser.shows(NOTICE, "What needs doing, ada?").await;
    browser.shows(FOCUSED, "composer-text").await;
    browser.look_at(&second).await;
    browser.shows(NOTICE, "This conversation was deleted").await;
    browser.shows(TITLES, "").await;
    let composer = "return String(document.querySelector('#composer').checkVisibility())";
    browser.shows(composer, "false").await;
    browser.picture("deleted").await;
    // Its tasks stay; and coming back to it does not bring it back.
    assert_eq!(browser.look().await.tasks, ["buy milk"]);
    browser.reload().await;
    browser.shows(NOTICE, "Nothing here").await;
    browser.end(&["404"]).await;
}

/// Deletes the one conversation there is, from another device.
async fn delete_elsewhere(system: &TestSystem) {
    let id: String = sqlx::query_scalar("select id::text from conversations")
        .fetch_one(&system.db)
        .await
        .expect("the conversation");
    let path = format!("conversations/{id}");
    let deleted = Answer::of(system.request(Method::DELETE, "ada", &path)).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
}

/// What the message box holds.
const TYPED: &str = "return document.querySelector('#composer-text').value";

/// A device that this one hears nothing of: by the answer to a message it learns that the conversation is gone.
#[tokio::test(flavor = "multi_thread")]
async fn words_for_a_conversation_that_is_gone_are_not_lost() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.sign_in(&system.url, "ada").await;
    // The list, which would tell, is read again some seconds after a first reply; from now on it never comes.
    let deaf = "
        const real = window.fetch;
        window.fetch = (url, ...rest) => String(url).includes('/conversations?') ? new Promise(() => {}) : real(url, ...rest);";
    browser.script(deaf).await;
    greet(&browser, &system, "hi").await;
    delete_elsewhere(&system).await;
    browser.say("a long thought").await;
    browser.shows(NOTICE, "This conversation was deleted").await;
    let seen = browser.look().await;
    assert_eq!(seen.messages, ["hi", "a long thought"]);
    browser.click("#new-conversation").await;
    browser.shows(TYPED, "a long thought").await;
    browser.end(&[]).await;
}

/// The page hears of it in the middle of a word.
#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_being_typed_outlive_their_conversation() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    begin(&browser, &system, "hi").await;
    browser.type_into("#composer-text", "a long th").await;
    delete_elsewhere(&system).await;
    browser
        .script("window.dispatchEvent(new Event('focus'))")
        .await;
    browser.shows(NOTICE, "This conversation was deleted").await;
    let kept = "return Object.entries(sessionStorage).filter(([key]) => key.includes('draft')).map(([, drafts]) => drafts).join()";
    browser.shows(kept, r#"[["new","a long th"]]"#).await;
    // The box is still there, or the rest of the word would be taken for commands.
    browser.press("ought").await;
    browser.shows(TYPED, "a long thought").await;
    browser.picture("deleted-while-typing").await;
    browser.reload().await;
    browser.click("#new-conversation").await;
    browser.shows(TYPED, "a long thought").await;
    browser.end(&["404"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_was_said() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    for (message, reply) in [
        ("where is the key?", "Under the Doormat."),
        ("something else", "Yes."),
    ] {
        system.model.push(Turn::text(reply));
        system.say("ada", message).await.assert_ok();
    }
    browser.sign_in(&system.url, "ada").await;
    browser
        .shows(TITLES, "something else,where is the key?")
        .await;
    let told = "return document.querySelector('.list-notice')?.innerText ?? ''";
    browser.type_into("#search", "doormat").await;
    browser.shows(TITLES, "where is the key?").await;
    browser.shows(told, "1 conversation").await;
    browser.picture("search").await;
    // Found is clicked, and stays to be found.
    browser.click("a.conversation").await;
    browser
        .sees("what was said", |seen| {
            seen.replies == ["Under the Doormat."]
        })
        .await;
    browser.shows(TITLES, "where is the key?").await;
    browser.type_into("#search", "s").await;
    let nothing = "Nothing is found for “doormats”. Titles and messages were searched.";
    browser.shows(told, nothing).await;
    browser.shows(TITLES, "").await;
    browser.picture("search-nothing").await;
    browser.type_into("#search", &ESCAPE.to_string()).await;
    browser
        .shows(TITLES, "something else,where is the key?")
        .await;
    browser.shows(told, "").await;
    browser.end(&[]).await;
}

/// A page of a search may be empty and not the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_looks_on_as_far_as_its_bound() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.open(&system.url).await;
    let story = |pages: &str| {
        format!(
            "return import('/ui/search.js').then(async ({{ Search }}) => {{
                const pages = {pages};
                let asked = 0;
                const row = (id) => ({{ id, title: id, updated_at: '' }});
                const search = new Search({{ conversations: async (cursor, {{ search }}) => {{
                    asked++;
                    const [rows, next] = pages(cursor, search);
                    return {{ conversations: rows.map(row), next_cursor: next }};
                }} }});
                const ended = () => new Promise((resolve) => search.addEventListener('change', () => search.state !== 'looking' && resolve()));
                search.find('nothing of this');
                const end = ended();
                search.find(' x ');
                await end;
                const first = `${{asked}} ${{search.state}} ${{search.rows.map(({{ id }}) => id).join()}}`;
                if (search.state !== 'paused') return first;
                const further = ended();
                search.goOn();
                await further;
                return `${{first}}, ${{asked}} ${{search.state}}`;
            }})"
        )
    };
    for (pages, told) in [
        // Empty ones in between, and the same one twice, as it was used meanwhile.
        (
            "(cursor, search) => [[['a'], []], [[], 'c'], [['b', search], 'd'], [['a'], null]].slice(1)['bcd'.indexOf(cursor ?? 'b')]",
            "3 done b,x,a",
        ),
        ("() => [[], null]", "1 done "),
        // Without an end: it stops by itself, and goes on when it is asked to.
        ("() => [[], 'more']", "20 paused , 40 paused"),
    ] {
        browser.shows(&story(pages), told).await;
    }
    browser.end(&[]).await;
}

/// The first message is the title until there is a better one.
#[tokio::test(flavor = "multi_thread")]
async fn a_better_title_is_taken_over() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let gate = Gate::closed();
    system.model.push(Turn::text("Hello.").gate_after(0, &gate));
    browser.sign_in(&system.url, "ada").await;
    browser.script("window.sentAt = performance.now()").await;
    let message = "please add milk and bread and so on";
    browser.say(message).await;
    browser.shows(TITLES, message).await;
    // It has read the list since the message was accepted; what comes now is found only by one that expects it.
    let read = "return String(performance.getEntriesByType('resource').some(({ name, startTime, responseEnd }) =>
        name.includes('/conversations?') && startTime > window.sentAt + 300 && responseEnd > 0))";
    browser.shows(read, "true").await;
    rows::execute(&system.db, "update conversations set title = 'Groceries'").await;
    gate.open();
    browser.shows(TITLES, "Groceries").await;
    browser.shows(HEADING, "Groceries").await;
    browser.end(&[]).await;
}
