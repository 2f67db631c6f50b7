//! The process of errand-mcp: configuration and logs (on standard error: standard output may be MCP's).

use std::process::ExitCode;

use errand_core::faults;
use errand_server::{config, process, telemetry, trace};
use errand_worker::mcp::{self, Config};

fn main() -> ExitCode {
    let arguments = || std::env::args_os();
    let parse = || Config::from_arguments(arguments());
    // A desktop client starts it in whatever folder that client was started in, and what lies there is not the user's word.
    let on_a_desktop = arguments().any(|argument| argument == "--stdio");
    let loaded = match on_a_desktop {
        true => config::load_from_environment(parse, Config::check),
        false => config::load(parse, Config::check),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(code) => return code,
    };
    let started = telemetry::start(&config.log);
    if let Err(invalid) = started.and_then(|()| trace::start(&config.trace, "errand-mcp")) {
        return config::refuse(&invalid);
    }
    faults::start();
    process::run(|stop| Box::pin(async move { mcp::run(&config, stop).await }))
}
