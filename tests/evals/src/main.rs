//! The program `evals`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    errand_evals::command::main().await
}
