//! What waits to be written, by run: when it is due, and what of it goes together.

use std::{collections::HashMap, sync::Arc, time::Duration};

use errand_core::events::Event;
use errand_store::events::Batch;
use tokio::time::Instant;
use uuid::Uuid;

use super::Ended;

/// Between two batches of one stream, where there are few of them.
const LEAST_INTERVAL: Duration = Duration::from_millis(40);
/// More for each stream of the process: with 500 of them most of what a word costs is its row.
const OF_EACH: Duration = Duration::from_micros(120);
/// And at most: longer would be seen.
const MOST_INTERVAL: Duration = Duration::from_millis(100);
/// Streams of one statement, at most: whoever has to wait for it does not wait long.
const MOST_STREAMS: usize = 128;

/// The streams of a process.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) by_run: HashMap<Uuid, Stream>,
    /// When the publisher looks for what is due; none while nothing is pending.
    pub(super) looks_at: Option<Instant>,
}

/// Of one attempt at a run.
pub(super) struct Stream {
    pub(super) attempt: i32,
    next_seq: i64,
    pub(super) pending: Vec<Event>,
    /// From when on what is pending may be written.
    due_at: Instant,
    pub(super) ended: Arc<Ended>,
}

impl Streams {
    /// Between two batches of one stream.
    fn interval(&self) -> Duration {
        let streams = u32::try_from(self.by_run.len()).unwrap_or(u32::MAX);
        (LEAST_INTERVAL + OF_EACH.saturating_mul(streams)).min(MOST_INTERVAL)
    }

    /// Adds an event. True if it is due before the publisher would look.
    pub(super) fn push(&mut self, run_id: Uuid, event: Event) -> bool {
        let Some(stream) = self.by_run.get_mut(&run_id) else {
            return false;
        };
        stream.push(event);
        let is_early = self.looks_at.is_none_or(|at| stream.due_at < at);
        if is_early {
            self.looks_at = Some(stream.due_at);
        }
        is_early
    }

    /// Takes what is due, under its final places: of more than go together those that have been due for the longest, which first words are.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Batch> {
        let again_at = now + self.interval();
        let mut pending: Vec<_> = self
            .by_run
            .iter_mut()
            .filter(|(_, stream)| !stream.pending.is_empty())
            .collect();
        pending.sort_unstable_by_key(|(_, stream)| stream.due_at);
        let due = pending.partition_point(|(_, stream)| stream.due_at <= now);
        let later = pending.split_off(due.min(MOST_STREAMS));
        self.looks_at = later.first().map(|(_, stream)| stream.due_at);
        let batches = pending.into_iter().map(|(&run_id, stream)| {
            stream.due_at = again_at;
            stream.take(run_id)
        });
        batches.collect()
    }
}

impl Stream {
    /// One that has been told of nothing yet: its first words are due at once.
    pub(super) fn new(attempt: i32, next_seq: i64, ended: Arc<Ended>) -> Self {
        Self {
            attempt,
            next_seq,
            pending: Vec::new(),
            due_at: Instant::now(),
            ended,
        }
    }

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

    /// Takes what is pending, under its final places.
    pub(super) fn take(&mut self, run_id: Uuid) -> Batch {
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

#[cfg(test)]
mod tests;
