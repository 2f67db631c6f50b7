//! What a turn did, told once: the receipt, what it hides and what it never does.

use errand_devkit::model::{Gate, Turn};
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::{Options, TestSystem};

const ROWS: &str = "return [...document.querySelectorAll('.receipt-row')].filter((row) => row.checkVisibility()).map((row) => [...row.querySelectorAll('.task-reference, .receipt-title, .task-chip')].map((it) => it.innerText).join(' ')).join('|')";
const CARDS: &str = "return [...document.querySelectorAll('details.tool > summary')].filter((card) => card.checkVisibility()).map((card) => card.innerText.replaceAll('\\n', '')).join('|')";
const SAID: &str = "return document.querySelector('#announcer').textContent";

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_done_is_told_in_one_line() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let calls = Turn::call("list_tasks", json!({"view": "today"}))
        .and_call("add_task", json!({"title": "Book the flight", "due_date": "2031-05-02", "due_time": "17:00", "priority": "p1", "tags": ["travel"]}))
        .and_call("add_task", json!({"title": "Pay the rent", "due_date": "2031-05-01", "repeat": "FREQ=MONTHLY;BYMONTHDAY=1"}))
        .and_call("add_task", json!({"title": "Pack"}));
    system.model.push(calls);
    system.model.push(Turn::text("All set."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("plan the trip").await;
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.replies == ["All set."] && seen.tools == ["Added 3 tasks, done"]
            })
            .await;
        browser.picture(&format!("receipt-{look}")).await;
        // It opens to the tasks, each with what it has besides its name.
        browser.shows(ROWS, "").await;
        browser.click(".receipt-toggle").await;
        browser
            .shows(
                ROWS,
                "Book the flight Fri, 2 May 2031 17:00 P1 #travel|Pay the rent Thu, 1 May 2031 Every month on the 1st|Pack",
            )
            .await;
        browser.picture(&format!("receipt-open-{look}")).await;
        // And behind one button every call there was, the reads, too.
        browser.shows(CARDS, "").await;
        browser.click(".details-button").await;
        browser
            .shows(
                CARDS,
                "Looked at the list: no tasks, done|Added “Book the flight”, done|Added “Pay the rent”, done|Added “Pack”, done",
            )
            .await;
        browser.click("details.tool:nth-child(2) > summary").await;
        let result = "return document.querySelectorAll('[aria-label=Result]')[1].innerText.includes('\"success\": true')";
        assert_eq!(browser.script(result).await, true);
        if look == "live" {
            browser
                .shows(SAID, "Added 3 tasks, done. Errand: All set.")
                .await;
        }
        browser.reload().await;
    }
    browser.end(&[]).await;
}

