//! Programs that run beside this one, as processes: started, heard, signalled, waited for.
//!
//! Which programs there are and how they are built is in [`crate::programs`].

use std::{
    fs::{self, OpenOptions},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

mod lines;

use lines::Lines;

/// Between two looks at something that is to get ready.
const LOOK: Duration = Duration::from_millis(100);

/// Below the ports that systems give away unasked: nobody takes one before a program does, nor while that is down.
const PORTS: Range<u16> = 20_000..32_000;

/// This program with nothing of our environment and no `.env` of the clone, killed when dropped.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Has a program write what it says to the end of this file.
///
/// # Errors
/// The file cannot be opened.
pub fn log_to(command: &mut Command, file: &Path) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(file)?;
    command.stdout(log.try_clone()?).stderr(log);
    Ok(())
}

/// Runs a program to its end; its status and what it said, first on its standard output, then on its standard error.
///
/// # Errors
/// It does not start, or does not end in time.
pub async fn output(command: &mut Command, within: Duration) -> Result<(ExitStatus, String)> {
    let output = timeout(within, command.kill_on_drop(true).output());
    let output = output.await.context("it does not end in time")??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status, String::from_utf8_lossy(&said).into_owned()))
}

/// Sends a signal by name, such as TERM, STOP, CONT.
///
/// # Errors
/// There is no such process, or it is not ours to signal.
pub async fn signal(pid: u32, name: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]);
    let status = kill.stderr(Stdio::null()).status().await?;
    ensure!(status.success(), "cannot send {name} to {pid}");
    Ok(())
}

/// KiB of memory that a process has, as `field` of its status: `VmRSS` is in use now, `VmHWM` was at most.
///
/// # Errors
/// There is no such process, or the system does not tell.
pub fn memory(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let size = size.with_context(|| format!("no {field}"))?;
    Ok(size.trim().trim_end_matches(" kB").parse()?)
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::rng().random_range(PORTS));
    let free = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.unwrap_or_else(|| unreachable!("it looks on"))
}

/// Waits until this URL answers 200.
///
/// # Errors
/// It does not within this time, or `check`, which is asked again and again meanwhile, fails.
pub async fn until_ready(
    url: &str,
    within: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + within;
    let http = reqwest::Client::builder().timeout(within).build()?;
    while !http.get(url).send().await.is_ok_and(|r| r.status() == 200) {
        check()?;
        ensure!(Instant::now() < deadline, "{url} does not get ready");
        sleep(LOOK).await;
    }
    Ok(())
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    lines: Lines,
}

impl Process {
    /// Starts a program, which is called `name` in errors.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("{name} does not start"))?;
        let pid = child.id().context("no process")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            pid,
            lines: Lines::default(),
        })
    }

    /// As [`Self::start`], and hears what the program says: `look` sees each line as soon as it is said.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_heard(
        name: &str,
        command: &mut Command,
        look: impl Fn(&str) + Clone + Send + 'static,
    ) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Self::start(name, command)?;
        process.lines = Lines::of(&mut process.child, look);
        Ok(process)
    }

    /// Of the process, also after its end.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended, {ended:?}", self.name);
        Ok(())
    }

    /// Waits for a line that contains this, among those already said too; returns it.
    ///
    /// # Errors
    /// None comes within this time, or before the program has ended; tells what was said instead.
    pub async fn until_says(&mut self, text: &str, within: Duration) -> Result<String> {
        let said = self.lines.until(text, within).await;
        said.with_context(|| format!("{} never says {text:?}", self.name))
    }

    /// The lines that were waited through so far.
    pub fn heard(&self) -> &[String] {
        self.lines.heard()
    }

    /// Hears it out, after its end.
    ///
    /// # Errors
    /// Somebody holds its output open for longer than this.
    pub async fn rest(&mut self, within: Duration) -> Result<()> {
        self.lines.rest(within).await
    }

    /// The process, to be signalled; an error if it was seen to end.
    fn alive(&self) -> Result<u32> {
        let pid = self.child.id();
        pid.with_context(|| format!("{} has ended", self.name))
    }

    /// KiB as [`memory`] tells.
    ///
    /// # Errors
    /// As there.
    pub fn memory(&self, field: &str) -> Result<u64> {
        memory(self.alive()?, field)
    }

    /// Sends a signal by name.
    ///
    /// # Errors
    /// It has ended.
    pub async fn signal(&self, name: &str) -> Result<()> {
        signal(self.alive()?, name).await
    }

    /// kill -9, and waits for the end.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends its standard input, if that was piped.
    pub fn hang_up(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not come within this time.
    pub async fn ends(&mut self, within: Duration) -> Result<ExitStatus> {
        let ended = timeout(within, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} does not end in time", self.name))??)
    }

    /// Waits for its end for a while; none if it goes on.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn ended_within(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        Ok(timeout(within, self.child.wait()).await.ok().transpose()?)
    }

    /// Asks it to stop, and waits.
    ///
    /// # Errors
    /// It has ended before, or does not end within this time.
    pub async fn stop(mut self, within: Duration) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        self.ends(within).await
    }
}
