//! The API's process: configuration, logs, signals; and `errand-api migrate`.

use std::process::ExitCode;

use errand_api::{
    Api, ApiStartError, Config,
    config::{Command, MigrateConfig},
};
use errand_shared::{config, faults, signals, store, telemetry};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Command::load() {
        Ok(command) => command,
        Err(code) => return code,
    };
    if let Err(invalid) = telemetry::start(command.log()) {
        return config::refuse(&invalid);
    }
    let result = match command {
        Command::Serve(config) => serve(&config).await,
        Command::Migrate(config) => migrate(&config).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &Config) -> Result<(), ApiStartError> {
    faults::start();
    let stop = CancellationToken::new();
    signals::cancel_on_terminate(stop.clone());
    Api::build(config, stop).await?.serve().await
}

async fn migrate(config: &MigrateConfig) -> Result<(), ApiStartError> {
    store::migrate::run_when_up(config.database.direct_url()).await?;
    tracing::info!("the database is migrated");
    Ok(())
}