/// What is done at a receipt is done to the list, and what was done there is seen at the receipt.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_ticked_and_taken_back_at_the_receipt() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "old"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add old").await;
    let old = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let calls = Turn::call("add_task", json!({"title": "milk"}))
        .and_call("add_task", json!({"title": "bread"}))
        .and_call("delete_task", json!({"task_id": old}));
    system.model.push(calls);
    system.model.push(Turn::text("Done."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("go").await;
    browser
        .sees("the receipt", |seen| {
            seen.tools == ["Added 2 tasks, deleted 1, done"] && !seen.can_stop
        })
        .await;
    browser.click(".receipt-toggle").await;
    browser.click(".receipt-row:nth-child(1) .tick").await;
    let done = "select count(*) from tasks where title = 'milk' and completed";
    system.until(done, 1).await;
    let ticks = "return [...document.querySelectorAll('.tick')].map((it) => it.ariaChecked).join()";
    browser.shows(ticks, "true,false,false").await;
    browser.click(".receipt-row:nth-child(1) .tick").await;
    system.until(done, 0).await;
    browser.shows(ticks, "false,false,false").await;

    let open = "select count(*) from tasks where not completed and deleted_at is null";
    assert_eq!(system.count(open).await, 2);
    browser
        .click(".receipt-row:nth-child(2) .receipt-undo")
        .await;
    system.until(open, 1).await;
    browser
        .click(".receipt-row:nth-child(3) .receipt-undo")
        .await;
    system.until(open, 2).await;
    let verbs = "return [...document.querySelectorAll('.receipt-row .receipt-verb')].map((it) => it.innerText).join()";
    browser.shows(verbs, "Added,Undone,Undone").await;
    browser.picture("receipt-undone").await;
    assert_eq!(system.titles("ada").await, ["old", "milk"]);

    // Somebody else does the same elsewhere.
    let milk: String = sqlx::query_scalar("select id::text from tasks where title = 'milk'")
        .fetch_one(&system.db)
        .await
        .expect("milk");
    system
        .model
        .push(Turn::call("complete_task", json!({"task_id": milk})));
    system.model.push(Turn::text("Done, too."));
    system.say("ada", "milk is done").await.assert_ok();
    browser.shows(ticks, "true,false,false").await;
    browser.end(&[]).await;
}

/// What cannot be done is said where it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_says_why() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("add milk").await;
    browser
        .sees("the receipt", |seen| {
            seen.replies == ["Added."] && seen.tools == ["Added “milk”, done"]
        })
        .await;
    // Gone for good, and nobody has told the page.
    crate::system::rows::execute(
        &system.db,
        "alter table tasks disable trigger user; delete from tasks; alter table tasks enable trigger user",
    )
    .await;
    browser.click(".receipt-line .receipt-undo").await;
    let problem = "return [...document.querySelectorAll('.receipt-problem')].filter((it) => it.checkVisibility()).map((it) => it.innerText.trim()).join()";
    browser
        .shows(problem, "There is no such task on the list any more.")
        .await;
    browser.picture("receipt-problem").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_list_is_no_receipt() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::text("Nothing is left."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("what is left?").await;
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.replies == ["Nothing is left."] && seen.tools.is_empty() && !seen.can_stop
            })
            .await;
        browser.click(".details-button").await;
        browser
            .shows(CARDS, "Looked at the list: no tasks, done")
            .await;
        browser.reload().await;
    }
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_never_hidden() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let nobody = "01a216da-1c38-7659-ae28-06af053dd9ec";
    let calls = Turn::call("add_task", json!({"title": "Pack"}))
        .and_call("complete_task", json!({"task_id": nobody}));
    system.model.push(calls);
    system.model.push(Turn::text("One of the two."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("go").await;
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.replies == ["One of the two."]
                    && seen.tools
                        == [
                            "Added “Pack”, done",
                            "Could not complete a task, failedThere is no such task on the list.",
                        ]
            })
            .await;
        if look == "live" {
            let said = "Added “Pack”, done. 1 did not work. Errand: One of the two.";
            browser.shows(SAID, said).await;
        }
        browser.picture(&format!("failed-call-{look}")).await;
        browser.reload().await;
    }
    browser.end(&[]).await;
}

