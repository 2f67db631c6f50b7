//! `/metrics` and `/scaling`: for who watches and who scales. Both tell numbers of the whole installation and nothing of anybody.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use errand_server::metrics::CONTENT_TYPE;
use errand_store::{
    self as store, StoreError,
    queue::state::{self, QueueState},
};
use http::header;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    error::{ApiError, ErrorBody},
    metrics::Seen,
    request::{Params, given},
};

/// How old what is told of the queue may be. However many processes are asked, the database counts once in this time.
const MAX_AGE: Duration = Duration::from_secs(5);
/// A look at the queue that takes longer is given up: a scrape has other things to tell, too.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Runs that one worker has at work, if there is none that says so: the default of WORKER_CONCURRENCY.
const SLOTS_OF_ONE: i64 = 100;
/// Seconds that a ready run may wait, if nobody says.
const TARGET_PICKUP: f64 = 2.0;
/// Workers that are suggested, at most.
const MAX_WORKERS: i64 = 10_000;

async fn look(app: &App) -> Result<QueueState, StoreError> {
    store::within_time(TIMEOUT, async {
        let mut db = store::quiet_connection(&app.db).await?;
        let state = state::queue_state(&mut db, MAX_AGE).await;
        db.done(state)
    })
    .await
}

/// What this process and the queue of the whole installation are like, in the text format of OpenMetrics.
///
/// What is told of the queue is counted once in five seconds, however many processes are asked. Without the database `errand_database_up` is 0. With
/// `SLEEP_AFTER` the last count is told while the process sleeps.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    security(()),
    responses((status = 200, description = "Metrics", content_type = "application/openmetrics-text", body = String))
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let queue = match app.rest.is_asleep() {
        // What sleeps is not woken to be counted: what it was told last stays.
        true => Seen::Before,
        false => look(&app)
            .await
            .inspect_err(|error| tracing::debug!(%error, "no metrics of the queue"))
            .map_or(Seen::Nothing, Seen::Now),
    };
    let (streams, sockets) = app.connections.open();
    let text = app.metrics.text(queue, streams, sockets, app.db.usage());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// How many workers there should be.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScalingParams {
    /// Seconds that a ready run may wait for a worker, 0.1 to 3600; 2 if absent
    #[serde(default, deserialize_with = "given")]
    #[param(minimum = 0.1, maximum = 3600.0)]
    target_pickup: Option<f64>,
}

/// What an autoscaler needs to know.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Scaling {
    /// Runs that a worker could take now.
    ready: i64,
    /// How long the oldest of them has been ready.
    oldest_age_seconds: f64,
    /// Runs at work.
    running: i64,
    /// Runs that all workers can have at work together.
    slots: i64,
    /// Workers that were heard of in the last 30 s.
    workers: i64,
    /// How many there should be.
    suggested_workers: i64,
    /// An operator has paused the queue: no worker takes any run.
    paused: bool,
}

/// How many workers there should be, by what waits and what is at work.
///
/// As many as have a place for each run that is ready or at work; more than there are as long as the oldest has waited for longer than
/// `target_pickup`; none if there is nothing to do. As many as there are while an operator has paused the queue. The autoscaler has the bounds
/// and the pauses.
#[utoipa::path(
    get,
    path = "/scaling",
    tag = "operations",
    security(()),
    params(ScalingParams),
    responses(
        (status = 200, description = "What an autoscaler needs to know", body = Scaling),
        (status = 400, description = "Malformed request", body = ErrorBody),
        (status = 503, description = "The database is down", body = ErrorBody),
    )
)]
pub(crate) async fn scaling(
    State(app): State<App>,
    Params(params): Params<ScalingParams>,
) -> Result<axum::Json<Scaling>, ApiError> {
    let target = params.target_pickup.unwrap_or(TARGET_PICKUP);
    if !(0.1..=3600.0).contains(&target) {
        return Err(ApiError::invalid_field(
            "target_pickup",
            "target_pickup must be 0.1 to 3600 seconds.",
        ));
    }
    let queue = look(&app).await?;
    Ok(axum::Json(Scaling {
        ready: queue.ready,
        oldest_age_seconds: queue.oldest_ready.as_secs_f64(),
        running: queue.running,
        slots: queue.slots,
        workers: queue.workers,
        suggested_workers: suggested(&queue, target),
        paused: queue.paused,
    }))
}

fn suggested(queue: &QueueState, target: f64) -> i64 {
    // What waits then needs no more of them, and will need those that there are.
    if queue.paused {
        return queue.workers;
    }
    let of_one = match queue.workers {
        0 => SLOTS_OF_ONE,
        workers => (queue.slots / workers).max(1),
    };
    let busy = queue.ready + queue.running;
    let needed = (busy + of_one - 1) / of_one;
    // Places alone did not do: what waits needs more workers than it has, in proportion to how late it is and by one at least.
    let late = queue.oldest_ready.as_secs_f64() / target;
    let more = if late > 1.0 {
        let grown = (queue.workers as f64 * late.min(2.0)).ceil() as i64;
        grown.max(queue.workers + 1)
    } else {
        0
    };
    needed.max(more).min(MAX_WORKERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(ready: i64, oldest: u64, running: i64, workers: i64) -> QueueState {
        QueueState {
            age: Duration::ZERO,
            ready,
            oldest_ready: Duration::from_secs(oldest),
            running,
            oldest_running: Duration::ZERO,
            behind: 0,
            awaiting_approval: 0,
            workers,
            slots: workers * 10,
            paused: false,
        }
    }

    #[test]
    fn as_many_as_have_places_and_more_for_who_waits_too_long() {
        for (state, workers) in [
            (queue(0, 0, 0, 0), 0),
            (queue(0, 0, 0, 5), 0),
            (queue(1, 0, 0, 0), 1),
            (queue(101, 0, 0, 0), 2),
            (queue(0, 0, 25, 3), 3),
            (queue(0, 0, 5, 3), 1),
            (queue(35, 1, 10, 3), 5),
            // Late with places to spare: something is slow, and one more may help.
            (queue(1, 3, 0, 1), 2),
            (queue(30, 60, 30, 4), 8),
            (queue(i64::MAX / 2, 9, 0, 1), MAX_WORKERS),
        ] {
            assert_eq!(suggested(&state, 2.0), workers, "{state:?}");
            let paused = QueueState {
                paused: true,
                ..state
            };
            assert_eq!(suggested(&paused, 2.0), state.workers, "{state:?}");
        }
    }
}
