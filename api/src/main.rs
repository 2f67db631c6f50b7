//! The API's process: configuration and logs; and `errand-api migrate`.

use std::process::ExitCode;

use errand_api::{
    Api, ApiStartError, Config,
    config::{Command, MigrateConfig, RequeueConfig},
};
use errand_core::faults;
use errand_server::{config, process, telemetry};
use errand_store::{
    self as store, StoreError,
    lifecycle::{self, Requeued},
};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let command = match Command::load() {
        Ok(command) => command,
        Err(code) => return code,
    };
    if let Err(invalid) = telemetry::start(command.log()) {
        return config::refuse(&invalid);
    }
    process::run(|stop| {
        Box::pin(async move {
            match command {
                Command::Serve(config) => serve(&config, stop).await,
                Command::Migrate(config) => migrate(&config).await,
                Command::Requeue(config) => requeue(&config).await,
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

async fn requeue(config: &RequeueConfig) -> Result<(), ApiStartError> {
    let url = config.database.direct_url().expose_secret();
    let pool = store::pool(url, "errand-api-requeue", 1, true)?;
    let requeued = store::within(async {
        let mut tx = store::begin(&pool).await?;
        let max_ready = i64::from(config.max_ready_runs);
        let requeued = lifecycle::requeue(&mut tx, config.run_id, max_ready).await?;
        store::commit(tx).await?;
        Ok::<_, StoreError>(requeued)
    });
    match requeued.await? {
        Requeued::Queued => {
            tracing::info!(run = %config.run_id, "the run is in the queue again");
            Ok(())
        }
        Requeued::Unknown => Err(ApiStartError::Requeue("there is no such run".to_owned())),
        Requeued::NotFailed(status) => Err(ApiStartError::Requeue(format!(
            "the run is {status}; only one that failed can be requeued"
        ))),
        Requeued::Continued(run_id) => Err(ApiStartError::Requeue(format!(
            "its user has retried the run; run {run_id} has gone on from it"
        ))),
    }
}