/// A task is one thing, however often a turn touches it; and what is told of it is what it came to.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_changed_twice_is_told_once() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add milk").await;
    let milk = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let calls = Turn::call("update_task", json!({"task_id": milk, "priority": "p2"}))
        .and_call("complete_task", json!({"task_id": milk}))
        .and_call("add_task", json!({"title": "bread"}));
    system.model.push(calls);
    system.model.push(Turn::text("Done."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("go").await;
    for look in ["live", "stored"] {
        browser
            .sees(look, |seen| {
                seen.replies == ["Done."] && seen.tools == ["Added 1 task, completed 1, done"]
            })
            .await;
        browser.click(".receipt-toggle").await;
        browser.shows(ROWS, "milk P2|bread").await;
        browser.reload().await;
    }
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_task_shows_it_in_the_list() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    browser.sign_in(&system.url, "ada").await;
    browser.say("add milk").await;
    browser
        .sees("the receipt", |seen| {
            seen.replies == ["Added."] && seen.tools == ["Added “milk”, done"]
        })
        .await;
    let focused = "return document.activeElement.closest('#tasks .task')?.querySelector('.task-title').innerText ?? ''";
    // In whichever view it is.
    for view in ["upcoming", "all", "done"] {
        browser.click(&format!("#tab-{view}")).await;
        browser.shows(focused, "").await;
        browser.click(".receipt-words .task-reference").await;
        browser.shows(focused, "milk").await;
    }
    // What becomes of the task meanwhile takes no focus from its name.
    let named = "return document.activeElement.className";
    browser
        .script("document.querySelector('.receipt-words .task-reference').focus()")
        .await;
    crate::system::rows::execute(
        &system.db,
        "alter table tasks disable trigger user; update tasks set priority = 'p1'; alter table tasks enable trigger user",
    )
    .await;
    browser
        .script("window.dispatchEvent(new Event('focus'))")
        .await;
    let chips = "return document.querySelector('.receipt-chips').innerText";
    browser.shows(chips, "P1").await;
    browser.shows(named, "task-reference").await;
    // On a phone the list is behind a button, and has long been put away when it is asked for.
    browser.be_a_phone().await;
    let away = "return getComputedStyle(document.querySelector('#tasks')).visibility";
    browser.shows(away, "hidden").await;
    browser.click(".receipt-words .task-reference").await;
    browser.shows(focused, "milk").await;
    let open = "return String(document.querySelector('#tasks').classList.contains('is-open'))";
    browser.shows(open, "true").await;
    browser.end(&[]).await;
}

/// For ears: how a turn stands, whichever way it went.
#[tokio::test(flavor = "multi_thread")]
async fn failing_and_waiting_are_heard() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..by_name()
    })
    .await;
    browser.sign_in(&system.url, "ada").await;
    system.model.push(Turn::status(400));
    browser.say("hello?").await;
    let failed = "return document.querySelector('#announcer').textContent.split('.')[0]";
    browser
        .shows(failed, "Failed: The model refused this request")
        .await;
    let words = "return document.querySelector('.failure-words').innerText";
    browser
        .shows(words, "The model refused this request. Say it in other words; if every message is refused, whoever runs Errand has to look at its key and model.")
        .await;
    browser.picture("failed-run").await;

    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    system.model.push(Turn::text("Added."));
    let added = system.say("ada", "add milk").await;
    let milk = &added.assert_ok()["tool_calls"][0]["result"]["task_id"];
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": milk})));
    browser.say("delete it").await;
    browser
        .shows(SAID, "Waiting for your answer: Delete “milk”?")
        .await;
    browser.picture("waiting").await;
    browser.end(&[]).await;
}

/// While a reply streams, what has been written stays where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_reply_moves_nothing() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let (before, within) = (Gate::closed(), Gate::closed());
    system
        .model
        .push(Turn::call("list_tasks", json!({})).and_call("add_task", json!({"title": "milk"})));
    system.model.push(
        Turn::text("One two three four.\n\nFive six seven.\n\n- eight\n- nine")
            .gate_after(1, &before)
            .gate_after(6, &within),
    );
    browser.sign_in(&system.url, "ada").await;
    browser
        .script(
            "window.shifts = [];
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) for (const { node } of entry.sources) window.shifts.push(node?.parentElement?.className + ' > ' + node?.className);
            }).observe({ type: 'layout-shift' });",
        )
        .await;
    browser.say("add milk").await;
    browser
        .sees("the receipt", |seen| {
            seen.tools == ["Added “milk”, done"] && seen.can_stop
        })
        .await;
    browser.script("window.shifts.length = 0").await;
    before.open();
    browser
        .sees("the first words", |seen| !seen.replies.is_empty())
        .await;
    browser.picture("streaming").await;
    within.open();
    browser.sees("the end", |seen| !seen.can_stop).await;
    let moved =
        "return window.shifts.filter((it) => /parts|receipt|from-user|turn/.test(it)).join()";
    assert_eq!(browser.script(moved).await, "");
    browser.end(&[]).await;
}
