//! The publisher: streams what the runs of this process do, as batches of events.
//!
//! The text deltas of many runs are written together: the cost follows the number of workers and not that of words or readers. A stream is written
//! every few dozen milliseconds, the less often the more of them there are. First words after a pause go at once, together with whatever is due at the
//! time. What belongs to a step or to the end of a run is not written here but in that transaction; it takes along what is still pending, so
//! the order holds.

use std::{
    collections::hash_map::Entry,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use errand_core::{events::Event, faults};
use errand_store::{
    self as store, Pool, StoreError, WriteError,
    events::{self, Batch},
};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::agent::Interrupted;

mod streams;

use streams::{Stream, Streams};

/// Between two statements: first words of the same moment go together.
const GAP: Duration = Duration::from_millis(10);
/// Pause before a batch whose outcome is unknown is written again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The streams of this process.
#[derive(Clone, Default)]
pub(crate) struct Publisher(Arc<Inner>);

#[derive(Default)]
struct Inner {
    streams: Mutex<Streams>,
    /// Rung when something is due before the publisher would look.
    pending: Notify,
    /// Held while a batch is written: who takes a stream's pending events waits for the batch they may be behind.
    writing: tokio::sync::Mutex<()>,
}

/// Whether and why a stream has ended.
#[derive(Default)]
struct Ended {
    why: OnceLock<Interrupted>,
    token: CancellationToken,
}

impl Ended {
    fn end(&self, why: Interrupted) {
        let _ = self.why.set(why);
        self.token.cancel();
    }
}

impl Publisher {
    /// Opens the stream of one attempt at a run; it ends with the returned handle.
    pub(crate) fn open(&self, run_id: Uuid, attempt: i32, next_seq: i64) -> RunStream {
        let ended = Arc::<Ended>::default();
        let stream = Stream::new(attempt, next_seq, Arc::clone(&ended));
        if let Some(earlier) = self.lock().by_run.insert(run_id, stream) {
            earlier.ended.end(Interrupted::Fenced);
        }
        RunStream {
            publisher: self.clone(),
            run_id,
            attempt,
            ended,
        }
    }

    /// Writes batches until the stop.
    pub(crate) async fn run(self, pool: Pool, stop: CancellationToken) {
        loop {
            let looks_at = self.lock().looks_at;
            let due = async {
                match looks_at {
                    Some(at) => time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = due => {
                    self.write(&pool, &stop).await;
                    time::sleep(GAP).await;
                }
                () = self.0.pending.notified() => {}
            }
        }
    }

    async fn write(&self, pool: &Pool, stop: &CancellationToken) {
        let _writing = self.0.writing.lock().await;
        let batches = self.lock().take_due(Instant::now());
        if batches.is_empty() {
            return;
        }
        faults::point("events.before");
        let Written { owned, refused } = tokio::select! {
            written = append(pool, &batches) => written,
            () = stop.cancelled() => return,
        };
        faults::point("events.appended");
        let mut streams = self.lock();
        for batch in batches {
            if owned.contains(&batch.run_id) {
                continue;
            }
            // Whoever works on it here hears of it at once.
            if let Entry::Occupied(stream) = streams.by_run.entry(batch.run_id)
                && stream.get().attempt == batch.attempt
            {
                let is_refused = refused.contains(&batch.run_id);
                stream.remove().ended.end(if is_refused {
                    Interrupted::Unavailable("its events are refused".to_owned())
                } else {
                    Interrupted::Fenced
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of batches. A run that is in neither is fenced.
struct Written {
    owned: Vec<Uuid>,
    refused: Vec<Uuid>,
}

/// Appends the batches of all runs together. If the database refuses that for good, each is appended alone: what is wrong with one run is no
/// reason for the others to wait.
async fn append(pool: &Pool, batches: &[Batch]) -> Written {
    let mut written = Written {
        owned: Vec::new(),
        refused: Vec::new(),
    };
    match append_together(pool, batches).await {
        Ok(owned) => written.owned = owned,
        Err(error) if batches.len() > 1 => {
            tracing::warn!(%error, "the events of many runs are refused; writing those of each alone");
            for batch in batches {
                match append_together(pool, std::slice::from_ref(batch)).await {
                    Ok(owned) => written.owned.extend(owned),
                    Err(error) => written.refuse(batch, &error),
                }
            }
        }
        Err(error) => batches
            .iter()
            .for_each(|batch| written.refuse(batch, &error)),
    }
    written
}

impl Written {
    fn refuse(&mut self, batch: &Batch, error: &StoreError) {
        tracing::error!(run = %batch.run_id, %error, "the events of a run are refused");
        self.refused.push(batch.run_id);
    }
}

/// Appends until the database has answered: while it is down, words wait here. The same batch again changes nothing.
///
/// # Errors
/// The database refuses it, and would refuse it again.
async fn append_together(pool: &Pool, batches: &[Batch]) -> Result<Vec<Uuid>, StoreError> {
    let mut outage_logged = false;
    loop {
        match store::within(events::append(pool, batches)).await {
            Ok(owned) => return Ok(owned),
            Err(error) if !error.is_outage() => return Err(error),
            Err::<_, StoreError>(error) if !outage_logged => {
                tracing::warn!(%error, "cannot write events; trying until it works");
                outage_logged = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The stream of one attempt at a run.
pub(crate) struct RunStream {
    publisher: Publisher,
    run_id: Uuid,
    attempt: i32,
    ended: Arc<Ended>,
}

impl RunStream {
    /// Streams an event with the next batch.
    pub(crate) fn push(&self, event: Event) {
        if self.publisher.lock().push(self.run_id, event) {
            self.publisher.0.pending.notify_one();
        }
    }

    /// Takes what is pending and these events, for a transaction that writes them itself: the first seq, and all events.
    ///
    /// # Errors
    /// [`WriteError::Fenced`]: another attempt owns the run. A time-out: the batch before cannot be written.
    pub(crate) async fn take(&self, more: Vec<Event>) -> Result<(i64, Vec<Event>), WriteError> {
        let _writing =
            store::within(async { Ok::<_, StoreError>(self.publisher.0.writing.lock().await) })
                .await?;
        let mut streams = self.publisher.lock();
        let stream = streams
            .by_run
            .get_mut(&self.run_id)
            .filter(|stream| stream.attempt == self.attempt)
            .ok_or(WriteError::Fenced)?;
        stream.pending.extend(more);
        let batch = stream.take(self.run_id);
        Ok((batch.first_seq, batch.events))
    }

    /// Waits until it turns out that nothing more can be written.
    pub(crate) async fn ended(&self) -> Interrupted {
        self.ended.token.cancelled().await;
        self.ended.why.get().cloned().unwrap_or(Interrupted::Fenced)
    }
}

impl Drop for RunStream {
    fn drop(&mut self) {
        let mut streams = self.publisher.lock();
        if streams
            .by_run
            .get(&self.run_id)
            .is_some_and(|stream| stream.attempt == self.attempt)
        {
            streams.by_run.remove(&self.run_id);
        }
    }
}
