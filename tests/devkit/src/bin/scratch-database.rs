//! `scratch-database COMMAND…` runs a command with DATABASE_URL set to a migrated database that goes when it ends.
//!
//! For what needs a database at build time, such as `cargo sqlx prepare`.

use std::process::{ExitCode, exit};

use anyhow::{Context, Result};
use errand_devkit::{postgres::ClusterOptions, system::Database};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments
        .next()
        .context("usage: scratch-database COMMAND [ARGUMENT…]")?;
    let database = Database::private(ClusterOptions::throwaway()).await?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .status()
        .await
        .context("the command cannot be started")?;
    database.stop().await?;
    exit(status.code().unwrap_or(1));
}
