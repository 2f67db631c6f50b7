//! What waits for one follower: bounded in news and in bytes, and nobody waits for the follower.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use errand_store::events::Stored;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc::{
    self,
    error::{TryRecvError, TrySendError},
};
use uuid::Uuid;

/// Frames that wait for one follower before it counts as too slow.
const QUEUE: usize = 1024;
/// Bytes of events that wait for one follower; what comes beyond them it reads itself.
const QUEUE_BYTES: usize = 256 << 10;

/// Something new in a conversation.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// An event of a run.
    Event(Arc<Stored>),
    /// A run has events up to this one that are not handed out, because too much waits already: read them.
    More { run_id: Uuid, seq: i64 },
    /// A run waits for this many others of its conversation.
    Queued { run_id: Uuid, position: usize },
    /// An earlier attempt was lost; this one goes on.
    Attempt { run_id: Uuid, attempt: i32 },
}

/// Where one follower is told.
pub(super) struct Place {
    news: mpsc::Sender<Update>,
    dropped: Counter,
    waiting: Arc<AtomicUsize>,
}

/// Where one follower hears. It closes when the follower is too slow.
pub(super) struct Inbox {
    news: mpsc::Receiver<Update>,
    /// Bytes of the events among them.
    waiting: Arc<AtomicUsize>,
}

/// The two ends of a follower's queue.
pub(super) fn open(dropped: Counter) -> (Place, Inbox) {
    let (sender, news) = mpsc::channel(QUEUE);
    let waiting = Arc::<AtomicUsize>::default();
    let place = Place {
        news: sender,
        dropped,
        waiting: Arc::clone(&waiting),
    };
    (place, Inbox { news, waiting })
}

impl Inbox {
    /// The next news; none if this follower was too slow.
    pub(super) async fn next(&mut self) -> Option<Update> {
        let news = self.news.recv().await?;
        self.waiting.fetch_sub(news.bytes(), Ordering::Relaxed);
        Some(news)
    }

    /// The next news that is there already.
    ///
    /// # Errors
    /// This follower was too slow.
    pub(super) fn next_ready(&mut self) -> Result<Option<Update>, TooSlow> {
        match self.news.try_recv() {
            Ok(news) => {
                self.waiting.fetch_sub(news.bytes(), Ordering::Relaxed);
                Ok(Some(news))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(TooSlow),
        }
    }
}

impl Place {
    /// Hands news over, without waiting. False if the follower's queue is full.
    pub(super) fn tell(&self, news: Update) -> bool {
        let news = match news {
            Update::Event(event)
                if self.waiting.load(Ordering::Relaxed) + event.bytes > QUEUE_BYTES =>
            {
                Update::More {
                    run_id: event.run_id,
                    seq: event.seq,
                }
            }
            news => news,
        };
        self.waiting.fetch_add(news.bytes(), Ordering::Relaxed);
        let sent = self.news.try_send(news);
        // One that is gone is none that was too slow.
        if matches!(sent, Err(TrySendError::Full(_))) {
            self.dropped.inc();
        }
        sent.is_ok()
    }
}

/// A follower has lost its place, because it did not take what it was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooSlow;

impl Update {
    fn bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.bytes,
            _ => 0,
        }
    }
}
