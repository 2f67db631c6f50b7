//! The task panel, whoever changes a task; and what is told of a list that was not shown whole.

use errand_devkit::model::{Gate, Turn};
use serde_json::json;

use super::{by_name, chrome::Browser};
use crate::system::{TestSystem, mcp::Mcp};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_changed_elsewhere_are_seen_without_a_reload() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let outside = Mcp::on(&system.database_url, &[]).await;
    browser.sign_in(&system.url, "ada").await;
    // It reads the list once at its start and whenever it gets the focus; both are over.
    browser
        .shows(
            "return document.querySelector('.tasks-empty-title')?.innerText ?? ''",
            "An empty list",
        )
        .await;
    let arguments = json!({"user_id": "ada", "title": "from a desktop client"});
    outside.call("ada", "add_task", arguments).await;
    browser
        .sees("the task of the desktop client", |seen| {
            seen.tasks == ["from a desktop client"]
        })
        .await;

    // In another conversation that this page does not follow, and in the middle of a run that it follows.
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "mine"})));
    system
        .model
        .push(Turn::text("It is there").gate_after(2, &gate));
    browser.say("add mine").await;
    browser
        .sees("both", |seen| {
            seen.tasks == ["from a desktop client", "mine"] && seen.can_stop
        })
        .await;
    for title in ["second", "third"] {
        let arguments = json!({"user_id": "ada", "title": title});
        outside.call("ada", "add_task", arguments).await;
    }
    let all = ["from a desktop client", "mine", "second", "third"];
    browser
        .sees("all four while the run goes on", |seen| {
            seen.tasks == all && seen.can_stop
        })
        .await;
    gate.open();
    browser
        .sees("the reply", |seen| !seen.can_stop && seen.tasks == all)
        .await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_too_large_for_the_stream_is_shown_at_its_end() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let outside = Mcp::on(&system.database_url, &["--rate-calls-per-minute", "0"]).await;
    // More than an event holds, and no more than that: a browser takes its time over long texts.
    for n in 0..40 {
        let description = "x y z ".repeat(1300);
        let task =
            json!({"user_id": "ada", "title": format!("task {n}"), "description": description});
        outside.call("ada", "add_task", task).await;
    }
    browser.sign_in(&system.url, "ada").await;
    system
        .model
        .push(Turn::call("list_tasks", json!({"limit": 200})));
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("There are 41."));
    browser.say("list them, add milk").await;
    browser
        .sees("the whole list in the panel", |seen| {
            seen.replies == ["There are 41."]
                && seen.tools == ["Added “buy milk”, done"]
                && seen.tasks.len() == 41
        })
        .await;
    browser.click(".details-button").await;
    let cards = "return [...document.querySelectorAll('details.tool > summary')].map((card) => card.innerText.replaceAll('\\n', '')).join()";
    browser
        .shows(cards, "Looked at 40 tasks, done,Added “buy milk”, done")
        .await;
    let last = "return String(document.querySelectorAll('details.tool pre[aria-label=Result]')[0].textContent.includes('task 39'))";
    browser.shows(last, "true").await;
    browser.end(&[]).await;
}

/// What a card says about a look at a list, told by the page's own words for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_list_is_told_as_a_part() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    browser.open(&system.url).await;
    let tell = |result: &str, arguments: &str| {
        format!(
            "return import('/ui/phrases.js').then(({{ tellCall }}) => tellCall(
                {{ name: 'list_tasks', state: 'done', args: {arguments}, result: {result} }}, () => null).text)"
        )
    };
    for (result, arguments, words) in [
        ("{count: 50, total: 99}", "{}", "Looked at 50 of 99 tasks"),
        (
            "{count: 50, total: 99}",
            "{completed: false}",
            "Looked at 50 of 99 open tasks",
        ),
        ("{count: 2, total: 2}", "{}", "Looked at 2 tasks"),
        ("{count: 1}", "{}", "Looked at 1 task"),
        ("{count: 0, total: 3}", "{}", "Looked at 0 of 3 tasks"),
        (
            "{count: 5, total: 7}",
            "{search: 'milk'}",
            "Searched for “milk”: 5 of 7 found",
        ),
        (
            "{count: 0, total: 0}",
            "{search: 'milk'}",
            "Searched for “milk”: nothing found",
        ),
    ] {
        browser.shows(&tell(result, arguments), words).await;
    }
    browser.end(&[]).await;
}

