//! The page for everybody: axe-core (npm) looks at it in both themes, on a desktop and on a phone.

use std::path::PathBuf;

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;

/// What is on the page, beside an empty one: tasks of all kinds, and a turn that changed one.
const TASKS: [&str; 4] = [
    r#"{"title": "pay rent", "due_date": "2026-01-05", "priority": "p1", "tags": ["home", "money"]}"#,
    r#"{"title": "call Ann", "due_date": "2031-03-04", "due_time": "17:00"}"#,
    r#"{"title": "water plants", "due_date": "2031-03-03", "repeat": "FREQ=WEEKLY;BYDAY=MO"}"#,
    r#"{"title": "לקנות חלב", "description": "in the shop at the corner"}"#,
];

/// Rules that were broken badly, and where.
const RUN: &str = "
    return axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => {
        const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        return bad.flatMap(({ id, impact, nodes }) => nodes.map(({ target, failureSummary }) => `${impact} ${id} ${target}: ${failureSummary}`));
    });";

/// axe-core's text; none if it is not installed, and then says so.
pub(super) fn axe() -> Option<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("axe/node_modules/axe-core/axe.min.js");
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        #[expect(
            clippy::print_stderr,
            reason = "a test that proves nothing must say so"
        )]
        {
            eprintln!("skipped: axe-core is not installed; run `npm ci` in tests/axe");
        }
    }
    text
}

pub(super) async fn broken(browser: &Browser, axe: &str) -> Value {
    browser.script(axe).await;
    browser.script(RUN).await
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious() {
    let (Some(axe), Some(browser)) = (axe(), Browser::start().await) else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    for arguments in TASKS {
        let arguments: Value = serde_json::from_str(arguments).expect("arguments");
        system.model.push(Turn::call("add_task", arguments));
        system.model.push(Turn::text("It is on your list."));
        system.say("ada", "add it").await.assert_ok();
    }
    browser.open(&system.url).await;
    browser
        .shows("return document.activeElement.id", "sign-in-name")
        .await;
    assert_eq!(broken(&browser, &axe).await, json!([]), "signing in");
    browser.sign_in(&system.url, "ada").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "buy milk"})));
    system.model.push(Turn::text(
        "**Milk** is on your list:\n\n- buy milk\n- and `more`",
    ));
    browser.say("add buy milk").await;
    browser
        .sees("the reply", |seen| {
            seen.replies.len() == 1 && !seen.can_stop
        })
        .await;
    for (size, width, height) in [("desktop", 1280, 800), ("phone", 390, 844)] {
        let screen = json!({"deviceScaleFactor": 1, "mobile": size == "phone"});
        browser.be_of_size(width, height, screen).await;
        for theme in ["light", "dark"] {
            let set = format!(
                "document.documentElement.dataset.theme = '{theme}'; document.getAnimations().filter((it) => it.effect.getComputedTiming().endTime < 1e6).forEach((it) => it.finish());"
            );
            browser.script(&set).await;
            let found = broken(&browser, &axe).await;
            browser.picture(&format!("axe-{size}-{theme}")).await;
            assert_eq!(found, json!([]), "{size}, {theme}");
        }
    }
    // The instrument is not deaf.
    browser
.script("for (const name of ['aria-label', 'placeholder', 'title']) document.querySelector('#composer-text').removeAttribute(name);")
        .await;
    let found = broken(&browser, &axe).await;
    assert!(found.to_string().contains("composer-text"), "{found}");
    browser.end(&[]).await;
}
