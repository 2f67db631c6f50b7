//! The operator's page: what it shows is what there is, and what it does is done.

use errand_devkit::model::{Gate, Turn};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    accessibility::{axe, broken},
    chrome::Browser,
};
use crate::system::{Answer, Options, PATIENCE, TestSystem};

const TOKEN: &str = "a token of an operator";

async fn with_page() -> TestSystem {
    TestSystem::with(Options {
        api: vec!["--admin-token", TOKEN],
        ..Options::default()
    })
    .await
}

async fn accepted(system: &TestSystem, user: &str) -> String {
    let body = json!({"message": "go"});
    let request = system.post_chat(user, &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    accepted.body["run_id"].as_str().expect("a run").to_owned()
}

/// Waits until an element's text has this in it.
async fn reads(browser: &Browser, selector: &str, text: &str) {
    let script = format!(
        "return document.querySelector({selector:?})?.innerText.replace(/\\s+/g, ' ') ?? ''"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = browser.script(&script).await;
        if shown.as_str().is_some_and(|shown| shown.contains(text)) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{selector} never reads {text:?}, but {shown}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn sign_in(browser: &Browser, system: &TestSystem) {
    browser.open(&format!("{}/admin", system.url)).await;
    reads(browser, ".gate-card h1", "Operations").await;
    browser.type_into("#token", TOKEN).await;
    browser.click(".gate-form .primary").await;
    reads(browser, "#state", "Workers take runs").await;
}

async fn confirm(browser: &Browser) {
    browser.click(".confirm .danger-button").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_there_is_and_acts() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = with_page().await;
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
    system.model.push(Turn::status(400));
    system
        .say("bob", "hello")
        .await
        .assert_error(502, "model_error");
    let gate = Gate::closed();
    let turn = Turn::text("one two three").gate_after(1, &gate);
    system.model.push(turn);
    let at_work = accepted(&system, "eve").await;
    gate.reached(1).await.expect("it is at work");

    browser.open(&format!("{}/admin", system.url)).await;
    reads(&browser, ".gate-card h1", "Operations").await;
    browser
        .type_into("#token", "another token, and a wrong one")
        .await;
    browser.click(".gate-form .primary").await;
    reads(&browser, ".gate-problem", "not the operator's token").await;
    sign_in(&browser, &system).await;
    // No script has the token, nor the session.
    let kept = "return document.cookie + JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.querySelector('#gate').innerHTML";
    assert_eq!(browser.script(kept).await, "{}{}");

    for (list, text) in [
        (1, "0 of 0"),
        (1, "takes runs"),
        (2, &at_work),
        (2, "eve"),
        (3, "No run waits for a worker."),
        (4, "model_error 1 run"),
    ] {
        let text = text.replace("0 of 0", "1 of 100");
        reads(&browser, &format!("#lists > :nth-child({list})"), &text).await;
    }
    reads(&browser, "#tiles", "A turn takes").await;
    reads(&browser, "#charts", "1 completed, 1 failed, 0 cancelled").await;
    let told = browser.script("return document.body.innerText").await;
    assert!(!told.to_string().contains("Hello"), "{told}");

    // The story of the run at work, and its end.
    browser.click("#lists > :nth-child(2) a").await;
    reads(&browser, "#story", "Run running").await;
    reads(&browser, "#story .line", "Taken by a worker").await;
    browser.click("#story .story-buttons button").await;
    let ended = system.get("eve", &format!("runs/{at_work}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "cancelled");
    browser
        .click("#story .story-buttons button:last-child")
        .await;
    reads(&browser, "#story", "Run cancelled").await;
    browser.click("#story [aria-label=Close]").await;

    // A pause, under which a run waits.
    browser.click("#pause").await;
    confirm(&browser).await;
    reads(&browser, "#state", "by admin at 127.0.0.1").await;
    system.model.push(Turn::text("behind the pause"));
    let waits = accepted(&system, "joe").await;
    reads(&browser, "#lists > :nth-child(3)", &waits).await;
    browser.click("#pause").await;
    reads(&browser, "#state", "Workers take runs").await;
    let ended = system.get("joe", &format!("runs/{waits}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "completed");

    // What failed gets another chance.
    system.model.push(Turn::text("This time."));
    browser.click(".cause > summary").await;
    browser.click(".cause td button").await;
    let none = "No run failed in the last 24 hours.";
    reads(&browser, "#lists > :nth-child(4)", none).await;
    system
        .until(
            "select count(*) from runs where status = 'completed' and user_id = 'bob'",
            1,
        )
        .await;

    browser.click("#lists > :nth-child(1) td button").await;
    confirm(&browser).await;
    let none = "No worker was heard of in the last ten minutes.";
    reads(&browser, "#lists > :nth-child(1)", none).await;

    // A look every two seconds takes nobody's focus.
    browser.click("#find-id").await;
    browser.type_into("#find-id", &at_work).await;
    reads(&browser, "#state", "No worker was heard of").await;
    let focus = browser.script("return document.activeElement.id").await;
    assert_eq!(focus, "find-id");
    browser.press("\u{E007}").await;
    reads(&browser, "#story", "Run cancelled").await;
    browser.press("\u{E00C}").await;

    browser.click("#sign-out").await;
    reads(&browser, ".gate-card h1", "Operations").await;
    browser.end(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_everybody_in_light_and_dark_and_on_a_phone() {
    let (Some(axe), Some(browser)) = (axe(), Browser::start().await) else {
        return;
    };
    let system = with_page().await;
    for (user, turn) in [("ada", Turn::text("Hello.")), ("bob", Turn::status(400))] {
        system.model.push(turn);
        system.say(user, "hello").await;
    }
    // An hour of some use.
    sqlx::query(
        "insert into conversations (id, user_id, title) values ('01a21ff1-0000-7000-8000-000000000000', 'zoe', 'past')",
    )
    .execute(&system.db)
    .await
    .expect("a conversation");
    sqlx::query(
        "insert into runs (id, conversation_id, user_id, status, created_at, started_at, admitted_at, finished_at, error_code, attempt)
         select gen_random_uuid(), '01a21ff1-0000-7000-8000-000000000000', 'zoe', case when n % 19 = 0 then 'failed' when n % 11 = 0 then 'cancelled' else 'completed' end,
                now() - make_interval(secs => n * 9 + 2 + n % 7), now() - make_interval(secs => n * 9 + 1), now() - make_interval(secs => n * 9 + 1), now() - make_interval(secs => n * 9), case when n % 19 = 0 then 'run_timeout' end, 1
         from generate_series(1, 390) n where n % 40 > 9",
    )
    .execute(&system.db)
    .await
    .expect("runs");
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text("one two").stall_after(1));
    let at_work = accepted(&system, "eve").await;
    system.model.requests_seen(4).await.expect("it is at work");

    browser.open(&format!("{}/admin", system.url)).await;
    reads(&browser, ".gate-card h1", "Operations").await;
    assert_eq!(broken(&browser, &axe).await, json!([]), "the way in");
    browser.picture("operations-gate").await;
    sign_in(&browser, &system).await;
    reads(&browser, "#lists > :nth-child(2)", &at_work).await;
    browser.click(".cause > summary").await;
    for (size, width, height) in [("desktop", 1280, 900), ("phone", 390, 844)] {
        let screen = json!({"deviceScaleFactor": 1, "mobile": size == "phone"});
        browser.be_of_size(width, height, screen).await;
        for theme in ["light", "dark"] {
            let set = format!(
                "document.documentElement.dataset.theme = '{theme}'; document.getAnimations().forEach((it) => it.finish()); scrollTo(0, 0);"
            );
            browser.script(&set).await;
            assert_eq!(broken(&browser, &axe).await, json!([]), "{size}, {theme}");
            // Nothing is wider than the window but what is scrolled by itself.
            let wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.script(wider).await, json!(0), "{size}");
            browser.picture(&format!("operations-{size}-{theme}")).await;
            browser.script("scrollTo(0, 1e6)").await;
            browser
                .picture(&format!("operations-{size}-{theme}-end"))
                .await;
            browser.script("location.hash = ''").await;
            browser
                .script(&format!("location.hash = 'run={at_work}'"))
                .await;
            reads(&browser, "#story .line", "add_task, done").await;
            assert_eq!(
                broken(&browser, &axe).await,
                json!([]),
                "the story, {size}, {theme}"
            );
            browser
                .picture(&format!("operations-{size}-{theme}-story"))
                .await;
            browser.click("#story [aria-label=Close]").await;
        }
    }
    let told: Value = browser.script("return document.body.innerText").await;
    assert!(!told.to_string().contains("milk"), "{told}");
    browser.end(&[]).await;
}
