//! The shipped programs as processes of their own, for what only a process can suffer: kill -9, signals, exit codes.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::OnceCell,
    time::timeout,
};

use super::PATIENCE;

static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

/// Builds the programs once, as `cargo test` builds none of other packages; returns their folder.
async fn programs() -> &'static Path {
    BUILT
        .get_or_init(|| async {
            // target/<profile>/deps/it-<hash>
            let test = std::env::current_exe().expect("this test's path");
            let folder = test
                .parent()
                .and_then(Path::parent)
                .expect("the profile's folder")
                .to_owned();
            let mut build = Command::new(env!("CARGO"));
            build
                .args(["build", "--workspace", "--bins", "--quiet"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            build
                .arg("--target-dir")
                .arg(folder.parent().expect("the target folder"));
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            assert!(
                build.status().await.expect("cargo").success(),
                "the programs do not build"
            );
            folder
        })
        .await
}

/// A program with nothing in its environment but what is given. Killed when dropped.
pub(crate) async fn command<'a>(
    program: &str,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Command {
    let mut command = Command::new(programs().await.join(program));
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
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

/// A program that runs on.
pub(crate) struct Process {
    child: Child,
    said: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Process {
    pub(crate) async fn start<'a>(
        program: &str,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut command = command(program, arguments, environment).await;
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (sender, said) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(line);
            }
        });
        Self { child, said }
    }

    /// Waits for a line of the log that contains this; returns it.
    pub(crate) async fn until_says(&mut self, text: &str) -> String {
        timeout(PATIENCE, async {
            let mut before = Vec::new();
            while let Some(line) = self.said.recv().await {
                if line.contains(text) {
                    return line;
                }
                before.push(line);
            }
            panic!("ended without saying {text:?}, but: {before:#?}");
        })
        .await
        .unwrap_or_else(|_| panic!("never says {text:?}"))
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
