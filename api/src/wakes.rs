//! Who wakes the workers: this process, when it has made work for them, or wakes itself.

use std::{sync::Arc, time::Duration};

use errand_server::wake::Wakes;
use errand_store::{Pool, Rest};
use tokio_util::sync::CancellationToken;

/// Pause behind each time. What comes meanwhile shares the next one.
const PAUSE: Duration = Duration::from_millis(500);

/// Wakes the workers until the stop: at the start, as what was accepted before it may be with nobody; when the process wakes, so that they
/// do as well while the database does; and behind each hint that there are jobs.
pub(crate) async fn keep(wakes: Wakes, pool: Pool, rest: Arc<Rest>, stop: CancellationToken) {
    loop {
        wakes.wake_all().await;
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = rest.awoke() => {}
            () = pool.told_workers() => {}
        }
    }
}
