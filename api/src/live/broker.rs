//! The broker: hears of new events once for the whole process, reads them once, and hands them to whoever follows.
//!
//! A hint only says that there is something to read. Order and completeness come from the key (run, seq): each round
//! asks for `seq > n` of all followed runs in one query, after each hint, after each connect, and once a second. So what the database has to
//! do follows the number of processes and not that of followers, who ask for nothing themselves once they have caught up.
//!
//! No end is missed: a run that is not over is followed from the seq that its follower has read to ([`Following::has_read`]), or from
//! its first event if it came later, until its last event is handed out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_store::{
    self as store, Pool, Rest, StoreError,
    events::{self, Bounds},
    lifecycle,
};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod inbox;
mod state;

use inbox::Inbox;
pub(crate) use inbox::{TooSlow, Update};
use state::State;

/// The slow poll: what a lost notification costs.
const POLL: Duration = Duration::from_secs(1);
/// Pause between two rounds: hints that come meanwhile share one.
const PAUSE: Duration = Duration::from_millis(10);
/// Conversations that one query asks for new runs, and the runs of each that it reads at most; the rest follows with the next round.
const CONVERSATIONS: usize = 1000;
const NEW_RUNS: i64 = 50;
/// What one round reads of events at most; the rest follows with the next.
const ROUND: Bounds = Bounds {
    events: 5000,
    bytes: 8 << 20,
};

/// Who follows which conversation.
pub(crate) struct EventBroker {
    db: Pool,
    dropped: Counter,
    state: Mutex<State>,
    look: Notify,
}

/// A place among the followers of a conversation, until it is dropped.
pub(crate) struct Following {
    broker: Arc<EventBroker>,
    conversation_id: Uuid,
    follower: u64,
    inbox: Inbox,
}

impl Following {
    /// The next news; none if this follower was too slow.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        self.inbox.next().await
    }

    /// Says which runs of the conversation are not over, as far as the caller has read: of each its seq and attempt. What comes behind
    /// that, its end above all, is news; also if the run has ended meanwhile.
    pub(crate) fn has_read(&self, runs: impl Iterator<Item = (Uuid, i64, i32)>) {
        let mut state = self.broker.lock();
        state.follow_on(self.conversation_id, self.follower, runs);
        self.broker.look.notify_one();
    }

    /// The next news that is there already.
    ///
    /// # Errors
    /// This follower was too slow.
    pub(crate) fn next_ready(&mut self) -> Result<Option<Update>, TooSlow> {
        self.inbox.next_ready()
    }
}

impl EventBroker {
    /// `dropped` counts the followers that were too slow.
    pub(crate) fn new(db: Pool, dropped: Counter) -> Self {
        Self {
            db,
            dropped,
            state: Mutex::default(),
            look: Notify::new(),
        }
    }

    /// Begins to follow a conversation, whose owner the caller has checked. Update may come that the caller knows already,
    /// and a first gap is the caller's to fill: it reads the rows after this returns, and says how far ([`Following::has_read`]).
    pub(crate) async fn follow(
        self: &Arc<Self>,
        conversation_id: Uuid,
    ) -> Result<Following, StoreError> {
        let span = store::within(async {
            let mut db = store::connection(&self.db).await?;
            let read = lifecycle::span(&mut db, conversation_id).await;
            db.done(read)
        })
        .await?;
        let (place, inbox) = inbox::open(self.dropped.clone());
        let follower = self.lock().enter(conversation_id, span, place);
        self.look.notify_one();
        Ok(Following {
            broker: Arc::clone(self),
            conversation_id,
            follower,
            inbox,
        })
    }

    /// A conversation has a new run, or a run of it changed hands.
    pub(crate) fn hear_of_conversation(&self, conversation_id: Uuid) {
        let mut state = self.lock();
        if state.conversations.contains_key(&conversation_id) {
            state.new_runs_in.insert(conversation_id);
            self.look.notify_one();
        }
    }

    /// These runs have new events.
    pub(crate) fn hear_of_events(&self, run_ids: impl Iterator<Item = Uuid>) {
        let mut state = self.lock();
        let mut any = false;
        for run_id in run_ids {
            if state.runs.contains_key(&run_id) {
                state.new_events_of.insert(run_id);
                any = true;
            }
        }
        if any {
            self.look.notify_one();
        }
    }

    /// Anything may have been missed.
    pub(crate) fn look_at_all(&self) {
        let mut state = self.lock();
        state.new_runs_in = state.conversations.keys().copied().collect();
        state.new_events_of = state.runs.keys().copied().collect();
        self.look.notify_one();
    }

    /// Reads and hands out until the stop. Who follows conversations in which no run is under way keeps nobody from sleeping.
    pub(crate) async fn run(self: Arc<Self>, rest: Arc<Rest>, stop: CancellationToken) {
        loop {
            if !self.lock().runs.is_empty() {
                rest.stir();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look.notified() => {}
                () = rest.pause(POLL, POLL) => self.look_at_all(),
            }
            if let Err(error) = store::within(self.round()).await {
                tracing::debug!(%error, "cannot read events; trying again");
                tokio::time::sleep(POLL).await;
                self.look_at_all();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let asked = self.lock().take_conversations(CONVERSATIONS);
        for (conversations, positions) in asked {
            let mut db = store::quiet_connection(&self.db).await?;
            let news = lifecycle::news(&mut db, &conversations, &positions, NEW_RUNS).await?;
            db.release();
            if self.lock().register(news, NEW_RUNS) {
                self.look.notify_one();
            }
        }
        let (run_ids, seqs) = self.lock().take_runs();
        if !run_ids.is_empty() {
            let mut db = store::quiet_connection(&self.db).await?;
            let read = events::after(&mut db, &run_ids, &seqs, ROUND).await?;
            db.release();
            if read.is_cut {
                self.look_at_all();
            }
            self.lock().hand_out(read.events);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing follows in this run.
pub(crate) fn is_terminal(event: &serde_json::Value) -> bool {
    matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"))
}

impl Drop for Following {
    fn drop(&mut self) {
        self.broker
            .lock()
            .leave(self.conversation_id, self.follower);
    }
}
