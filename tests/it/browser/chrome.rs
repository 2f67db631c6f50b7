//! A person's browser: windows of a Chromium, driven by the WebDriver protocol. Knows nothing of what the page shows.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep},
};

use super::chromium::Chromium;
use crate::system::PATIENCE;

/// A browser is a dozen processes.
static SEATS: Semaphore = Semaphore::const_new(2);

/// What the WebDriver protocol calls a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Scrolls to an element as a click would; tells whether it is in the same place a frame later.
const RESTS: &str = "
    const [element] = arguments;
    const place = () => Object.values(element.getBoundingClientRect().toJSON()).join();
    element.scrollIntoView({ behavior: 'instant', block: 'nearest', inline: 'nearest' });
    const before = place();
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(place() === before))));";
const MOVES: &str = "it moves";

/// A browser that knows nobody: no cookies, no storage, no history. What is open in it goes when this is dropped.
pub(super) struct Browser {
    chromium: Chromium,
    http: reqwest::Client,
    /// What was opened on purpose, to be forgotten at the end.
    origins: Mutex<BTreeSet<String>>,
    _seat: SemaphorePermit<'static>,
}

impl Browser {
    /// None on a machine without Chromium, and then says so.
    pub(super) async fn start() -> Option<Self> {
        let seat = SEATS.acquire().await.expect("is never closed");
        let browser = Self {
            chromium: Chromium::any().await?,
            http: reqwest::Client::new(),
            origins: Mutex::default(),
            _seat: seat,
        };
        let window = browser.chromium.fresh_window(&browser.http).await;
        window.expect("a window");
        browser.be_slow().await;
        Some(browser)
    }

    async fn command(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let command = self.chromium.command(&self.http, method, path, body);
        command.await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.command(Method::POST, path, body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.command(Method::GET, path, Value::Null).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn remember(&self, url: &str) {
        let origin = reqwest::Url::parse(url).expect("a URL").origin();
        let mut origins = self.origins.lock().expect("no panic");
        origins.insert(origin.ascii_serialization());
    }

    pub(super) async fn open(&self, url: &str) {
        self.remember(url);
        self.post("/url", json!({"url": url})).await;
    }

    pub(super) async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    pub(super) async fn address(&self) -> String {
        self.get("/url").await.as_str().expect("a URL").to_owned()
    }

    /// Opens another window, to be looked at with [`Self::look_at`]. Not a tab: a tab in the background draws nothing.
    pub(super) async fn new_window(&self) -> Value {
        self.post("/window/new", json!({"type": "window"})).await["handle"].take()
    }

    /// The window that is looked at.
    pub(super) async fn window(&self) -> Value {
        self.get("/window").await
    }

    /// All that follows is about this window.
    pub(super) async fn look_at(&self, window: &Value) {
        self.post("/window", json!({"handle": window})).await;
        self.be_slow().await;
    }

    /// Is as many times slower than this machine as `ERRAND_SLOWNESS` says, if it does: what fails then fails on a slow machine.
    async fn be_slow(&self) {
        let slowness = std::env::var_os("ERRAND_SLOWNESS");
        let slowness = slowness.as_deref().and_then(std::ffi::OsStr::to_str);
        if let Some(rate) = slowness.and_then(|it| it.parse::<u32>().ok()) {
            self.tell("Emulation.setCPUThrottlingRate", json!({"rate": rate}))
                .await;
        }
    }

    /// Runs a function body in the page; returns what it returns.
    pub(super) async fn script(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        let answer = self.command(Method::POST, "/execute/sync", body).await;
        answer.unwrap_or_else(|error| panic!("{error} in {script}"))
    }

    /// Takes a picture for people to look at, if `ERRAND_PICTURES` names a folder for it.
    pub(super) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("ERRAND_PICTURES") else {
            return;
        };
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, self.png().await).expect("a picture");
    }

    /// What the window shows, as a PNG.
    pub(super) async fn png(&self) -> Vec<u8> {
        let png = self.get("/screenshot").await;
        base64::prelude::BASE64_STANDARD
            .decode(png.as_str().expect("text"))
            .expect("base64")
    }

    /// Clicks on the element of this selector, as soon as it can be clicked and stays in its place: a click goes to where it was last seen.
    pub(super) async fn click(&self, selector: &str) {
        self.act(selector, "click", json!({})).await;
    }

    /// Types into the element of this selector, as soon as it takes keys.
    pub(super) async fn type_into(&self, selector: &str, keys: &str) {
        self.act(selector, "value", json!({"text": keys})).await;
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(super) async fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|stroke| json!({"type": stroke, "value": key}))
        });
        let strokes: Vec<Value> = strokes.collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": strokes}]);
        self.post("/actions", json!({"actions": actions})).await;
    }

    async fn act(&self, selector: &str, action: &str, body: Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.try_to_act(selector, action, &body).await else {
                return;
            };
            let early = [
                "no such element",
                "element not interactable",
                "element click intercepted",
                "stale",
                MOVES,
            ];
            let early = early.iter().any(|code| error.starts_with(code));
            if !early || Instant::now() > deadline {
                panic!(
                    "{action} {selector}: {error}; the page: {}",
                    self.words().await
                );
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Where the page is, what has the focus there, and all that can be read.
    async fn words(&self) -> Value {
        let words = "return [location.href, document.activeElement?.outerHTML.slice(0, 200), document.body?.innerText].join('\\n')";
        self.script(words).await
    }

    async fn try_to_act(&self, selector: &str, action: &str, body: &Value) -> Result<(), String> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.command(Method::POST, "/element", wanted).await?;
        let id = found[ELEMENT].as_str().expect("an element");
        if action == "click" {
            let arguments = json!({"script": RESTS, "args": [found]});
            let rests = self.command(Method::POST, "/execute/sync", arguments);
            if rests.await? == false {
                return Err(MOVES.to_owned());
            }
        }
        let path = format!("/element/{id}/{action}");
        self.command(Method::POST, &path, body.clone()).await?;
        Ok(())
    }

    /// What went wrong in any window since this was last asked: `console.error`, exceptions and rejections that nobody
    /// caught, violations of the content security policy, requests that failed.
    pub(super) async fn errors(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("entries").iter();
        entries
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| format!("{}: {}", entry["source"], entry["message"]))
            .collect()
    }

    /// Ends the browser, which has shown no dialog and has seen no error but those that contain one of `provoked`.
    pub(super) async fn end(self, provoked: &[&str]) {
        let dialog = self.command(Method::GET, "/alert/text", Value::Null).await;
        assert!(
            dialog
                .as_ref()
                .is_err_and(|error| error.starts_with("no such alert")),
            "a dialog: {dialog:?}"
        );
        let mut errors = self.errors().await;
        errors.retain(|error| !provoked.iter().any(|known| error.contains(known)));
        assert!(errors.is_empty(), "the browser's log: {errors:#?}");
        let origins = self.origins.into_inner().expect("no panic");
        let freed = self.chromium.free(&self.http, &origins).await;
        freed.expect("nothing is left");
    }
}
