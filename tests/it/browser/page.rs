//! The page as a person uses it: what can be seen on it, and what can be done with it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::chrome::Browser;
use crate::system::PATIENCE;

/// The Enter key in the WebDriver protocol.
const ENTER: char = '\u{E007}';

const LOOK: &str = r##"
    const shown = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
    const texts = (selector) => shown(selector).map((element) => element.innerText.trim());
    return {
        messages: texts(".from-user .bubble"),
        replies: texts(".from-agent .md"),
        tools: texts(".receipt-words, .trouble-words").map((words) => words.replaceAll("\n", "")),
        tasks: texts("#tasks [aria-label='Open tasks'] .task:not(.is-going) .task-title"),
        notices: texts(".attempt, .stopped, .failure"),
        connection: texts("#connection").join(" "),
        can_stop: shown("[aria-label='Stop the answer']").length === 1,
    };
"##;

/// What can be seen at one moment, from top to bottom.
#[derive(Debug)]
pub(super) struct Seen {
    /// What the user said.
    pub(super) messages: Vec<String>,
    pub(super) replies: Vec<String>,
    /// What the receipts tell: of each turn one line for what was done, and one for each call that was not.
    pub(super) tools: Vec<String>,
    /// The titles of the open tasks in the task panel.
    pub(super) tasks: Vec<String>,
    /// What is said about a turn: another attempt, stopped, failed.
    pub(super) notices: Vec<String>,
    /// What is said about the connection; empty while all is well.
    pub(super) connection: String,
    pub(super) can_stop: bool,
}

impl Seen {
    fn of(look: &Value) -> Self {
        let texts = |name: &str| {
            let texts = look[name].as_array().expect("a list").iter();
            texts
                .map(|text| text.as_str().expect("a text").to_owned())
                .collect()
        };
        Self {
            messages: texts("messages"),
            replies: texts("replies"),
            tools: texts("tools"),
            tasks: texts("tasks"),
            notices: texts("notices"),
            connection: look["connection"].as_str().expect("a text").to_owned(),
            can_stop: look["can_stop"].as_bool().expect("yes or no"),
        }
    }

    /// One reply, of which this much can be read. Nothing else has any place on the page, at any moment.
    pub(super) fn reads(&self, so_far: &str, whole: &str) -> bool {
        assert!(
            self.replies.len() <= 1 && self.replies.iter().all(|reply| whole.starts_with(reply)),
            "not the beginning of {whole:?}: {:?}",
            self.replies
        );
        self.replies == [so_far]
    }
}

impl Browser {
    /// Opens the page and signs in under a name, at the stand-in that believes everybody.
    pub(super) async fn sign_in(&self, url: &str, name: &str) {
        self.open(url).await;
        self.type_into("#sign-in-name", name).await;
        self.click("#gate button[type=submit]").await;
        self.until("the user's name", async || {
            self.script("return document.querySelector('#user-name').innerText")
                .await
                == name
        })
        .await;
    }

    /// Writes a message and sends it.
    pub(super) async fn say(&self, message: &str) {
        self.type_into("#composer-text", &format!("{message}{ENTER}"))
            .await;
    }

    pub(super) async fn look(&self) -> Seen {
        Seen::of(&self.script(LOOK).await)
    }

    /// Looks until this can be seen.
    pub(super) async fn sees(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        self.until(what, async || holds(&self.look().await)).await;
    }

    /// Waits until a script returns this text.
    pub(super) async fn shows(&self, script: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.script(script).await;
            if shown == text {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "never shown: {text:?}, but: {shown:?} on {:#?}",
                self.look().await
            );
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until this holds.
    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() > deadline {
                panic!("never seen: {what}, but: {:#?}", self.look().await);
            }
            sleep(Duration::from_millis(25)).await;
        }
    }
}
