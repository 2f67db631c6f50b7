//! The task panel by hand: what is clicked is seen at once, is a call of a tool, and goes back if it is refused.

use serde_json::{Value, json};

use super::{Options, by_name, chrome::Browser};
use crate::system::TestSystem;

mod ticks;
mod views;
mod windows;

/// As in development, and as many calls as a test likes.
pub(super) fn freely() -> Options {
    let mut options = by_name();
    options.api.extend(["--rate-calls-per-minute", "0"]);
    options
}

/// Holds back what the page calls, until `release()`; `window.reads` counts the lists that it has read.
pub(super) const HOLD: &str = "
    const honest = window.fetch;

    let held = [];
    window.reads = 0;
    window.fetch = async (url, init) => {
        if (url === '/mcp' && held) await new Promise((go) => held.push(go));
        const answer = await honest(url, init);
        if (String(url).includes('/tasks?')) window.reads++;
        return answer;
    };
    window.release = () => { const all = held; held = null; for (const go of all) go(); };";

/// The lines of the panel, each task as one: its words and what is known of it.
pub(super) const LINES: &str = "return [...document.querySelectorAll('#tasks .group-title, #tasks .task:not(.is-going)')]
    .map((line) => line.matches('.task') ? [...line.querySelectorAll('.task-title, .fact, .tag, .task-problem-words')].map((it) => it.textContent).join(' | ')
        : line.textContent).join('\\n')";

pub(super) const UNDO_BAR: &str = "return document.querySelector('.undo-bar').checkVisibility() ? document.querySelector('.undo-words').textContent : ''";

pub(super) const TABS: &str = "return [...document.querySelectorAll('.tab')].map((tab) => tab.innerText.replace('\\n', ' ')).join(', ')";

pub(super) fn check(title: &str) -> String {
    format!("[role=checkbox][aria-label='{title}']")
}

/// What opens the editor of the first task.
const OPEN: &str = "#tasks .task .task-open";

pub(super) fn day(days: i64) -> String {
    let day = chrono::Utc::now().date_naive() + chrono::Duration::days(days);
    day.to_string()
}

