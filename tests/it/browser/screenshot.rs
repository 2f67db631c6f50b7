//! The picture in the README: the page after a few things were said.
//!
//! `UPDATE_DOCS=1 cargo it browser::screenshot` takes it anew. It differs from day to day and from font to font, so that it is there and
//! what is in it is all that is asked for otherwise.

use std::{fs, path::PathBuf};

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{by_name, chrome::Browser};
use crate::system::TestSystem;

/// What is on the list before anything is said.
const TASKS: [(&str, i64, &str); 4] = [
    ("Pay the rent", -1, "p1"),
    ("Call Ann about the trip", 0, "p2"),
    ("Water the plants", 2, "p4"),
    ("Book the dentist", 4, "p3"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_the_page() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let system = TestSystem::with(by_name()).await;
    let today = chrono::Utc::now().date_naive();
    for (title, in_days, priority) in TASKS {
        let due = today + chrono::Duration::days(in_days);
        let task = json!({"title": title, "due_date": due, "priority": priority});
        system.model.push(Turn::call("add_task", task));
        system.model.push(Turn::text("Added."));
        system.say("ada", "Add it.").await.assert_ok();
    }
    let deleted = system.request(reqwest::Method::GET, "ada", "conversations");
    for conversation in deleted
        .send()
        .await
        .expect("an answer")
        .json::<Value>()
        .await
        .expect("JSON")["conversations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let path = format!(
            "conversations/{}",
            conversation["id"].as_str().expect("an id")
        );
        let delete = system.request(reqwest::Method::DELETE, "ada", &path);
        assert!(
            delete
                .send()
                .await
                .expect("an answer")
                .status()
                .is_success()
        );
    }

    browser
        .be_of_size(1280, 760, json!({"deviceScaleFactor": 1, "mobile": false}))
        .await;
    browser.sign_in(&system.url, "ada").await;
    let tomorrow = today + chrono::Duration::days(1);
    system.model.push(
        Turn::call(
            "add_task",
            json!({"title": "Buy milk", "due_date": tomorrow}),
        )
        .and_call(
            "add_task",
            json!({"title": "Pick up the parcel", "due_date": tomorrow, "due_time": "17:00"}),
        ),
    );
    system.model.push(Turn::text(
        "Both are on your list for tomorrow; the parcel at 17:00.",
    ));
    browser
        .say("Tomorrow: buy milk, and pick up the parcel at 5")
        .await;
    browser
        .sees("the reply", |seen| {
            seen.replies.len() == 1 && !seen.can_stop && seen.tasks.len() >= 6
        })
        .await;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(picture(), browser.png().await).expect("can be written");
    }
    let png = fs::read(picture()).expect("docs/screenshot.png");
    assert!(
        png.starts_with(b"\x89PNG") && png.len() < 300_000,
        "{} bytes",
        png.len()
    );
    browser.end(&[]).await;
}

fn picture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshot.png")
}
