//! Several windows, a chat and an outsider that change the same tasks.

use errand_devkit::model::Turn;
use serde_json::json;

use super::{super::chrome::Browser, LINES, TABS, check, day, freely};
use crate::system::TestSystem;

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
