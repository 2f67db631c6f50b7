//! Ticks: seen at once, undone, and not undone by what was read before.

use serde_json::json;

use super::{super::chrome::Browser, HOLD, LINES, TABS, UNDO_BAR, check, freely};
use crate::system::TestSystem;

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_seen_at_once_is_a_call_and_can_be_undone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    for title in ["buy milk", "call Ann"] {
        system.task(json!({"title": title})).await;
    }
    browser.sign_in(&system.url, "ada").await;
    browser
        .sees("both", |seen| seen.tasks == ["buy milk", "call Ann"])
        .await;
    browser.script(HOLD).await;
    browser.click(&check("buy milk")).await;
    let seen = browser.look().await;
    assert_eq!(seen.tasks, ["call Ann"]);
    browser.shows(UNDO_BAR, "Completed “buy milk”").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 1, Done 1")
        .await;
    // What is read meanwhile does not know of it, and changes nothing.
    let reads =
        "const before = window.reads; window.dispatchEvent(new Event('focus')); return before";
    let before = browser.script(reads).await.as_i64().expect("a number");
    browser
        .until("another reading", async || {
            browser
                .script("return window.reads")
                .await
                .as_i64()
                .expect("a number")
                >= before + 4
        })
        .await;
    assert_eq!(browser.look().await.tasks, ["call Ann"]);
    let done = "select count(*) from tasks where completed and title = 'buy milk'";
    assert_eq!(system.count(done).await, 0);
    browser.script("window.release()").await;
    system.until(done, 1).await;
    let calls = "select count(*) from mcp_calls where tool_name = 'complete_task' and user_id = 'ada' and not is_error";
    assert_eq!(system.count(calls).await, 1);

    browser.click(".undo-button").await;
    browser
        .sees("both again", |seen| seen.tasks == ["buy milk", "call Ann"])
        .await;
    system.until(done, 0).await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 2, Done 0")
        .await;
    browser.picture("task-undone").await;
    browser.end(&[]).await;
}

/// What was read before the tick and comes behind it would put the task back for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_tick_does_not_undo_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    for title in ["buy milk", "call Ann"] {
        system.task(json!({"title": title})).await;
    }
    browser.sign_in(&system.url, "ada").await;
    browser
        .sees("both", |seen| seen.tasks == ["buy milk", "call Ann"])
        .await;
    let hold = "
        const honest = window.fetch;
        let held = [];
        window.fetch = async (url, init) => {
            const answer = await honest(url, init);
            if (String(url).includes('/tasks?') && held) await new Promise((go) => held.push(go));
            return answer;
        };
        window.held = () => held.length;
        window.release = () => { const all = held; held = null; for (const go of all) go(); };
        window.dispatchEvent(new Event('focus'));";
    browser.script(hold).await;
    browser
        .shows("return String(window.held() >= 4)", "true")
        .await;
    browser.click(&check("buy milk")).await;
    system
        .until("select count(*) from tasks where completed", 1)
        .await;
    browser
        .shows(
            "return String(document.querySelectorAll('.is-going').length)",
            "0",
        )
        .await;
    let watch = "
        window.back = 0;
        const list = document.querySelector('#tasks .task-groups');
        new MutationObserver(() => {
            if ([...list.querySelectorAll('.task-title')].some((title) => title.textContent === 'buy milk')) window.back++;
        }).observe(list, { childList: true, subtree: true });
        window.release();";
    browser.script(watch).await;
    let outside = json!({"title": "sign that it was read again"});
    system.task(outside).await;
    browser
        .sees("what came last", |seen| {
            seen.tasks == ["call Ann", "sign that it was read again"]
        })
        .await;
    assert_eq!(browser.script("return window.back").await, 0);
    browser.end(&[]).await;
}

/// A token that the server no longer takes costs one request more, and nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_renewed_for_a_tick() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    system.task(json!({"title": "buy milk"})).await;
    browser.sign_in(&system.url, "ada").await;
    browser.sees("it", |seen| seen.tasks == ["buy milk"]).await;
    let spoil = "
        const honest = window.fetch;
        window.calls = 0;
        window.fetch = (url, init) => {
            if (url !== '/mcp' || ++window.calls > 1) return honest(url, init);
            return honest(url, { ...init, headers: { ...init.headers, authorization: 'Bearer spoiled' } });
        };";
    browser.script(spoil).await;
    browser.click(&check("buy milk")).await;
    system
        .until("select count(*) from tasks where completed", 1)
        .await;
    browser.shows("return String(window.calls)", "2").await;
    browser.shows(LINES, "").await;
    browser
        .end(&["the server responded with a status of 401"])
        .await;
}
