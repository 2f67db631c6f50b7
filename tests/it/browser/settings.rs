//! The settings sheet: the zone that everything is sent with, files of all tasks, what was deleted.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{
    chrome::Browser,
    task_panel::{LINES, TABS, freely},
};
use crate::system::{TestSystem, file};

/// The file that the page gives away, as a text.
const EXPORT: &str = "
    const made = URL.createObjectURL;
    const file = new Promise((resolve) => { URL.createObjectURL = (blob) => { resolve(blob.text()); return made.call(URL, blob); }; });
    document.querySelector('[data-export=FORMAT]').click();
    const text = await file;
    URL.createObjectURL = made;
    return text;";

/// Notes which zones are sent: by which way, and to which.
const LISTEN: &str = "
    window.zones = [];
    const note = (way, zone) => window.zones.push(`${way}: ${zone}`);
    const honest = window.fetch;
    window.fetch = (url, init) => {
        if (/^\\/(mcp|api)/.test(url)) note(url === '/mcp' ? 'tool' : 'list', init.headers['x-time-zone']);
        return honest(url, init);
    };
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (text) {
        const { method, params } = JSON.parse(text);
        if (method === 'run.start') note('message', params.timeZone);
        return send.call(this, text);
    };";

async fn export(browser: &Browser, format: &str) -> String {
    let script = format!(
        "return (async () => {{ {} }})()",
        EXPORT.replace("FORMAT", format)
    );
    let text = browser.script(&script).await;
    text.as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_zone_is_sent_with_everything() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    browser.sign_in(&system.url, "ada").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 0, Done 0")
        .await;
    browser.script(LISTEN).await;
    // Two zones in which it is never the same day.
    for (replies, zone, title) in [
        (1, "Pacific/Kiritimati", "first"),
        (2, "Pacific/Pago_Pago", "last"),
    ] {
        browser.click("#settings-button").await;
        let choose = format!(
            "const list = document.querySelector('#zone'); list.value = '{zone}'; list.dispatchEvent(new Event('change'));"
        );
        browser.script(&choose).await;
        browser.script("window.zones = []").await;
        browser.press("\u{E00C}").await;
        browser.click("#tab-today").await;
        browser
            .type_into("#add-task", &format!("{title}\u{E007}"))
            .await;
        let due = format!(
            "select count(*) from tasks where title = '{title}' and due_date = (now() at time zone '{zone}')::date"
        );
        let due: &'static str = due.leak();
        system.until(due, 1).await;
        // In the view that the server makes of it.
        browser
            .until("it is due today", async || {
                let lines = browser.script(LINES).await;
                lines
                    .as_str()
                    .is_some_and(|lines| lines.ends_with(&format!("Today1\n{title}")))
            })
            .await;
        system.model.push(Turn::text("Hello."));
        browser.script("document.activeElement.blur()").await;
        browser.say("hi").await;
        let known = format!(
            "select count(*) from user_settings where user_id = 'ada' and time_zone = '{zone}'"
        );
        let known: &'static str = known.leak();
        system.until(known, 1).await;
        browser
            .sees("the reply", |seen| {
                !seen.can_stop && seen.replies.len() == replies
            })
            .await;
        // A list is read again soon after a run has ended.
        let all = json!([
            format!("list: {zone}"),
            format!("message: {zone}"),
            format!("tool: {zone}")
        ]);
        browser
            .until("all that is sent", async || {
                browser
                    .script("return [...new Set(window.zones)].sort()")
                    .await
                    == all
            })
            .await;
        // Another request may be about the conversation's title.
        let asked = system.model.requests();
        let told = asked.iter().rfind(|asked| asked["tools"].is_array());
        let told = format!("{told:?}");
        assert!(told.contains(zone), "{told}");
    }
    // What is chosen is remembered, and what the first day was is over.
    browser.reload().await;
    browser.shows(LINES, "Today1\nlast").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_are_exported_in_three_formats() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let long = "Grüße, ".repeat(30);
    system
        .task(json!({"title": "=HYPERLINK(\"x\"), \"quoted\"", "description": format!("one; two,\nthree \\ {long}"),
            "due_date": "2026-12-01", "due_time": "17:05", "priority": "p1", "tags": ["home", "a,b"], "repeat": "FREQ=WEEKLY;UNTIL=20271231"}))
        .await;
    system
        .task(json!({"title": "a day", "due_date": "2026-12-02"}))
        .await;
    let done = system.task(json!({"title": "done"})).await;
    system
        .mcp()
        .call(
            "ada",
            "complete_task",
            json!({"user_id": "ada", "task_id": done}),
        )
        .await;
    // More than a page of them.
    for n in 0..205 {
        system.task(json!({"title": format!("task {n}")})).await;
    }
    browser.sign_in(&system.url, "ada").await;
    browser.click("#settings-button").await;

    let all: Value = serde_json::from_str(&export(&browser, "json").await).expect("JSON");
    let tasks = all["tasks"].as_array().expect("a list");
    assert_eq!(tasks.len(), 208);
    assert_eq!(tasks[0]["repeat"], "FREQ=WEEKLY;UNTIL=20271231");
    assert_eq!(tasks[2]["completed"], true);

    let csv = export(&browser, "csv").await;
    let mut lines = csv.split("\r\n");
    assert_eq!(
        lines.next().map(|line| line.trim_start_matches('\u{feff}')),
        Some(
            "id,title,description,completed,completed_at,due_date,due_time,priority,tags,repeat,created_at,updated_at"
        )
    );
    let first = lines.next().expect("a line");
    assert!(
        first.contains(",\"'=HYPERLINK(\"\"x\"\"), \"\"quoted\"\"\",\"one; two,\nthree"),
        "{first}"
    );
    assert!(
        first.contains(",false,,2026-12-01,17:05,p1,\"home, a,b\",FREQ=WEEKLY;UNTIL=20271231,"),
        "{first}"
    );
    assert_eq!(csv.matches("\r\n").count(), 209);

    let calendar = export(&browser, "ics").await;
    assert!(
        calendar.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
            && calendar.ends_with("END:VCALENDAR\r\n")
    );
    assert!(
        calendar.split("\r\n").all(|line| line.len() <= 75),
        "a line is too long"
    );
    assert_eq!(
        calendar.matches('\n').count(),
        calendar.matches("\r\n").count()
    );
    let unfolded = calendar.replace("\r\n ", "");
    for line in [
        "SUMMARY:=HYPERLINK(\"x\")\\, \"quoted\"",
        &format!(
            "DESCRIPTION:one\\; two\\,\\nthree \\\\ {}",
            long.trim().replace(',', "\\,")
        ),
        "DTSTART:20261201T170500",
        "DUE:20261201T170500",
        "RRULE:FREQ=WEEKLY;UNTIL=20271231T235959",
        "PRIORITY:1",
        "CATEGORIES:home,a\\,b",
        "STATUS:NEEDS-ACTION",
        "DUE;VALUE=DATE:20261202",
        "STATUS:COMPLETED",
    ] {
        assert!(
            unfolded.contains(&format!("\r\n{line}\r\n")),
            "no {line} in {}",
            &unfolded[..2500]
        );
    }
    assert_eq!(unfolded.matches("BEGIN:VTODO").count(), 208);
    browser.picture("settings").await;
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_is_kept_and_what_was_deleted_comes_back() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let id = system
        .task(json!({"title": "buy milk", "tags": ["home"]}))
        .await;
    system
        .mcp()
        .call(
            "ada",
            "delete_task",
            json!({"user_id": "ada", "task_id": id}),
        )
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser.click("#settings-button").await;
    browser
        .script("document.querySelector('.choice [value=dark]').click()")
        .await;
    browser
        .shows("return document.documentElement.dataset.theme", "dark")
        .await;
    let address = "return document.querySelector('.snippet code').textContent";
    assert_eq!(browser.script(address).await, format!("{}/mcp", system.url));
    browser.click("[aria-label='Restore buy milk']").await;
    system
        .until("select count(*) from tasks where deleted_at is null", 1)
        .await;
    browser.press("\u{E00C}").await;
    browser.shows(LINES, "No date1\nbuy milk | #home").await;
    browser.reload().await;
    browser
        .shows("return document.documentElement.dataset.theme", "dark")
        .await;
    // The button goes on to the next one, as it always did.
    browser.click("#theme").await;
    browser
        .shows(
            "return document.documentElement.dataset.theme ?? 'system'",
            "system",
        )
        .await;
    browser.end(&[]).await;
}

