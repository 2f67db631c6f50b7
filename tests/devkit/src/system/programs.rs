//! APIs and workers as processes of their own: the programs as they are built to ship.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use super::Arguments;
use crate::{
    process::{self, Process},
    programs::{self, Build},
};

/// The built programs, and where they log.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    logs: PathBuf,
}

/// A program that serves HTTP.
#[derive(Debug)]
pub struct Served {
    pub process: Process,
    /// Its base URL.
    pub url: String,
}

impl Programs {
    /// Builds them; they are to log into this folder.
    ///
    /// # Errors
    /// They do not build.
    pub async fn build(build: Build, logs: &Path) -> Result<Self> {
        let folder = tokio::task::spawn_blocking(move || programs::build(build)).await??;
        let logs = logs.to_owned();
        Ok(Self { folder, logs })
    }

    /// The file of a program such as `errand-api`.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// The log of whoever is called this.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a program, called `name` in errors and in its log's name.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, program: &str, name: &str, arguments: &Arguments) -> Result<Process> {
        let mut command = process::command(self.path(program));
        command.args(arguments.iter());
        process::log_to(&mut command, &self.log(name))?;
        Process::start(name, &mut command)
    }

    /// Starts a program that serves HTTP, on a port that is free.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&self, program: &str, name: &str, arguments: &Arguments) -> Result<Served> {
        let port = process::free_port();
        let arguments = arguments.clone().with("--port", port);
        Ok(Served {
            process: self.start(program, name, &arguments)?,
            url: format!("http://127.0.0.1:{port}"),
        })
    }
}

impl Served {
    /// Waits until it answers that it is ready.
    ///
    /// # Errors
    /// It does not within this time, or it ends.
    pub async fn until_ready(&mut self, within: Duration) -> Result<()> {
        let ready = format!("{}/readyz", self.url);
        process::until_ready(&ready, within, || self.process.check()).await
    }
}
