//! API and worker as processes of their own: this program again, under another first argument, so that what is measured
//! is never older than what measures. They stop when their standard input ends, which it also does if we die.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    path::Path,
    process::Stdio,
};

use anyhow::{Result, ensure};
use clap::Parser;
use errand_api::Api;
use errand_server::telemetry;
use errand_worker::Worker;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Serves as the part that the first argument names; `None` if it names none.
pub(crate) async fn serve(arguments: &[String]) -> Option<Result<()>> {
    let rest = arguments.iter().skip(2).map(String::as_str);
    match arguments.get(1).map(String::as_str) {
        Some("api") => Some(api(rest).await),
        Some("worker") => Some(worker(rest).await),
        _ => None,
    }
}

async fn api(arguments: impl Iterator<Item = &str>) -> Result<()> {
    let config = errand_api::Config::from_arguments(arguments)?;
    telemetry::start(&config.log)?;
    Ok(Api::build(&config, until_left_alone())
        .await?
        .serve()
        .await?)
}

async fn worker(arguments: impl Iterator<Item = &str>) -> Result<()> {
    let arguments = std::iter::once("errand-worker").chain(arguments);
    let config = errand_worker::Config::try_parse_from(arguments)?;
    telemetry::start(&config.log)?;
    Ok(Worker::build(&config)
        .await?
        .run(until_left_alone())
        .await?)
}

fn until_left_alone() -> CancellationToken {
    let stop = CancellationToken::new();
    let left = stop.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        left.cancel();
    });
    stop
}

/// A part that runs.
pub(crate) struct Part {
    child: Child,
    pub(crate) pid: u32,
}

impl Part {
    /// Starts a part; what it logs goes to a file in `state`.
    pub(crate) fn start(name: &str, arguments: &[&str], state: &Path) -> Result<Self> {
        let log = state.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(std::env::current_exe()?);
        // Nothing of the caller's environment or clone configures it.
        command.arg(name).args(arguments).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.stderr(log).kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await?;
        ensure!(status.success(), "a part ended with {status}");
        Ok(())
    }
}