impl TestSystem {
    /// A task from outside; its id.
    pub(super) async fn task(&self, mut arguments: Value) -> String {
        arguments["user_id"] = json!("ada");
        let added = self.mcp().call("ada", "add_task", arguments).await;
        added["task_id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_added_with_all_it_has() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    browser.sign_in(&system.url, "ada").await;
    browser.type_into("#add-task", "water the plants").await;
    browser.click(".adder [data-quick=Tomorrow]").await;
    browser.click(".adder .priority[data-priority=p2]").await;
    browser
        .type_into(".adder [data-field=tags]", "home, garden")
        .await;
    let repeat = "const list = document.querySelector('.adder [data-field=repeat]');
        list.value = 'FREQ=DAILY'; list.dispatchEvent(new Event('change', { bubbles: true }));";
    browser.script(repeat).await;
    browser.click(".adder [type=submit]").await;
    browser
        .shows(
            LINES,
            "Tomorrow1\nwater the plants | Every day | P2Priority 2.  | #home | #garden",
        )
        .await;
    let stored = "select count(*) from tasks where title = 'water the plants' and due_date = (now() at time zone 'UTC')::date + 1
        and priority = 'p2' and tags = '{home,garden}' and repeat = 'FREQ=DAILY'";
    system.until(stored, 1).await;
    // The line is ready for the next one.
    let focus = "return document.activeElement.id + document.activeElement.value";
    assert_eq!(browser.script(focus).await, "add-task");
    browser.press("buy milk\u{E007}").await;
    browser
        .sees("the next one", |seen| {
            seen.tasks == ["water the plants", "buy milk"]
        })
        .await;
    // What is added to Today is due today.
    browser.press("\u{E00C}").await;
    browser.click("#tab-today").await;
    browser.type_into("#add-task", "pay rent\u{E007}").await;
    browser.shows(LINES, "Today1\npay rent").await;
    system
        .until("select count(*) from tasks where title = 'pay rent' and due_date = (now() at time zone 'UTC')::date", 1)
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_edited_in_its_place() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    system
        .task(
            json!({"title": "pay rent", "due_date": day(1), "due_time": "23:59", "tags": ["home"]}),
        )
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser.click(OPEN).await;
    browser.press(" twice\u{E00C}").await;
    // Esc leaves it, and the focus is where it was.
    browser
        .shows(LINES, "Tomorrow1\npay rent | 23:59 | #home")
        .await;
    let focus = "return document.activeElement.className";
    assert_eq!(browser.script(focus).await, "task-open");
    browser.press("e").await;
    browser.press("\u{E010} now").await;
    browser
        .type_into("[data-field=description]", "to the new account")
        .await;
    browser.click(".task-editor [data-quick=Today]").await;
    browser.type_into(".edit-title", "\u{E007}").await;
    browser
        .shows(LINES, "Today1\npay rent now | 23:59 | #home")
        .await;
    let stored = "select count(*) from tasks where title = 'pay rent now' and description = 'to the new account'
        and due_date = (now() at time zone 'UTC')::date and due_time = '23:59' and tags = '{home}'";
    system.until(stored, 1).await;
    assert_eq!(browser.script(focus).await, "task-open");
    // No date, and with it no time.
    browser.press("e").await;
    browser.click(".task-editor [data-quick=Today]").await;
    browser.click(".task-editor [type=submit]").await;
    browser.shows(LINES, "No date1\npay rent now | #home").await;
    system
        .until(
            "select count(*) from tasks where due_date is null and due_time is null",
            1,
        )
        .await;
    browser.press("z").await;
    system.until(stored, 1).await;
    browser
        .shows(LINES, "Today1\npay rent now | 23:59 | #home")
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_goes_back_with_its_reason() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let id = system
        .task(json!({"title": "pay rent", "due_date": day(1)}))
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser.click(OPEN).await;
    let never = "const list = document.querySelector('.task-editor [data-field=repeat]');
        list.value = 'custom'; list.dispatchEvent(new Event('change', { bubbles: true }));";
    browser.script(never).await;
    browser
        .type_into(
            ".task-editor [data-field=rule]",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\u{E007}",
        )
        .await;
    let refused = format!(
        "Tomorrow1\npay rent | Not changed: repeat: the rule FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30 never yields a date from {} on.",
        day(1)
    );
    browser.shows(LINES, &refused).await;
    browser.picture("task-refused").await;
    // What was typed is there to be put right.
    browser.click(".task-problem [data-act=amend]").await;
    let rule = "return document.querySelector('.task-editor select').value";
    assert_eq!(
        browser.script(rule).await,
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
    );
    browser.press("\u{E00C}").await;
    browser.shows(LINES, "Tomorrow1\npay rent").await;

    // Without a network: it goes back, says so, and can be tried again.
    browser.be_offline(true).await;
    browser.click(&check("pay rent")).await;
    browser
        .shows(
            LINES,
            "Tomorrow1\npay rent | Not changed: The server cannot be reached.",
        )
        .await;
    browser.be_offline(false).await;
    browser.click(".task-problem [data-act=retry]").await;
    system
        .until("select count(*) from tasks where completed", 1)
        .await;
    browser
        .sees("nothing left", |seen| seen.tasks.is_empty())
        .await;

    // Deleted elsewhere while it was being ticked here.
    browser.click("#tab-done").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 0, Done 1")
        .await;
    browser.script(HOLD).await;
    browser.click(&check("pay rent")).await;
    system
        .mcp()
        .call(
            "ada",
            "delete_task",
            json!({"user_id": "ada", "task_id": id}),
        )
        .await;
    browser.script("window.release()").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 0, Done 0")
        .await;
    browser.shows(LINES, "").await;
    browser
        .end(&["net::ERR_", "WebSocket connection to 'ws://"])
        .await;
}
