//! The API's process: configuration and logs; and what an operator asks of it on the command line.

use std::process::ExitCode;

use errand_api::{
    Api, ApiStartError, Config,
    config::{Command, MigrateConfig},
    operate,
};
use errand_core::faults;
use errand_server::{config, process, telemetry, trace};
use errand_store as store;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let command = match Command::load() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let started = telemetry::start(command.log()).and_then(|()| match &command {
        Command::Serve(config) => trace::start(&config.trace, "errand-api"),
        _ => Ok(()),
    });
    if let Err(invalid) = started {
        return config::refuse(&invalid);
    }
    process::run(|stop| {
        Box::pin(async move {
            match command {
                Command::Serve(config) => serve(&config, stop).await,
                Command::Migrate(config) => migrate(&config).await,
                Command::Requeue(config) => operate::requeue(&config).await,
                Command::Queue(config) => operate::queue(&config, stop).await,
                Command::Run(config) => operate::run(&config).await,
                Command::Cancel(config) => operate::cancel(&config).await,
                Command::Times(config) => operate::times(&config, stop).await,
                Command::Pause(config) => operate::pause(&config).await,
                Command::Resume(config) => operate::resume(&config).await,
                Command::Drain(config) => operate::drain(&config).await,
            }
        })
    })
}

async fn serve(config: &Config, stop: CancellationToken) -> Result<(), ApiStartError> {
    faults::start();
    Api::build(config, stop).await?.serve().await
}

async fn migrate(config: &MigrateConfig) -> Result<(), ApiStartError> {
    store::db::migrate::run_when_up(config.database.direct_url()).await?;
    tracing::info!("the database is migrated");
    Ok(())
}
