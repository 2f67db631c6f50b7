//! The task panel with no mouse: every change by keys, and the focus always somewhere.

use serde_json::json;

use super::{
    chrome::Browser,
    task_panel::{LINES, TABS, UNDO_BAR, freely},
};
use crate::system::TestSystem;

const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const DELETE: &str = "\u{E017}";
const DOWN: &str = "\u{E015}";

/// The task that has the focus.
const FOCUSED: &str = "return document.activeElement.closest('.task')?.querySelector('.task-title')?.textContent ?? document.activeElement.id";

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_kept_by_keys_alone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    browser.sign_in(&system.url, "ada").await;
    // In the message box a letter is a letter.
    browser.press("n").await;
    browser
        .shows("return document.querySelector('#composer-text').value", "n")
        .await;
    browser.script("document.activeElement.blur()").await;
    browser.press("n").await;
    for title in ["one", "two", "three"] {
        browser.press(&format!("{title}{ENTER}")).await;
    }
    browser.shows(LINES, "No date3\none\ntwo\nthree").await;
    browser.press(ESCAPE).await;
    browser.shows(FOCUSED, "one").await;
    browser.press(&format!("j{DOWN}k")).await;
    browser.shows(FOCUSED, "two").await;
    browser.press("1").await;
    browser
        .shows(LINES, "No date3\ntwo | P1Priority 1. \none\nthree")
        .await;
    // It is another row's place, and still the same task.
    browser.shows(FOCUSED, "two").await;
    system
        .until(
            "select count(*) from tasks where title = 'two' and priority = 'p1'",
            1,
        )
        .await;
    browser.press("x").await;
    browser.shows(LINES, "No date2\none\nthree").await;
    browser.shows(FOCUSED, "one").await;
    browser.press(DELETE).await;
    browser.shows(UNDO_BAR, "Deleted “one”").await;
    browser.shows(FOCUSED, "three").await;
    browser.press("x").await;
    browser.shows(LINES, "").await;
    // Nothing is left to have it, but the list itself.
    browser.shows(FOCUSED, "task-panel").await;
    system
        .until("select count(*) from tasks where completed", 2)
        .await;
    // Three steps back.
    browser.press("zzz").await;
    browser
        .shows(LINES, "No date3\ntwo | P1Priority 1. \none\nthree")
        .await;
    system
        .until(
            "select count(*) from tasks where not completed and deleted_at is null",
            3,
        )
        .await;

    browser.press("gd").await;
    browser
        .shows(
            "return document.querySelector('.tab[aria-selected=true]').id",
            "tab-done",
        )
        .await;
    browser.press("ga").await;
    browser
        .shows(LINES, "No date3\ntwo | P1Priority 1. \none\nthree")
        .await;
    browser.press("/thr").await;
    browser.shows(LINES, "Open1\nthree").await;
    browser.press(DOWN).await;
    browser.shows(FOCUSED, "three").await;
    browser.press("e").await;
    browser.press(&format!(" times{ENTER}")).await;
    browser.shows(LINES, "Open1\nthree times").await;
    browser.shows(FOCUSED, "three times").await;
    browser.press("?").await;
    browser
        .shows(
            "return document.querySelector('dialog[open] h2').textContent",
            "Keyboard shortcuts",
        )
        .await;
    browser.press(ESCAPE).await;
    browser.press("m").await;
    browser.shows(FOCUSED, "composer-text").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 3, Done 0")
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_panel_is_a_drawer_and_all_targets_are_large() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    system
        .task(json!({"title": "pay rent", "tags": ["home", "x"], "due_date": "2026-01-01"}))
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser.be_a_phone().await;
    browser.click("[data-opens=tasks]").await;
    browser.click("#tasks .task-open").await;
    let small = "return [...document.querySelectorAll('#tasks :is(button, label, input:not([type=radio]), select, textarea)')]
        .filter((it) => it.checkVisibility() && !it.closest('.visually-hidden') && !(it.matches('input, select, textarea') && (it.closest('label') || it.matches('textarea'))))
        .map((it) => [it, it.getBoundingClientRect()]).filter(([, { width, height }]) => width < 43.5 || height < 41.5)
        .map(([it, { width, height }]) => `${it.className || it.textContent} ${width} ${height}`).join()";
    browser.shows(small, "").await;
    browser.press(ESCAPE).await;
    browser.shows(small, "").await;
    browser.picture("tasks-on-a-phone").await;
    browser.end(&[]).await;
}
