//! What the panel shows: views, tasks that repeat, a long list.

use serde_json::json;

use super::{super::chrome::Browser, LINES, TABS, UNDO_BAR, check, day, freely};
use crate::system::TestSystem;

#[tokio::test(flavor = "multi_thread")]
async fn views_have_what_their_names_say_and_the_tab_says_what_is_due() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    for (title, days) in [("late", -3), ("now", 0), ("soon", 2), ("far", 30)] {
        system
            .task(json!({"title": title, "due_date": day(days)}))
            .await;
    }
    system
        .task(json!({"title": "whenever", "tags": ["Home"]}))
        .await;
    let done = system
        .task(json!({"title": "done", "tags": ["home"]}))
        .await;
    system
        .mcp()
        .call(
            "ada",
            "complete_task",
            json!({"user_id": "ada", "task_id": done}),
        )
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser
        .shows(TABS, "Today 2, Upcoming 1, All 5, Done 1")
        .await;
    browser.shows("return document.title", "(2) Errand").await;
    let icon = "return document.querySelector('link[rel=icon]').href.startsWith('data:image/svg+xml') ? 'drawn' : ''";
    browser.shows(icon, "drawn").await;
    let titles = "return [...document.querySelectorAll('#tasks .task-title')].map((it) => it.textContent).join()";
    for (view, tasks) in [
        ("today", "late,now"),
        ("upcoming", "soon"),
        ("all", "late,now,soon,far,whenever"),
        ("done", "done"),
    ] {
        browser.click(&format!("#tab-{view}")).await;
        browser.shows(titles, tasks).await;
    }
    browser.click("#tab-today").await;
    browser
        .shows(LINES, "Overdue1\nlate | overdue by 3 days\nToday1\nnow")
        .await;
    // The view is remembered.
    browser.reload().await;
    browser.shows(titles, "late,now").await;

    // Found is what has the text, done or not.
    browser
        .click("#tasks [aria-label='Search all tasks']")
        .await;
    browser.type_into("#task-search", "don").await;
    browser.shows(LINES, "Done1\ndone | #home").await;
    browser.type_into("#task-search", "\u{E003}xt").await;
    browser
        .shows(
            "return document.querySelector('.tasks-empty-title')?.textContent ?? ''",
            "Nothing found",
        )
        .await;
    browser.press("\u{E00C}").await;
    browser.shows(titles, "late,now").await;

    browser.click("#tab-all").await;
    browser.click("#tasks .tag").await;
    browser.shows(titles, "whenever").await;
    browser.click("#tab-done").await;
    browser.shows(titles, "done").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_repeats_moves_on_and_comes_back() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    system
        .task(json!({"title": "take the pill", "due_date": day(0), "repeat": "FREQ=DAILY;COUNT=9"}))
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser.click("#tab-today").await;
    browser.click(&check("take the pill")).await;
    browser
        .until("the next date", async || {
            let words = browser.script(UNDO_BAR).await;
            words
                .as_str()
                .is_some_and(|words| words.starts_with("Completed “take the pill”. Next: "))
        })
        .await;
    browser
        .shows(TABS, "Today 0, Upcoming 1, All 1, Done 1")
        .await;
    browser.click(".undo-button").await;
    browser
        .shows(TABS, "Today 1, Upcoming 0, All 1, Done 0")
        .await;
    browser
        .shows(LINES, "Today1\ntake the pill | Every day, 9 more times")
        .await;
    let stored = "select count(*) from tasks where deleted_at is null and not completed and due_date = (now() at time zone 'UTC')::date and repeat = 'FREQ=DAILY;COUNT=9'";
    system.until(stored, 1).await;
    system
        .until("select count(*) from tasks where deleted_at is null", 1)
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_as_it_is_scrolled_and_a_tick_does_not_scroll_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    for n in 1..=230 {
        system.task(json!({"title": format!("task {n}")})).await;
    }
    browser.sign_in(&system.url, "ada").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 230, Done 0")
        .await;
    let shown = "return String(document.querySelectorAll('#tasks .task:not(.is-going)').length)";
    browser.shows(shown, "100").await;
    let to = |n: usize| {
        format!(
            "document.querySelectorAll('#tasks .task')[{n}].scrollIntoView({{ block: 'center' }})"
        )
    };
    browser.script(&to(89)).await;
    browser.shows(shown, "200").await;
    browser.script(&to(89)).await;
    // As high as they are rows turn out to be only when they are drawn.
    let rests = "
        const place = () => document.querySelectorAll('#tasks .task')[89].getBoundingClientRect().top;
        const before = place();
        return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(String(place() === before)))));";
    browser.shows(rests, "true").await;
    let place = "return Math.round(document.querySelector('#task-panel').scrollTop) + ' ' + Math.round(document.querySelectorAll('#tasks .task:not(.is-going)')[88].getBoundingClientRect().top)";
    let before = browser.script(place).await;
    browser.click(&check("task 90")).await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 229, Done 1")
        .await;
    // The row has gone, what it was read from has been read again, and the focus is on the next one.
    system
        .until("select count(*) from tasks where completed", 1)
        .await;
    browser
        .shows(
            "return String(document.querySelectorAll('.is-going').length)",
            "0",
        )
        .await;
    assert_eq!(browser.script(place).await, before);
    let focus = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(browser.script(focus).await, "task 91");
    browser.script(&to(198)).await;
    browser.shows(shown, "229").await;
    browser.end(&[]).await;
}
