//! The task panel by hand: what is clicked is seen at once, is a call of a tool, and goes back if it is refused.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{Options, by_name, chrome::Browser};
use crate::system::TestSystem;

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
async fn two_windows_and_an_outsider_see_the_same_in_the_end() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let id = system.task(json!({"title": "report"})).await;
    let (first, second) = (browser.window().await, browser.new_window().await);
    browser.sign_in(&system.url, "ada").await;
    browser
        .sees("the task", |seen| seen.tasks == ["report"])
        .await;
    browser.look_at(&second).await;
    browser.open(&system.url).await;
    browser
        .sees("the task", |seen| seen.tasks == ["report"])
        .await;
    // Whoever edits it meanwhile says nothing about what others have changed of it.
    let focus = "document.querySelector('#tasks .task-open').focus()";
    browser.look_at(&first).await;
    browser.script(focus).await;
    browser.press("e").await;
    let update =
        json!({"user_id": "ada", "task_id": id, "title": "final report", "due_date": day(1)});
    system.mcp().call("ada", "update_task", update).await;
    browser
        .shows(TABS, "Today 0, Upcoming 1, All 1, Done 0")
        .await;
    browser.look_at(&second).await;
    browser.shows(LINES, "Tomorrow1\nfinal report").await;
    browser.script(focus).await;
    browser.press("1").await;
    browser.look_at(&first).await;
    browser
        .type_into(".task-editor [data-field=tags]", "work\u{E007}")
        .await;
    for window in [&first, &second] {
        browser.look_at(window).await;
        browser
            .shows(LINES, "Tomorrow1\nfinal report | P1Priority 1.  | #work")
            .await;
    }
    // The one completes it, the other deletes it: whoever comes last, both show the same.
    browser.look_at(&first).await;
    browser.click(&check("final report")).await;
    browser.look_at(&second).await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 0, Done 1")
        .await;
    browser.click("#tab-done").await;
    browser
        .shows(
            "return document.querySelector('#tasks .is-done .task-title')?.textContent ?? ''",
            "final report",
        )
        .await;
    browser.script(focus).await;
    browser.press("\u{E017}").await;
    for window in [&second, &first] {
        browser.look_at(window).await;
        browser
            .shows(TABS, "Today 0, Upcoming 0, All 0, Done 0")
            .await;
    }
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_windows_and_a_chat_that_change_a_task_at_once_show_the_same_in_the_end() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let id = system.task(json!({"title": "report"})).await;
    let (first, second) = (browser.window().await, browser.new_window().await);
    browser.sign_in(&system.url, "ada").await;
    browser.look_at(&second).await;
    browser.open(&system.url).await;
    for window in [&first, &second] {
        browser.look_at(window).await;
        browser
            .sees("the task", |seen| seen.tasks == ["report"])
            .await;
    }
    for round in 1..=3 {
        // The chat is the third, and has the same field in hand as one of the windows.
        let change = json!({"task_id": id, "title": format!("report {round}"), "priority": "p3"});
        system.model.push(Turn::call("update_task", change));
        system.model.push(Turn::text("It is changed."));
        let focus = "document.querySelector('#tasks .task-open').focus()";
        let by_hand = async {
            browser.look_at(&first).await;
            browser.script(focus).await;
            browser.press(["1", "2", "4"][round - 1]).await;
            browser.look_at(&second).await;
            browser.script(focus).await;
            browser.press("e").await;
            let date = ".task-editor [data-field=due_date]";
            let set = format!(
                "const field = document.querySelector('{date}'); field.value = '{}';
                 field.dispatchEvent(new Event('input', {{ bubbles: true }})); field.dispatchEvent(new Event('change', {{ bubbles: true }}));",
                day(round.try_into().expect("a day"))
            );
            browser
                .until("the editor", async || {
                    browser
                        .script(&format!("return document.querySelector('{date}') !== null"))
                        .await
                        == true
                })
                .await;
            browser.script(&set).await;
            browser.press("\u{E007}").await;
        };
        let (said, ()) = tokio::join!(system.say("ada", "change it"), by_hand);
        said.assert_ok();
        let changed = format!(
            "select count(*) from tasks where title = 'report {round}' and due_date = '{}'",
            day(round.try_into().expect("a day"))
        );
        system.until(changed.leak(), 1).await;
        let stored: (String, String) =
            sqlx::query_as("select title, priority from tasks where deleted_at is null")
                .fetch_one(&system.db)
                .await
                .expect("the task");
        for window in [&first, &second] {
            browser.look_at(window).await;
            browser
                .until("what is stored", async || {
                    let lines = browser.script(LINES).await;
                    let lines = lines.as_str().expect("text");
                    let priorities = ["P1", "P2", "P3"];
                    let mut as_stored = priorities.iter().map(|priority| {
                        lines.contains(priority) == priority.eq_ignore_ascii_case(&stored.1)
                    });
                    lines.contains(&stored.0) && as_stored.all(|it| it)
                })
                .await;
        }
    }
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
