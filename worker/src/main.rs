//! The worker's process: configuration and logs.

use std::process::ExitCode;

use clap::Parser;
use errand_core::faults;
use errand_server::{config, process, telemetry, trace};
use errand_worker::{Config, Worker};

fn main() -> ExitCode {
    let config = match config::load(Config::try_parse, Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let started =
        telemetry::start(&config.log).and_then(|()| trace::start(&config.trace, "errand-worker"));
    if let Err(invalid) = started {
        return config::refuse(&invalid);
    }
    faults::start();
    process::run(|stop| Box::pin(async move { Worker::build(&config).await?.run(stop).await }))
}
