//! The process of errand-mcp: configuration, logs (on standard error: standard output may be MCP's), signals.

use std::{process::ExitCode, time::Duration};

use errand_shared::{config, signals, telemetry};
use errand_worker::mcp::{self, Config};
use tokio_util::sync::CancellationToken;

/// For what still runs at the end. A read of standard input cannot be called off.
const LAST: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let config = match config::load(
        || Config::from_arguments(std::env::args_os()),
        Config::check,
    ) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(invalid) = telemetry::start(&config.log) {
        return config::refuse(&invalid);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        signals::cancel_on_terminate(stop.clone());
        mcp::run(&config, stop).await
    });
    runtime.shutdown_timeout(LAST);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "errand-mcp stopped");
            ExitCode::FAILURE
        }
    }
}
