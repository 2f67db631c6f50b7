//! A process from its start to its exit status: the runtime, the stop at SIGTERM, the end.

use std::{fmt::Display, panic::AssertUnwindSafe, process::ExitCode, time::Duration};

use futures::future::LocalBoxFuture;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::trace;

/// For what still runs at the end and cannot be called off, such as a read of standard input or a look-up of a host.
const LAST: Duration = Duration::from_millis(250);
/// For spans that have ended and are not sent; and where the process fails, and is to be gone within a second.
const LAST_SPANS: Duration = Duration::from_secs(2);
const LAST_SPANS_OF_A_FAILURE: Duration = Duration::from_millis(200);

/// Does the work of a process, whose token is cancelled at the first SIGTERM or SIGINT. The status is a failure if the work fails or
/// panics; either way the reason is in the log.
pub fn run<E: Display>(
    work: impl FnOnce(CancellationToken) -> LocalBoxFuture<'static, Result<(), E>>,
) -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let stop = CancellationToken::new();
        runtime.block_on(until_terminated(stop.clone(), work(stop)))
    }));
    runtime.shutdown_timeout(LAST);
    trace::stop(match ended {
        Ok(Ok(())) => LAST_SPANS,
        _ => LAST_SPANS_OF_A_FAILURE,
    });
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
        // The hook of `telemetry` has told of it.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Does the work, and cancels `stop` at the first SIGTERM or SIGINT. No task of its own, so none that could be lost.
pub async fn until_terminated<T>(stop: CancellationToken, work: impl Future<Output = T>) -> T {
    let signals = async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            tracing::warn!("cannot listen for signals; only SIGKILL will stop this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.cancel();
        std::future::pending().await
    };
    tokio::select! {
        ended = work => ended,
        never = signals => never,
    }
}
