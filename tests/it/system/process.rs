//! The shipped programs as processes of their own, for what only a process can suffer: kill -9, signals, exit codes.
//!
//! Whatever they say is searched for secrets: a test that plants one puts `canary-` in front of it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use errand_devkit::programs::{self, Build};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{OnceCell, mpsc},
    time::timeout,
};

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
    alone(&program, arguments, environment)
}

/// This file as a program, with nothing in its environment but what is given.
fn alone<'a>(
    program: &Path,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    // No .env of the clone.
    command.current_dir(std::env::temp_dir());
    command
}

/// Runs a program to its end; returns its status and what it said.
pub(crate) async fn run<'a>(
    program: &str,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> (ExitStatus, String) {
    let output = command(program, arguments, environment).await.output();
    let output = timeout(PATIENCE * 4, output)
        .await
        .expect("ends in time")
        .expect("starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let told: Vec<&str> = said.lines().filter(|line| leaks(line)).collect();
    assert!(told.is_empty(), "{program} tells a secret: {told:#?}");
    (output.status, said)
}

async fn read(output: impl AsyncRead + Unpin, lines: mpsc::UnboundedSender<String>, told: Told) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        if leaks(&line) && !is_example(&line) {
            told.lock().expect("no panic").push(line.clone());
        }
        let _ = lines.send(line);
    }
}

/// Lines with secrets.
type Told = Arc<Mutex<Vec<String>>>;

/// A program that runs on.
pub(crate) struct Process {
    child: Child,
    said: mpsc::UnboundedReceiver<String>,
    heard: Vec<String>,
    told: Told,
}

impl Process {
    pub(crate) async fn start<'a>(
        program: &str,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::spawn(command(program, arguments, environment).await)
    }

    /// Starts a program that has fail points.
    pub(crate) async fn with_fail_points<'a>(
        program: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let program = with_fail_points().await.join(program);
        Self::spawn(alone(&program, &[], environment))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let (sender, said) = mpsc::unbounded_channel();
        let told = Told::default();
        let (stderr, stdout) = (child.stderr.take(), child.stdout.take());
        tokio::spawn(read(
            stderr.expect("a pipe"),
            sender.clone(),
            Arc::clone(&told),
        ));
        tokio::spawn(read(stdout.expect("a pipe"), sender, Arc::clone(&told)));
        Self {
            child,
            said,
            heard: Vec::new(),
            told,
        }
    }

    /// Waits for a line that contains this, among those already said too; returns it.
    pub(crate) async fn until_says(&mut self, text: &str) -> String {
        if let Some(line) = self.heard.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let heard = timeout(PATIENCE, async {
            while let Some(line) = self.said.recv().await {
                self.heard.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        match heard.await {
            Ok(Some(line)) => line,
            ended => panic!(
                "never says {text:?} (ended: {}), but: {:#?}",
                ended.is_ok(),
                self.heard
            ),
        }
    }

    /// The lines that were waited through so far.
    pub(crate) fn heard(&self) -> &[String] {
        &self.heard
    }

    /// Hears it out, after its end.
    pub(crate) async fn rest(&mut self) {
        while let Some(line) = timeout(PATIENCE, self.said.recv()).await.expect("ends") {
            self.heard.push(line);
        }
    }

    /// Checks that it has told no secret so far.
    #[track_caller]
    pub(crate) fn assert_discreet(&self) {
        let told = self.told.lock().expect("no panic");
        assert!(told.is_empty(), "it tells secrets: {told:#?}");
    }

    /// The most memory, in bytes, that it ever held at once; none where the system does not tell.
    pub(crate) fn most_memory(&self) -> Option<u64> {
        let pid = self.child.id().expect("is alive");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kibibytes << 10)
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("dies");
    }

    /// Sends a signal by name, such as TERM, STOP, CONT.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("is alive").to_string();
        let kill = Command::new("kill")
            .args([OsStr::new("-s"), name.as_ref(), pid.as_ref()])
            .status();
        assert!(kill.await.expect("kill").success());
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self, within: Duration) -> ExitStatus {
        timeout(within, self.child.wait())
            .await
            .expect("ends in time")
            .expect("a status")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_discreet();
        }
    }
}
