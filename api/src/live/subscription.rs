//! Following a conversation or a run from any place: what is stored first, then what comes, each event once and in order.
//!
//! What is stored is read in pages, the next one when the last is handed out: a client that missed a lot costs time, not memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use errand_core::RunStatus;
use errand_store::{
    self as store, StoreError,
    events::{self, Stored},
    lifecycle,
};
use uuid::Uuid;

use super::broker::{Following, TooSlow, Update};
use crate::App;

mod pages;

pub(crate) use pages::Pages;
use pages::{PAGE, Page};

/// Runs that are caught up with at most; a client that missed more loads the messages instead.
const MAX_RUNS: i64 = 50;
/// Things to tell or to read that wait at most, while others are caught up with.
const MAX_TODO: usize = 1024;

/// Where a client has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) run_id: Uuid,
    pub(crate) seq: i64,
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// An event of a run, the next one.
    Event(Arc<Stored>),
    /// A run waits for this many others of its conversation.
    Queued { run_id: Uuid, position: usize },
    /// An earlier attempt was lost; this one goes on.
    Attempt { run_id: Uuid, attempt: i32 },
    /// What was asked for is no longer stored: load the messages, follow afresh.
    ResyncRequired,
}

/// One follower.
pub(crate) struct Subscription {
    app: App,
    user_id: String,
    following: Following,
    /// The last event told of each run.
    seen: HashMap<Uuid, i64>,
    todo: VecDeque<Todo>,
    /// What was read of the run that is to be read first.
    page: Option<Page>,
}

/// What comes next.
enum Todo {
    Tell(Delivery),
    /// Read on in a run, which has at least this many events.
    Read {
        run_id: Uuid,
        last_seq: i64,
    },
}

impl Subscription {
    /// Follows a conversation, whose owner the caller has checked: from a place, or from the start of what is not over.
    pub(crate) async fn start(
        app: &App,
        user_id: &str,
        conversation_id: Uuid,
        after: Option<After>,
    ) -> Result<Self, StoreError> {
        Self::begin(app, user_id, conversation_id, after, false).await
    }

    /// Follows one run of a conversation, whose owner the caller has checked, from a place in it. How much has happened in the conversation since
    /// is no matter; what is told of other runs is for nobody.
    pub(crate) async fn start_at_run(
        app: &App,
        user_id: &str,
        conversation_id: Uuid,
        after: After,
    ) -> Result<Self, StoreError> {
        Self::begin(app, user_id, conversation_id, Some(after), true).await
    }

    async fn begin(
        app: &App,
        user_id: &str,
        conversation_id: Uuid,
        after: Option<After>,
        is_alone: bool,
    ) -> Result<Self, StoreError> {
        let turn = app.reads.enter(user_id).await?;
        // First the place among the followers, then the rows: nothing falls in between.
        let following = app.broker.follow(conversation_id).await?;
        let runs = store::within(async {
            let mut db = turn.begin().await?;
            let read = lifecycle::to_follow(
                &mut db,
                user_id,
                conversation_id,
                after.map(|after| after.run_id),
                MAX_RUNS,
            )
            .await;
            db.done(read).await
        })
        .await?;
        let mut follower = Self {
            app: app.clone(),
            user_id: user_id.to_owned(),
            following,
            seen: HashMap::new(),
            todo: VecDeque::new(),
            page: None,
        };
        if let Some(after) = after {
            let known = runs
                .first()
                .is_some_and(|run| run.id == after.run_id && run.last_seq >= after.seq);
            let asked = if is_alone { 1 } else { runs.len() };
            let purged = runs
                .iter()
                .take(asked)
                .any(|run| run.last_seq == 0 && !run.status.is_active());
            let too_many = i64::try_from(asked).is_ok_and(|asked| asked == MAX_RUNS);
            if !known || purged || too_many {
                follower.tell(Delivery::ResyncRequired);
                return Ok(follower);
            }
            follower.seen.insert(after.run_id, after.seq);
        }
        let open = runs.iter().filter(|run| run.status.is_active());
        follower
            .following
            .has_read(open.map(|run| (run.id, run.last_seq, run.attempt)));
        let mut before = 0;
        for run in &runs {
            let is_open = run.status.is_active();
            if run.status == RunStatus::Queued && before > 0 {
                follower.tell(Delivery::Queued {
                    run_id: run.id,
                    position: before,
                });
            }
            before += usize::from(is_open);
            if !is_alone || after.is_some_and(|after| after.run_id == run.id) {
                follower.want(run.id, run.last_seq);
            }
        }
        Ok(follower)
    }

