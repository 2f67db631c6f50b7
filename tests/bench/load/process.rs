//! Programs that run beside this one.

use std::{fs::OpenOptions, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A worker gives what runs up to 20 s.
const STOP: Duration = Duration::from_secs(40);
/// For a model to say where it listens.
const START: Duration = Duration::from_secs(20);

/// A running program, killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    pub(crate) pid: u32,
}

impl Process {
    /// Starts a program with these arguments and nothing of our environment; what it logs goes to `{name}.log` in `state`.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        state: &Path,
    ) -> Result<Self> {
        let log = state.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(state);
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        command.stderr(log);
        Self::spawn(name, &mut command)
    }

    /// Starts this program again as the model; returns it with its base URL.
    pub(crate) async fn model() -> Result<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("model").env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut model = Self::spawn("model", &mut command)?;
        let stdout = model.child.stdout.take().context("no output")?;
        let mut line = String::new();
        timeout(START, BufReader::new(stdout).read_line(&mut line)).await??;
        let url = line.trim().to_owned();
        ensure!(url.starts_with("http"), "the model does not start");
        Ok((model, url))
    }

    pub(crate) fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("{name} does not start"))?;
        let pid = child.id().context("no process")?;
        let name = name.to_owned();
        Ok(Self { child, name, pid })
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended, {ended:?}", self.name);
        Ok(())
    }

    /// Asks it to stop, and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-s", "TERM", &self.pid.to_string()]);
        kill.status().await?;
        let ended = timeout(STOP, self.child.wait()).await;
        ended.with_context(|| format!("{} does not stop", self.name))??;
        Ok(())
    }
}
