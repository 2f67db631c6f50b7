//! `/healthz` and `/readyz`: for routers and operators.

use std::time::Duration;

use axum::extract::State;
use errand_store::{self as store, StoreError, db::migrate};
use serde::Serialize;

use crate::{
    App,
    error::{ApiError, ErrorBody},
};

/// A health check that takes longer is a failed one.
const TIMEOUT: Duration = Duration::from_secs(3);

/// All is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// The process lives. Asks nobody else.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn alive() -> axum::Json<Health> {
    axum::Json(Health { status: "ok" })
}

/// The database answers and is migrated: the process can serve. With `SLEEP_AFTER` it is not asked while the process sleeps.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    security(()),
    responses((status = 200, body = Health), (status = 503, description = "Not now", body = ErrorBody))
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<axum::Json<Health>, ApiError> {
    let check = async {
        // What sleeps is not woken to be told of.
        if app.ready.initialized() && app.rest.is_asleep() {
            Ok(())
        } else if app.ready.initialized() {
            store::ping(&app.db).await
        } else if migrate::is_current(&app.db).await? {
            Ok(())
        } else {
            Err(StoreError::NotMigrated)
        }
    };
    match tokio::time::timeout(TIMEOUT, check).await {
        Ok(Ok(())) => Ok(axum::Json(Health { status: "ready" })),
        Ok(Err(StoreError::NotMigrated)) => {
            Err(ApiError::unavailable("The database is not migrated."))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ApiError::unavailable("The database does not answer.")),
    }
}
