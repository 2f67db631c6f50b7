//! What turns want of the summaries of their conversations: asked for, asked for again, cancelled.
//!
//! A turn waits for nothing of this: what it wants is put into a bounded queue, and what does not fit there is wanted again at the end of the next
//! turn. `summary_writer` does it.

use errand_store::{
    lifecycle::Claimed as Run,
    read::history::{History, SummaryStatus},
    summaries::Span,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    agent::summary::{self, Due},
    config::Config,
};

/// What turns want and nobody has got to yet. More is forgotten.
const WANTED: usize = 256;

/// Something that a turn wants done.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// A summary of these turns.
    Ask(Span),
    /// The summary of this user with this id, which was cancelled.
    Again(String, Uuid),
    /// That the summary of this user with this id is given up.
    Cancel(String, Uuid),
}

/// What a turn does about the summaries of its conversation, without waiting.
#[derive(Debug, Clone)]
pub(crate) struct Summaries {
    wanted: mpsc::Sender<Wanted>,
    budget: usize,
}

/// The other end of [`Summaries`].
#[derive(Debug)]
pub(crate) struct Orders {
    /// What turns want, in their order.
    pub(crate) wanted: mpsc::Receiver<Wanted>,
    /// Whether summaries are written at all.
    pub(crate) are_on: bool,
    /// Tokens of a history.
    pub(crate) budget: usize,
    /// Summaries that are written at the same time at most.
    pub(crate) slots: usize,
}

/// The two ends. At most a sixteenth as many summaries are written at the same time as turns.
pub(crate) fn channel(config: &Config) -> (Summaries, Orders) {
    let (sender, receiver) = mpsc::channel(WANTED);
    let budget = usize::try_from(config.history_tokens).unwrap_or(usize::MAX);
    let orders = Orders {
        wanted: receiver,
        are_on: config.summaries,
        budget,
        slots: usize::from(config.worker_concurrency / 16).clamp(1, 8),
    };
    let summaries = Summaries {
        wanted: sender,
        budget,
    };
    (summaries, orders)
}

impl Summaries {
    /// The conversation of a run goes on: a summary of it that is not over is cancelled. Returns what is due when the run is over.
    pub(crate) fn goes_on(&self, run: &Run, history: &History) -> Option<Due> {
        if let Some(next) = history.before.next
            && matches!(next.status, SummaryStatus::Queued | SummaryStatus::Running)
        {
            self.want(Wanted::Cancel(run.user_id.clone(), next.id));
        }
        summary::due(history, self.budget)
    }

    /// A run is over, before which this was due.
    pub(crate) fn ask(&self, run: &Run, due: Due) {
        self.want(match due {
            Due::Again(next) => Wanted::Again(run.user_id.clone(), next.id),
            Due::UpTo(covers_to) => Wanted::Ask(Span {
                user_id: run.user_id.clone(),
                conversation_id: run.conversation_id,
                covers_to,
            }),
        });
    }

    fn want(&self, wanted: Wanted) {
        if self.wanted.try_send(wanted).is_err() {
            tracing::debug!("too much is wanted of summaries; this is wanted again later");
        }
    }
}
