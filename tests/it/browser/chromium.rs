//! Chromium processes without a screen, each with a chromedriver of its own. They are started for one test and used by those after it: a
//! start takes two seconds of a processor, a window a quarter of that.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::timeout};

use crate::system::PATIENCE;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// Those whose test has ended well. One whose test has failed is not used again.
static IDLE: Mutex<Vec<Chromium>> = Mutex::new(Vec::new());

/// Starts a driver in a folder and ends it, and takes the folder away, when standard input does: also when the tests were killed.
const GUARDIAN: &str = r#"
exec 3<&0 </dev/null
"$2" --port=0 2>/dev/null 3<&- &
driver=$!
exec >&-
while read -r line; do :; done <&3
kill -KILL "$driver" 2>/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" 2>/dev/null
    sleep 0.2
    [ -e "$1" ] || exit 0
done
"#;

/// A Chromium and its driver. They and their folder go when this is dropped or the tests end.
pub(super) struct Chromium {
    guardian: Child,
    /// Chromium's process.
    process: Option<String>,
    /// Where its commands are sent.
    session: String,
    /// The window that it began with, which stays empty: without one it would end.
    first: Value,
}

impl Chromium {
    /// One that is there, or a new one; none on a machine without Chromium, which is then said.
    pub(super) async fn any() -> Option<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if idle.is_some() {
            return idle;
        }
        let (Some(chromium), Some(chromedriver)) = (find("chromium"), find("chromedriver")) else {
            #[expect(
                clippy::print_stderr,
                reason = "a test that proves nothing must say so"
            )]
            {
                eprintln!("skipped: no Chromium on this machine");
            }
            return None;
        };
        Some(Self::start(&chromium, &chromedriver).await)
    }

    async fn start(chromium: &Path, chromedriver: &Path) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        // Short, as it will hold a socket.
        let folder =
            std::env::temp_dir().join(format!("errand-ui-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder for the browser");
        let (guardian, port) = drive(chromedriver, &folder).await;
        let mut started = Self {
            guardian,
            process: None,
            session: format!("http://127.0.0.1:{port}/session"),
            first: Value::Null,
        };
        let http = reqwest::Client::new();
        let begun = started.command(&http, Method::POST, "", wishes(chromium, &folder));
        let begun = begun.await.expect("a session");
        started.process = Some(begun["capabilities"]["goog:processID"].to_string());
        let id = begun["sessionId"].as_str().expect("an id");
        started.session = format!("{}/{id}", started.session);
        let first = started.command(&http, Method::GET, "/window", Value::Null);
        started.first = first.await.expect("a window");
        started
    }

    /// Opens a window that has nothing behind it, and looks at it.
    pub(super) async fn fresh_window(&self, http: &reqwest::Client) -> Result<(), String> {
        let window = json!({"type": "window"});
        let window = self.command(http, Method::POST, "/window/new", window);
        let window = window.await?["handle"].take();
        let window = json!({"handle": window});
        self.command(http, Method::POST, "/window", window).await?;
        // The window that a person is at. Others that a test opens are not.
        self.tell(
            http,
            "Emulation.setFocusEmulationEnabled",
            json!({"enabled": true}),
        )
        .await?;
        // What the test before has left there at its very end.
        let log = json!({"type": "browser"});
        self.command(http, Method::POST, "/se/log", log).await?;
        Ok(())
    }

    /// Takes away all that a test has left in it, and keeps it for the next one.
    pub(super) async fn free(
        self,
        http: &reqwest::Client,
        origins: &BTreeSet<String>,
    ) -> Result<(), String> {
        for origin in origins {
            let all = json!({"origin": origin, "storageTypes": "all"});
            self.tell(http, "Storage.clearDataForOrigin", all).await?;
        }
        for clear in ["Network.clearBrowserCookies", "Network.clearBrowserCache"] {
            self.tell(http, clear, json!({})).await?;
        }
        let windows = self.command(http, Method::GET, "/window/handles", Value::Null);
        for window in windows.await?.as_array().into_iter().flatten() {
            if *window != self.first {
                let handle = json!({"handle": window});
                self.command(http, Method::POST, "/window", handle).await?;
                self.command(http, Method::DELETE, "/window", Value::Null)
                    .await?;
            }
        }
        let handle = json!({"handle": self.first});
        self.command(http, Method::POST, "/window", handle).await?;
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(self);
        Ok(())
    }

    async fn tell(
        &self,
        http: &reqwest::Client,
        command: &str,
        parameters: Value,
    ) -> Result<Value, String> {
        let body = json!({"cmd": command, "params": parameters});
        self.command(http, Method::POST, "/goog/cdp/execute", body)
            .await
    }

    /// A command of the WebDriver protocol; an error is its code and message.
    pub(super) async fn command(
        &self,
        http: &reqwest::Client,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Value, String> {
        let mut request = http
            .request(method.clone(), format!("{}{path}", self.session))
            .timeout(3 * PATIENCE);
        if method == Method::POST {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(code) => Err(format!(
                "{code}: {}",
                value["message"].as_str().unwrap_or_default()
            )),
            None => Ok(value),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Asked to end, it would first write its profile down.
        if let Some(process) = self.process.take() {
            let _ = Command::new("kill").args(["-s", "KILL", &process]).status();
        }
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

fn wishes(chromium: &Path, folder: &Path) -> Value {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
        // Chromium ends with the pipe, so with its driver, however that ends.
        "--remote-debugging-pipe",
        &profile,
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        // A dialog stays, and the next command fails at it.
        "unhandledPromptBehavior": "ignore",
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"binary": chromium, "args": arguments},
    }}})
}

/// A program on the PATH, or where Debian puts it.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/bin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Starts chromedriver on a port of its choice. It ends if the port is free in IPv4 and taken in IPv6, so it may choose again.
async fn drive(chromedriver: &Path, folder: &Path) -> (Child, u16) {
    for _ in 0..5 {
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .args([folder, chromedriver])
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let said = guardian.stdout.take().expect("a pipe");
        let port = spawn_blocking(move || port(BufReader::new(said)));
        let port = timeout(PATIENCE, port).await.expect("starts in time");
        if let Some(port) = port.expect("no panic") {
            return (guardian, port);
        }
        // It has not taken its folder away yet: only the end of its input would make it.
        let _ = guardian.kill();
        let _ = guardian.wait();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("chromedriver ends instead of starting");
}

/// The port that chromedriver has chosen, read from what it says; none if it ended.
fn port(said: impl BufRead) -> Option<u16> {
    let mut lines = said.lines().map_while(Result::ok);
    lines.find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    })
}