    /// Whether what was asked for is no longer stored.
    pub(crate) fn must_resync(&self) -> bool {
        matches!(
            self.todo.front(),
            Some(Todo::Tell(Delivery::ResyncRequired))
        )
    }

    /// The next thing to tell; none if this follower was too slow and has to resume.
    pub(crate) async fn next(&mut self) -> Result<Option<Delivery>, StoreError> {
        loop {
            match self.todo.front() {
                Some(Todo::Tell(_)) => {
                    if let Some(Todo::Tell(told)) = self.todo.pop_front() {
                        return Ok(Some(told));
                    }
                }
                Some(Todo::Read { .. }) => {
                    if let Some(event) = self.page.as_ref().and_then(Page::take) {
                        return Ok(Some(self.told(Arc::new(event))));
                    }
                    if self.keep_up().is_err() {
                        return Ok(None);
                    }
                    self.read_on().await?;
                }
                None => match self.following.next().await {
                    None => return Ok(None),
                    Some(Update::Event(event)) if event.seq == self.seen(event.run_id) + 1 => {
                        return Ok(Some(self.told(event)));
                    }
                    Some(news) => self.take(news),
                },
            }
        }
    }

    fn told(&mut self, event: Arc<Stored>) -> Delivery {
        self.seen.insert(event.run_id, event.seq);
        Delivery::Event(event)
    }

    fn seen(&self, run_id: Uuid) -> i64 {
        self.seen.get(&run_id).copied().unwrap_or(0)
    }

    /// Takes what came live while the rows are caught up with, so that the broker need not wait: of events only that they are there.
    fn keep_up(&mut self) -> Result<(), TooSlow> {
        while let Some(news) = self.following.next_ready()? {
            if self.todo.len() >= MAX_TODO {
                return Err(TooSlow);
            }
            self.take(news);
        }
        Ok(())
    }

    /// Notes what is to be told, or read, because of this; leaves out what was told.
    fn take(&mut self, news: Update) {
        match news {
            Update::Event(event) if event.seq <= self.seen(event.run_id) => {}
            Update::Event(event) => self.want(event.run_id, event.seq),
            Update::More { run_id, seq } if seq <= self.seen(run_id) => {}
            Update::More { run_id, seq } => self.want(run_id, seq),
            Update::Queued { run_id, position } => self.tell(Delivery::Queued { run_id, position }),
            Update::Attempt { run_id, attempt } => self.tell(Delivery::Attempt { run_id, attempt }),
        }
    }

    fn tell(&mut self, told: Delivery) {
        self.todo.push_back(Todo::Tell(told));
    }

    /// Reads on in a run, once all that comes before is told.
    fn want(&mut self, wanted: Uuid, at_least: i64) {
        for todo in &mut self.todo {
            if let Todo::Read { run_id, last_seq } = todo
                && *run_id == wanted
            {
                *last_seq = (*last_seq).max(at_least);
                return;
            }
        }
        self.todo.push_back(Todo::Read {
            run_id: wanted,
            last_seq: at_least,
        });
    }

    /// Reads the next page of the run that is to be read first, or finds that there is none and is done with it.
    async fn read_on(&mut self) -> Result<(), StoreError> {
        let Some(&Todo::Read { run_id, last_seq }) = self.todo.front() else {
            return Ok(());
        };
        let seen = self.seen(run_id);
        // A page that was emptied before its end is read again, from what has not been told.
        if let Some(page) = self.page.take()
            && page.last_seq <= seen
            && last_seq <= seen
            && !page.is_cut
        {
            self.todo.pop_front();
            return Ok(());
        }
        let turn = self.app.reads.enter(&self.user_id).await?;
        let read = store::within(async {
            let mut db = turn.begin().await?;
            let read = events::after(&mut db, &[run_id], &[seen], PAGE).await;
            db.done(read).await
        })
        .await?;
        drop(turn);
        self.page = self.app.pages.keep(read.events, read.is_cut);
        if self.page.is_none() {
            self.todo.pop_front();
            if seen < last_seq {
                // It was there when it was looked for, and is purged.
                self.todo.push_front(Todo::Tell(Delivery::ResyncRequired));
            }
        }
        Ok(())
    }
}
