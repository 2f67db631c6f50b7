//! Purges: deletes old jobs and events now and then.

use std::time::Duration;

use errand_shared::store::{self, Pool, StoreError, events, leases};
use tokio_util::sync::CancellationToken;

/// How long a done job stays for an operator to see.
const KEEP_DONE: Duration = Duration::from_secs(3600);
/// Pause between two purges.
const PAUSE: Duration = Duration::from_secs(60);

/// Purges until `over`. One that fails is left to the next.
pub(super) async fn keep(pool: Pool, keep_events: Duration, over: CancellationToken) {
    loop {
        let purged = async {
            tokio::time::sleep(PAUSE).await;
            store::within(purge(&pool, keep_events)).await
        };
        tokio::select! {
            () = over.cancelled() => return,
            purged = purged => if let Err(error) = purged {
                tracing::warn!(%error, "cannot purge old jobs and events; trying again in a minute");
            },
        }
    }
}

async fn purge(pool: &Pool, keep_events: Duration) -> Result<(), StoreError> {
    let mut db = store::connection(pool).await?;
    leases::purge(&mut db, KEEP_DONE).await?;
    events::purge(&mut db, keep_events).await?;
    Ok(())
}
