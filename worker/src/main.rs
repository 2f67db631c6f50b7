//! The worker's process: configuration, logs, signals.

use std::process::ExitCode;

use clap::Parser;
use errand_shared::{config, faults, signals, telemetry};
use errand_worker::{Config, Worker};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match config::load(Config::try_parse, Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(invalid) = telemetry::start(&config.log) {
        return config::refuse(&invalid);
    }
    faults::start();
    let stop = CancellationToken::new();
    signals::cancel_on_terminate(stop.clone());
    let result = async { Worker::build(&config).await?.run(stop).await };
    match result.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the worker stopped");
            ExitCode::FAILURE
        }
    }
}
