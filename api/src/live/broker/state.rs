//! Who follows what, and how far it is told: what the broker knows, without any waiting.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use errand_core::RunStatus;
use errand_store::{
    events::Stored,
    lifecycle::{Followed, Span},
};
use uuid::Uuid;

use super::{
    inbox::{Place, Update},
    is_terminal,
};

#[derive(Default)]
pub(super) struct State {
    pub(super) conversations: HashMap<Uuid, Conversation>,
    /// Which conversation a followed run belongs to.
    pub(super) runs: HashMap<Uuid, Uuid>,
    pub(super) new_runs_in: HashSet<Uuid>,
    pub(super) new_events_of: HashSet<Uuid>,
    next_follower: u64,
}

pub(super) struct Conversation {
    followers: HashMap<u64, Place>,
    runs: HashMap<Uuid, Live>,
    /// Runs up to this place are known.
    known: i64,
    /// Runs up to this place were there before anybody followed: those that were over by then are told by nobody.
    earlier: i64,
}

struct Live {
    seq: i64,
    attempt: i32,
    queued: Option<usize>,
}

impl State {
    /// Gives a follower its place in a conversation whose runs span so far; returns its number.
    pub(super) fn enter(&mut self, conversation_id: Uuid, span: Span, place: Place) -> u64 {
        let follower = self.next_follower;
        self.next_follower += 1;
        let conversation = self
            .conversations
            .entry(conversation_id)
            .or_insert_with(|| Conversation {
                followers: HashMap::new(),
                runs: HashMap::new(),
                known: span.first_open.map_or(span.last, |first| first - 1),
                earlier: span.last,
            });
        conversation.followers.insert(follower, place);
        self.new_runs_in.insert(conversation_id);
        follower
    }

    /// Takes a follower's place away, and with the last one the conversation.
    pub(super) fn leave(&mut self, conversation_id: Uuid, follower: u64) {
        let Some(conversation) = self.conversations.get_mut(&conversation_id) else {
            return;
        };
        conversation.followers.remove(&follower);
        if conversation.followers.is_empty()
            && let Some(conversation) = self.conversations.remove(&conversation_id)
        {
            for run_id in conversation.runs.keys() {
                self.runs.remove(run_id);
            }
        }
    }

    /// Follows runs from where one follower has read to, and tells it what the others were told beyond that.
    pub(super) fn follow_on(
        &mut self,
        conversation_id: Uuid,
        follower: u64,
        runs: impl Iterator<Item = (Uuid, i64, i32)>,
    ) {
        let state = self;
        let Some(conversation) = state.conversations.get_mut(&conversation_id) else {
            return;
        };
        for (run_id, seq, attempt) in runs {
            let live = conversation.runs.entry(run_id).or_insert_with(|| {
                state.runs.insert(run_id, conversation_id);
                Live {
                    seq,
                    attempt,
                    queued: None,
                }
            });
            if live.seq > seq {
                let seq = live.seq;
                conversation.tell_one(follower, Update::More { run_id, seq });
            }
            state.new_events_of.insert(run_id);
        }
    }

    /// The conversations that may have new runs, and how far they are known, as many at a time as one query asks for.
    pub(super) fn take_conversations(&mut self, at_a_time: usize) -> Vec<(Vec<Uuid>, Vec<i64>)> {
        let state = self;
        let asked = std::mem::take(&mut state.new_runs_in);
        let known = asked
            .into_iter()
            .filter_map(|id| Some((id, state.conversations.get(&id)?.known)));
        let known: Vec<_> = known.collect();
        let parts = known.chunks(at_a_time);
        parts.map(|part| part.iter().copied().unzip()).collect()
    }

    /// The runs that may have new events, and how far they are told.
    pub(super) fn take_runs(&mut self) -> (Vec<Uuid>, Vec<i64>) {
        let state = self;
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

    /// Takes note of runs, of which at most `limit` new ones of each conversation were read: they are followed, and followers hear of
    /// queues and of attempts. True if there may be more of them.
    pub(super) fn register(&mut self, news: Vec<Followed>, limit: i64) -> bool {
        let state = self;
        let mut read: HashMap<Uuid, i64> = HashMap::new();
        for run in news {
            let Some(conversation) = state.conversations.get_mut(&run.conversation_id) else {
                continue;
            };
            // Runs that were there before, and those that are opened again, have events that their followers read for themselves.
            let is_earlier = run.position <= conversation.earlier;
            let is_new = !is_earlier && run.position > conversation.known;
            if run.position > conversation.known {
                conversation.known = run.position;
                let read = read.entry(run.conversation_id).or_default();
                *read += 1;
                if *read >= limit {
                    state.new_runs_in.insert(run.conversation_id);
                }
            }
            if is_earlier && !run.status.is_active() {
                continue;
            }
            let place = conversation.runs.len();
            let mut told = Vec::new();
            let live = conversation.runs.entry(run.id).or_insert_with(|| {
                state.runs.insert(run.id, run.conversation_id);
                if !is_new && run.last_seq > 0 {
                    told.push(Update::More {
                        run_id: run.id,
                        seq: run.last_seq,
                    });
                }
                Live {
                    seq: if is_new { 0 } else { run.last_seq },
                    attempt: run.attempt,
                    queued: (run.status == RunStatus::Queued && place > 0).then_some(place),
                }
            });
            state.new_events_of.insert(run.id);
            if let Some(position) = live.queued.take() {
                told.push(Update::Queued {
                    run_id: run.id,
                    position,
                });
            }
            if run.attempt > live.attempt {
                live.attempt = run.attempt;
                if run.attempt > 1 {
                    told.push(Update::Attempt {
                        run_id: run.id,
                        attempt: run.attempt,
                    });
                }
            }
            told.into_iter().for_each(|news| conversation.tell(&news));
        }
        !state.new_runs_in.is_empty()
    }

    /// Hands events out, each once and in order.
    pub(super) fn hand_out(&mut self, stored: Vec<Stored>) {
        let state = self;
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
            conversation.tell(&Update::Event(Arc::new(event)));
            if over {
                conversation.runs.remove(&run_id);
                state.runs.remove(&run_id);
            }
        }
    }
}

impl Conversation {
    /// Hands news to every follower; one whose queue is full is dropped and resumes later. Nobody waits for it.
    fn tell(&mut self, news: &Update) {
        self.followers.retain(|_, place| place.tell(news.clone()));
    }

    fn tell_one(&mut self, follower: u64, news: Update) {
        if let Some(place) = self.followers.get(&follower)
            && !place.tell(news)
        {
            self.followers.remove(&follower);
        }
    }
}
