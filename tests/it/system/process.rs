//! The shipped programs as processes of their own, for what only a process can suffer: kill -9, signals, exit codes.
//!
//! Whatever they say is searched for secrets: a test that plants one puts `canary-` in front of it.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use errand_devkit::{
    process,
    programs::{self, Build},
};
use tokio::{process::Command, sync::OnceCell};

use super::PATIENCE;

/// Whether a text holds what no log may: a planted secret, also in Base64 as in Basic authentication, or a token.
pub(crate) fn leaks(text: &str) -> bool {
    ["canary-", "Y2FuYXJ5", "eyJ"]
        .iter()
        .any(|secret| text.contains(secret))
}

/// The banner of `cargo dev` hands out a token, for a first command and a first client to copy.
fn is_example(line: &str) -> bool {
    line.starts_with("    -H 'Authorization: Bearer ")
        || line
            .trim_start()
            .starts_with("\"Authorization\": \"Bearer ")
}

/// Builds the programs that ship once, as `cargo test` builds none of other packages; returns their folder.
pub(crate) async fn programs() -> &'static Path {
    static SHIPPED: OnceCell<PathBuf> = OnceCell::const_new();
    SHIPPED.get_or_init(|| built(Build::Shipped)).await
}

/// As [`programs`], those of development.
pub(crate) async fn development() -> &'static Path {
    static DEVELOPMENT: OnceCell<PathBuf> = OnceCell::const_new();
    DEVELOPMENT.get_or_init(|| built(Build::Development)).await
}

/// As [`programs`], with fail points.
async fn with_fail_points() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_init(|| built(Build::FailPoints)).await
}

async fn built(build: Build) -> PathBuf {
    let build = tokio::task::spawn_blocking(move || programs::build(build));
    build.await.expect("no panic").expect("the programs")
}

/// A program with nothing in its environment but what is given. Killed when dropped.
pub(crate) async fn command<'a>(
    program: &str,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Command {
    let program = match program {
        "errand-dev" => development().await.join(program),
        shipped => programs().await.join(shipped),
    };
    let mut command = process::command(program);
    command.args(arguments).envs(environment);
    command
}

/// Runs a program to its end; returns its status and what it said.
pub(crate) async fn run<'a>(
    program: &str,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> (ExitStatus, String) {
    let mut command = command(program, arguments, environment).await;
    let (status, said) = process::output(&mut command, PATIENCE * 4)
        .await
        .expect("starts, and ends in time");
    let told: Vec<&str> = said.lines().filter(|line| leaks(line)).collect();
    assert!(told.is_empty(), "{program} tells a secret: {told:#?}");
    (status, said)
}

/// A program that runs on.
pub(crate) struct Process {
    process: process::Process,
    /// Lines with secrets.
    told: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) async fn start<'a>(
        program: &str,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::spawn(program, command(program, arguments, environment).await)
    }

    /// Starts a program that has fail points.
    pub(crate) async fn with_fail_points<'a>(
        program: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut command = process::command(with_fail_points().await.join(program));
        command.envs(environment);
        Self::spawn(program, command)
    }

    fn spawn(name: &str, mut command: Command) -> Self {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let telling = Arc::clone(&told);
        let look = move |line: &str| {
            if leaks(line) && !is_example(line) {
                telling.lock().expect("no panic").push(line.to_owned());
            }
        };
        let process = process::Process::start_heard(name, &mut command, look);
        Self {
            process: process.expect("starts"),
            told,
        }
    }

    /// Waits for a line that contains this, among those already said too; returns it.
    pub(crate) async fn until_says(&mut self, text: &str) -> String {
        let said = self.process.until_says(text, PATIENCE).await;
        said.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The lines that were waited through so far.
    pub(crate) fn heard(&self) -> &[String] {
        self.process.heard()
    }

    /// Hears it out, after its end.
    pub(crate) async fn rest(&mut self) {
        self.process.rest(PATIENCE).await.expect("ends");
    }

    /// Checks that it has told no secret so far.
    #[track_caller]
    pub(crate) fn assert_discreet(&self) {
        let told = self.told.lock().expect("no panic");
        assert!(told.is_empty(), "it tells secrets: {told:#?}");
    }

    /// The most memory, in bytes, that it ever held at once; none where the system does not tell.
    pub(crate) fn most_memory(&self) -> Option<u64> {
        let kibibytes = self.process.memory("VmHWM").ok()?;
        Some(kibibytes << 10)
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("dies");
    }

    /// Sends a signal by name, such as TERM, STOP, CONT.
    pub(crate) async fn signal(&self, name: &str) {
        self.process.signal(name).await.expect("is alive");
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self, within: Duration) -> ExitStatus {
        self.process.ends(within).await.expect("ends in time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_discreet();
        }
    }
}
