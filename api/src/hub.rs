//! The hub: hears of new events once for the whole process, reads them once, and hands them to whoever follows.
//!
//! A hint only says that there is something to read. Order and completeness come from the key (run, seq): each round
//! asks for `seq > n` of all followed runs in one query, after each hint, after each connect, and once a second.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_shared::store::{
    self, Pool, StoreError,
    events::{self, Bounds, Stored},
    runs::{self, Followed},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod inbox;

use inbox::{Inbox, Place};
pub(crate) use inbox::{News, TooSlow};

/// The slow poll: what a lost notification costs.
const POLL: Duration = Duration::from_secs(1);
/// Pause between two rounds: hints that come meanwhile share one.
const PAUSE: Duration = Duration::from_millis(10);
/// What one round reads at most; the rest follows with the next.
const ROUND: Bounds = Bounds {
    events: 5000,
    bytes: 8 << 20,
};

/// Who follows which conversation.
pub(crate) struct Hub {
    db: Pool,
    state: Mutex<State>,
    look: Notify,
}

#[derive(Default)]
struct State {
    conversations: HashMap<Uuid, Conversation>,
    /// Which conversation a followed run belongs to.
    runs: HashMap<Uuid, Uuid>,
    new_runs_in: HashSet<Uuid>,
    new_events_of: HashSet<Uuid>,
    next_follower: u64,
}

struct Conversation {
    followers: HashMap<u64, Place>,
    runs: HashMap<Uuid, Live>,
    last_position: i64,
}

struct Live {
    seq: i64,
    attempt: i32,
    queued: Option<usize>,
}

/// A place among the followers of a conversation, until it is dropped.
pub(crate) struct Following {
    hub: Arc<Hub>,
    conversation_id: Uuid,
    follower: u64,
    inbox: Inbox,
}

impl Following {
    /// The next news; none if this follower was too slow.
    pub(crate) async fn next(&mut self) -> Option<News> {
        self.inbox.next().await
    }

    /// The next news that is there already.
    ///
    /// # Errors
    /// This follower was too slow.
    pub(crate) fn next_ready(&mut self) -> Result<Option<News>, TooSlow> {
        self.inbox.next_ready()
    }
}

impl Hub {
    pub(crate) fn new(db: Pool) -> Self {
        Self {
            db,
            state: Mutex::default(),
            look: Notify::new(),
        }
    }

    /// Begins to follow a conversation, whose owner the caller has checked. News may come that the caller knows already,
    /// and a first gap is the caller's to fill: it reads the rows after this returns.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        conversation_id: Uuid,
    ) -> Result<Following, StoreError> {
        let last_position = store::within(async {
            let mut db = store::connection(&self.db).await?;
            runs::last_position(&mut db, conversation_id).await
        })
        .await?;
        let (place, inbox) = inbox::open();
        let mut state = self.lock();
        let follower = state.next_follower;
        state.next_follower += 1;
        let conversation = state
            .conversations
            .entry(conversation_id)
            .or_insert_with(|| Conversation {
                followers: HashMap::new(),
                runs: HashMap::new(),
                last_position,
            });
        conversation.followers.insert(follower, place);
        state.new_runs_in.insert(conversation_id);
        self.look.notify_one();
        Ok(Following {
            hub: Arc::clone(self),
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

    /// Reads and hands out until the stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look.notified() => {}
                () = tokio::time::sleep(POLL) => self.look_at_all(),
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
        let (conversations, positions) = self.take_conversations();
        if !conversations.is_empty() {
            let mut db = store::connection(&self.db).await?;
            let news = runs::news(&mut db, &conversations, &positions).await?;
            drop(db);
            self.learn(news);
        }
        let (run_ids, seqs) = self.take_runs();
        if !run_ids.is_empty() {
            let mut db = store::connection(&self.db).await?;
            let read = events::after(&mut db, &run_ids, &seqs, ROUND).await?;
            drop(db);
            if read.is_cut {
                self.look_at_all();
            }
            self.hand_out(read.events);
        }
        Ok(())
    }

    fn take_conversations(&self) -> (Vec<Uuid>, Vec<i64>) {
        let mut state = self.lock();
        let asked = std::mem::take(&mut state.new_runs_in);
        let known = asked
            .into_iter()
            .filter_map(|id| Some((id, state.conversations.get(&id)?.last_position)));
        known.unzip()
    }

    fn take_runs(&self) -> (Vec<Uuid>, Vec<i64>) {
        let mut state = self.lock();
        let asked = std::mem::take(&mut state.new_events_of);
        let seq = |run_id: &Uuid| {
            Some(
                state
                    .conversations
                    .get(state.runs.get(run_id)?)?
                    .runs
                    .get(run_id)?
                    .seq,
            )
        };
        asked
            .into_iter()
            .filter_map(|run_id| Some((run_id, seq(&run_id)?)))
            .unzip()
    }

    /// Takes note of runs: new ones are followed, and followers hear of queues and of attempts.
    fn learn(&self, news: Vec<Followed>) {
        let mut state = self.lock();
        let state = &mut *state;
        for run in news {
            let Some(conversation) = state.conversations.get_mut(&run.conversation_id) else {
                continue;
            };
            // A run that was there before is read by its followers themselves; a new one from its first event.
            let seq = if run.position > conversation.last_position {
                0
            } else {
                run.last_seq
            };
            let position = conversation.runs.len();
            conversation.last_position = conversation.last_position.max(run.position);
            let live = conversation.runs.entry(run.id).or_insert_with(|| {
                state.runs.insert(run.id, run.conversation_id);
                let queued = (run.status == "queued" && position > 0).then_some(position);
                Live {
                    seq,
                    attempt: run.attempt,
                    queued,
                }
            });
            state.new_events_of.insert(run.id);
            let mut told = Vec::new();
            if let Some(position) = live.queued.take() {
                told.push(News::Queued {
                    run_id: run.id,
                    position,
                });
            }
            if run.attempt > live.attempt {
                live.attempt = run.attempt;
                if run.attempt > 1 {
                    told.push(News::Attempt {
                        run_id: run.id,
                        attempt: run.attempt,
                    });
                }
            }
            told.into_iter().for_each(|news| conversation.tell(&news));
        }
    }

    fn hand_out(&self, stored: Vec<Stored>) {
        let mut state = self.lock();
        for event in stored {
            let run_id = event.run_id;
            let Some(conversation_id) = state.runs.get(&run_id).copied() else {
                continue;
            };
            let Some(conversation) = state.conversations.get_mut(&conversation_id) else {
                continue;
            };
            let Some(live) = conversation
                .runs
                .get_mut(&run_id)
                .filter(|live| live.seq < event.seq)
            else {
                continue;
            };
            live.seq = event.seq;
            let over = is_terminal(&event.event);
            conversation.tell(&News::Event(Arc::new(event)));
            if over {
                conversation.runs.remove(&run_id);
                state.runs.remove(&run_id);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing follows in this run.
pub(crate) fn is_terminal(event: &serde_json::Value) -> bool {
    matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"))
}

impl Conversation {
    /// Hands news to every follower; one whose queue is full is dropped and resumes later. Nobody waits for it.
    fn tell(&mut self, news: &News) {
        self.followers.retain(|_, place| place.tell(news.clone()));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let Some(conversation) = state.conversations.get_mut(&self.conversation_id) else {
            return;
        };
        conversation.followers.remove(&self.follower);
        if conversation.followers.is_empty()
            && let Some(conversation) = state.conversations.remove(&self.conversation_id)
        {
            for run_id in conversation.runs.keys() {
                state.runs.remove(run_id);
            }
        }
    }
}
