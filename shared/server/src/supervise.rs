//! Supervision: a process is no better than the tasks that it cannot do without, so it ends with the first of them that does.
//!
//! A task that lives as long as its process is started here and with no bare `tokio::spawn`: one that panics or returns would leave a
//! process that looks healthy and hears, claims or renews its lease no more. What is started for one request, connection or run is no such task: a
//! panic there ends there.
//!
//! With the feature `failpoints` each task has a fail point, `task.` and its name, at which it panics when told to.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use errand_core::faults;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time that everything else gets to end once a task has failed. With what the process does behind it this stays under a second.
pub const LAST_WORDS: Duration = Duration::from_millis(500);

/// Time that tasks get to end in good order.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// A task ended that had to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the background task \"{task}\" {how}")]
pub struct TaskFailure {
    task: &'static str,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum How {
    #[error("panicked: {0}")]
    Panicked(&'static str),
    #[error("ended before the process was asked to stop")]
    Returned,
}

/// The tasks of a process. Cheap to clone: whoever has it can start one.
#[derive(Clone, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    tasks: TaskTracker,
    first: OnceLock<TaskFailure>,
    failed: CancellationToken,
}

impl Supervisor {
    /// Starts a task that may return once `until` is cancelled, and not before. It may never panic. The handle is for whoever has to
    /// wait for its end.
    pub fn permanent(
        &self,
        name: &'static str,
        until: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.start(name, Some(until.clone()), task)
    }

    /// Starts a task that may return whenever it has nothing more to do. It may never panic.
    pub fn transient(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.start(name, None, task);
    }

    fn start(
        &self,
        name: &'static str,
        until: Option<CancellationToken>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        tracing::debug!(task = name, "supervised");
        let supervisor = self.clone();
        self.0.tasks.spawn(async move {
            let work = async {
                tokio::select! {
                    () = task => {}
                    () = faults::task(name) => {}
                }
            };
            let how = match AssertUnwindSafe(work).catch_unwind().await {
                Err(panic) => How::Panicked(what_is_safe_to_tell(&*panic)),
                Ok(()) if until.is_some_and(|until| !until.is_cancelled()) => How::Returned,
                Ok(()) => return,
            };
            supervisor.fail(TaskFailure { task: name, how });
        })
    }

    fn fail(&self, failure: TaskFailure) {
        // The first one is the reason; others may be its consequences.
        if self.0.first.set(failure).is_ok()
            && let Some(failure) = self.0.first.get()
        {
            tracing::error!(task = failure.task, error = %failure, "the process cannot go on and ends");
        }
        self.0.failed.cancel();
    }

    /// Waits for the first task that ends though it had to go on. Pending as long as there is none.
    pub async fn failed(&self) -> TaskFailure {
        self.0.failed.cancelled().await;
        match self.0.first.get() {
            Some(failure) => failure.clone(),
            None => std::future::pending().await,
        }
    }

    /// Does the work of the process. When a task fails, `stop` is cancelled and the work gets [`LAST_WORDS`] to end.
    ///
    /// # Errors
    /// The task that failed, whatever the work came to; else those of the work.
    pub async fn watch<T, E: From<TaskFailure>>(
        &self,
        stop: &CancellationToken,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut work = std::pin::pin!(work);
        let failure = tokio::select! {
            result = &mut work => match self.0.first.get() {
                Some(failure) => failure.clone(),
                None => return result,
            },
            failure = self.failed() => {
                stop.cancel();
                let _ = tokio::time::timeout(LAST_WORDS, work).await;
                failure
            }
        };
        Err(failure.into())
    }

    /// Waits, for a bounded time, until all tasks have ended; none may be started any more.
    pub async fn ended(&self) {
        self.0.tasks.close();
        if tokio::time::timeout(END_TIMEOUT, self.0.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some background tasks did not end in time");
        }
    }
}

/// What a panic says, if it is written in the program. One that was put together at run time may hold what people wrote, or a secret.
pub(crate) fn what_is_safe_to_tell(payload: &dyn Any) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(its message is put together at run time and not told)")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(supervisor: &Supervisor, stop: &CancellationToken) -> String {
        let work = async {
            stop.cancelled().await;
            Ok::<(), TaskFailure>(())
        };
        let watched = supervisor.watch(stop, work).await;
        watched.expect_err("a task failed").to_string()
    }

    #[tokio::test]
    async fn the_first_task_that_panics_or_returns_ends_the_process() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        supervisor.permanent("waits", &stop, stop.clone().cancelled_owned());
        supervisor.permanent("panics", &stop, async { panic!("no more") });
        let failed = failure(&supervisor, &stop).await;
        assert_eq!(failed, "the background task \"panics\" panicked: no more");
        supervisor.ended().await;

        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        supervisor.permanent("returns", &stop, async {});
        let failed = failure(&supervisor, &stop).await;
        assert!(failed.contains("\"returns\" ended before"), "{failed}");

        // What people wrote stays out of it.
        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        let words = String::from("canary");
        supervisor.transient("tells", async move { panic!("{words}") });
        let failed = failure(&supervisor, &stop).await;
        assert!(
            failed.contains("\"tells\" panicked: (its message"),
            "{failed}"
        );
    }

    #[tokio::test]
    async fn tasks_that_end_in_time_are_no_failure() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        supervisor.permanent("waits", &stop, stop.clone().cancelled_owned());
        supervisor.transient("is brief", async {});
        stop.cancel();
        supervisor.ended().await;
        let watched = supervisor.watch(&stop, async { Ok::<_, TaskFailure>(1) });
        assert_eq!(watched.await, Ok(1));
    }
}