/// A browser may know zones that the server does not: a name of next year, or an offset.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_the_server_does_not_know_costs_the_zone_and_not_the_page() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    browser.open(&system.url).await;
    browser
        .script("localStorage.setItem('errand.zone', '+03:30')")
        .await;
    browser.sign_in(&system.url, "ada").await;
    browser
        .shows(TABS, "Today 0, Upcoming 0, All 0, Done 0")
        .await;
    browser.type_into("#add-task", "buy milk\u{E007}").await;
    system
        .until("select count(*) from tasks where title = 'buy milk'", 1)
        .await;
    system.model.push(Turn::text("Hello."));
    browser.script("document.activeElement.blur()").await;
    browser.say("hi").await;
    browser
        .sees("the reply", |seen| {
            !seen.can_stop && seen.replies.len() == 1
        })
        .await;
    // The browser's own zone, which the server knows.
    let known = "select count(*) from user_settings where time_zone <> '+03:30'";
    system.until(known, 1).await;
    browser.end(&["400"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_asks_before_it_deletes_where_that_is_wanted() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(freely()).await;
    let id = system.task(json!({"title": "buy milk"})).await;
    browser.sign_in(&system.url, "ada").await;
    browser.click("#settings-button").await;
    browser.click("#ask").await;
    browser.press("\u{E00C}").await;
    // Also after a reload.
    browser.reload().await;
    browser
        .sees("the task", |seen| seen.tasks == ["buy milk"])
        .await;
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": id})));
    browser.say("delete the milk").await;
    browser
        .until("the question", async || {
            browser
                .script("return document.querySelector('.approve')?.textContent ?? ''")
                .await
                == "Delete"
        })
        .await;
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    browser.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_model_took_is_told_with_its_cost() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let prices = "[scripted]\ninput = 100.0\ncached = 10.0\noutput = 1000.0\n";
    let mut options = freely();
    options
        .api
        .extend(["--prices-file", file("prices.toml", prices)]);
    options.api.extend(["--tokens-per-day", "500000"]);
    let system = TestSystem::with(options).await;
    let turn = Turn::text("Hello.").usage(1_000, 234);
    system.model.push(turn.cached(500).reasoning(117));
    system.say("ada", "hello").await.assert_ok();
    // One day of before, of which nothing else is left.
    sqlx::query(
        "insert into usage_days (user_id, day, tokens) values ('ada', current_date - 2, 4321)",
    )
    .execute(&system.db)
    .await
    .expect("a day");
    browser.sign_in(&system.url, "ada").await;
    browser.click("#settings-button").await;
    let told = "return [...document.querySelectorAll('.usage-table tbody tr')].map((row) => [...row.querySelectorAll('td')].map((it) => it.innerText.trim()).join(' ')).join('|')";
    browser
        .shows(told, "1,234 50 % 50 % $0.29|4,321 – – –")
        .await;
    browser
        .script("document.querySelector('.usage').scrollIntoView({block: 'center'})")
        .await;
    browser.picture("usage").await;
    browser.end(&[]).await;
}
