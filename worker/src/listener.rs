//! The one connection of the process that listens, and who is told of what it hears.
//!
//! One and not one for each purpose: Postgres wakes everybody who listens in a database for whatever is told there, and a turn is told of three times.

use std::sync::Arc;

use errand_core::hints::{CANCEL, DRAIN, JOB_READY};
use errand_store::{
    Pool, Rest,
    db::listen::{self, Heard},
};
use tokio_util::sync::CancellationToken;

use crate::{cancels::Cancels, queue::Bells};

/// Listens until the stop.
pub(crate) async fn listen(
    pool: Pool,
    rest: Arc<Rest>,
    bells: Bells,
    cancels: Cancels,
    stop: CancellationToken,
) {
    listen::listen(
        pool,
        &[JOB_READY, DRAIN, CANCEL],
        &rest,
        stop,
        |heard| match heard {
            Heard::Connected => bells.jobs.notify_one(),
            Heard::Notification { channel, payload } => match channel.as_str() {
                JOB_READY => {
                    rest.stir();
                    bells.jobs.notify_one();
                }
                DRAIN => bells.drains.notify_one(),
                CANCEL => {
                    if let Ok(run_id) = payload.parse() {
                        cancels.cancel(run_id);
                    }
                }
                _ => {}
            },
        },
    )
    .await;
}