/// Runs a story with the page's own model of tasks: `list` are those of a server, `calls` what it was asked to do and `tasks` the model.
async fn story(told: &str) -> (Browser, String) {
    let browser = Browser::start().await.expect("a browser");
    let system = TestSystem::with(by_name()).await;
    browser.open(&system.url).await;
    let story = format!(
        "return import('/ui/tasks.js').then(async ({{ Tasks }}) => {{
            const id = (n) => `01a216da-2ae8-76ce-b52c-20cc6ba7f0d${{n}}`;
            const task = (n, title) => ({{ id: id(n), title, completed: false, priority: 'p4', tags: [], updated_at: String(n) }});
            let list = [task(1, 'milk'), task(2, 'bread'), task(3, 'tea')];
            const api = {{ tasks: async ({{ view, cursor, limit }}) => {{
                const all = view ? [] : list.filter(({{ id }}) => !cursor || id > cursor);
                return {{ tasks: all.slice(0, limit), total: all.length, next_cursor: all.length > limit ? all[limit - 1].id : null }};
            }} }};
            const calls = [];
            const mcp = {{ call: (name, parameters) => new Promise((resolve, reject) => calls.push({{ name, parameters, resolve, reject }})) }};
            const tasks = new Tasks({{ api, mcp }});
            const until = async (holds) => {{ while (!holds()) await new Promise((go) => setTimeout(go, 5)); }};
            {told}
        }});"
    );
    let told = browser.script(&story).await;
    (browser, told.to_string())
}

/// A card of the chat shows tasks that the panel does not show.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_shown_elsewhere_is_kept_up_to_date() {
    let (browser, told) = story(
        "
        tasks.refresh();
        tasks.get(id(1)); tasks.get(id(3));
        await until(() => tasks.get(id(3)));
        list = [task(1, 'milk'), task(2, 'bread'), { ...task(4, 'coffee') }];
        list[0] = { ...list[0], completed: true };
        tasks.changedElsewhere();
        await until(() => tasks.get(id(1)).completed);
        return [tasks.get(id(1)).title, tasks.get(id(3)) ?? 'gone', tasks.rows.length].join();",
    )
    .await;
    assert_eq!(told, "\"milk,gone,0\"");
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_task_are_made_one_after_the_other() {
    let (browser, told) = story(
        "
        tasks.show({ view: 'all' });
        await until(() => tasks.rows.length === 3);
        const first = tasks.update(id(1), { title: 'oat milk' });
        const second = tasks.update(id(1), { priority: 'p1' });
        const other = tasks.tick(id(2));
        await until(() => calls.length === 2);
        const began = calls.map(({ name, parameters }) => name + ' ' + (parameters.title ?? parameters.task_id.at(-1)));
        const shown = () => tasks.rows.map(({ title, priority }) => title + ' ' + priority).join();
        const before = shown();
        calls[0].reject(new Error('no'));
        calls[1].resolve({});
        await until(() => calls.length === 3);
        const between = shown();
        calls[2].resolve({ task: { ...task(1, 'milk'), priority: 'p1' } });
        const made = await Promise.all([first, second, other]);
        return [began, before, between, shown(), made, tasks.problem(id(1))?.message ?? 'no problem'].join(' / ');",
    )
    .await;
    assert_eq!(
        told,
        "\"update_task oat milk,complete_task 2 / oat milk p1,tea p4 / milk p1,tea p4 / milk p1,tea p4 / false,true,true / no\""
    );
    browser.end(&[]).await;
}
