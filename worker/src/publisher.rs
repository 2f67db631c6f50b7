//! The publisher: streams what the runs of this process do, as batches of events.
//!
//! The text deltas of all runs are written together, with one statement and one notification each few dozen
//! milliseconds: the cost follows the number of workers and not that of words or readers. What belongs to a step or to the
//! end of a run is not written here but in that transaction; it takes along what is still pending, so the order holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::{
    events::Event,
    faults,
    store::{self, Pool, StoreError, events, events::Batch},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause between two batches. The first words after a pause go out at once.
const INTERVAL: Duration = Duration::from_millis(40);
/// Pause before a batch whose outcome is unknown is written again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The streams of this process.
#[derive(Clone, Default)]
pub(crate) struct Publisher(Arc<Inner>);

#[derive(Default)]
struct Inner {
    streams: Mutex<HashMap<Uuid, Stream>>,
    pending: Notify,
    /// Held while a batch is written: who takes a stream's pending events waits for the batch they may be behind.
    writing: tokio::sync::Mutex<()>,
}

struct Stream {
    attempt: i32,
    next_seq: i64,
    pending: Vec<Event>,
}

impl Publisher {
    /// Opens the stream of one attempt at a run; it ends with the returned handle.
    pub(crate) fn open(&self, run_id: Uuid, attempt: i32, next_seq: i64) -> RunStream {
        let stream = Stream {
            attempt,
            next_seq,
            pending: Vec::new(),
        };
        self.lock().insert(run_id, stream);
        RunStream {
            publisher: self.clone(),
            run_id,
            attempt,
        }
    }

    /// Writes batches until the stop.
    pub(crate) async fn run(self, pool: Pool, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.pending.notified() => {}
            }
            self.write(&pool).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn write(&self, pool: &Pool) {
        let _writing = self.0.writing.lock().await;
        let batches = self.batches();
        if batches.is_empty() {
            return;
        }
        faults::point("events.before");
        let append = || {
            store::within(async {
                let mut db = pool.acquire().await.map_err(StoreError::from)?;
                events::append(&mut db, &batches).await
            })
        };
        let mut written = append().await;
        if let Err(error) = &written {
            tracing::warn!(%error, "cannot write events; trying once more");
            tokio::time::sleep(RETRY_PAUSE).await;
            written = append().await;
        }
        faults::point("events.appended");
        let owned = written.unwrap_or_default();
        let mut streams = self.lock();
        for batch in batches {
            // Fenced, or of unknown outcome: nothing more is streamed for this attempt, and its next write ends it.
            if !owned.contains(&batch.run_id)
                && streams
                    .get(&batch.run_id)
                    .is_some_and(|stream| stream.attempt == batch.attempt)
            {
                streams.remove(&batch.run_id);
            }
        }
    }

    /// Takes what is pending, under its final places.
    fn batches(&self) -> Vec<Batch> {
        let mut streams = self.lock();
        let busy = streams
            .iter_mut()
            .filter(|(_, stream)| !stream.pending.is_empty());
        busy.map(|(&run_id, stream)| stream.take(run_id)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Stream>> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn push(&mut self, event: Event) {
        // Deltas of one message that wait for the same batch become one.
        if let (
            Some(Event::TextMessageContent {
                message_id: last,
                delta,
            }),
            Event::TextMessageContent {
                message_id,
                delta: more,
            },
        ) = (self.pending.last_mut(), &event)
            && last == message_id
        {
            delta.push_str(more);
            return;
        }
        self.pending.push(event);
    }

    fn take(&mut self, run_id: Uuid) -> Batch {
        let events = std::mem::take(&mut self.pending);
        let first_seq = self.next_seq;
        self.next_seq += i64::try_from(events.len()).unwrap_or(0);
        Batch {
            run_id,
            attempt: self.attempt,
            first_seq,
            events,
        }
    }
}

/// The stream of one attempt at a run.
pub(crate) struct RunStream {
    publisher: Publisher,
    run_id: Uuid,
    attempt: i32,
}

impl RunStream {
    /// Streams an event with the next batch.
    pub(crate) fn push(&self, event: Event) {
        if let Some(stream) = self.publisher.lock().get_mut(&self.run_id) {
            stream.push(event);
            self.publisher.0.pending.notify_one();
        }
    }

    /// Takes what is pending and these events, for a transaction that writes them itself: the first seq, and all events.
    /// None if the stream has ended: the attempt is fenced off, or its last batch was lost.
    pub(crate) async fn take(&self, more: Vec<Event>) -> Option<(i64, Vec<Event>)> {
        let _writing = self.publisher.0.writing.lock().await;
        let mut streams = self.publisher.lock();
        let stream = streams
            .get_mut(&self.run_id)
            .filter(|stream| stream.attempt == self.attempt)?;
        stream.pending.extend(more);
        let batch = stream.take(self.run_id);
        Some((batch.first_seq, batch.events))
    }
}

impl Drop for RunStream {
    fn drop(&mut self) {
        let mut streams = self.publisher.lock();
        if streams
            .get(&self.run_id)
            .is_some_and(|stream| stream.attempt == self.attempt)
        {
            streams.remove(&self.run_id);
        }
    }
}
