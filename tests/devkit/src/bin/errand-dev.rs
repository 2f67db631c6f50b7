//! `cargo dev`: the whole system on one machine with nothing configured.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    errand_devkit::dev::main().await
}
