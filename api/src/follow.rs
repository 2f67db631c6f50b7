//! Following a conversation or a run from any place: what is stored first, then what comes, each event once and in order.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use errand_shared::store::{
    self, StoreError,
    events::{self, Stored},
    runs,
};
use uuid::Uuid;

use crate::{
    App,
    hub::{Following, News, is_terminal},
};

/// Runs that are caught up with at most; a client that missed more loads the messages instead.
const MAX_RUNS: i64 = 50;
/// Events read from the store at a time.
const PAGE: i64 = 1000;

/// Silence after which the runs that are not over are looked at again: no end is missed, whatever was.
const POLL: Duration = Duration::from_secs(2);

/// Where a client has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) run_id: Uuid,
    pub(crate) seq: i64,
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Told {
    News(News),
    /// What was asked for is no longer stored: load the messages, follow afresh.
    ResyncRequired,
}

/// One follower.
pub(crate) struct Follower {
    app: App,
    user_id: String,
    following: Following,
    /// The last event told of each run.
    seen: HashMap<Uuid, i64>,
    /// Runs whose end has not been told.
    open: HashSet<Uuid>,
    ready: VecDeque<Told>,
}

impl Follower {
    /// Follows a conversation, whose owner the caller has checked: from a place, or from the start of what is not over.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn start(
        app: &App,
        user_id: &str,
        conversation_id: Uuid,
        after: Option<After>,
    ) -> Result<Self, StoreError> {
        // First the place among the followers, then the rows: nothing falls in between.
        let following = app.hub.follow(conversation_id).await?;
        let runs = store::within(async {
            let mut db = store::begin_for(&app.db, user_id).await?;
            runs::to_follow(
                &mut db,
                user_id,
                conversation_id,
                after.map(|after| after.run_id),
                MAX_RUNS,
            )
            .await
        })
        .await?;
        let mut follower = Self {
            app: app.clone(),
            user_id: user_id.to_owned(),
            following,
            seen: HashMap::new(),
            open: HashSet::new(),
            ready: VecDeque::new(),
        };
        if let Some(after) = after {
            let known = runs
                .first()
                .is_some_and(|run| run.id == after.run_id && run.last_seq >= after.seq);
            let purged = runs
                .iter()
                .any(|run| run.last_seq == 0 && is_over(&run.status));
            if !known || purged || i64::try_from(runs.len()).is_ok_and(|read| read == MAX_RUNS) {
                follower.ready.push_back(Told::ResyncRequired);
                return Ok(follower);
            }
            follower.seen.insert(after.run_id, after.seq);
        }
        let mut before = 0;
        for run in &runs {
            let is_open = !is_over(&run.status);
            if is_open {
                follower.open.insert(run.id);
            }
            if run.status == "queued" && before > 0 {
                let news = News::Queued {
                    run_id: run.id,
                    position: before,
                };
                follower.ready.push_back(Told::News(news));
            }
            before += usize::from(is_open);
            follower.read(run.id).await?;
        }
        Ok(follower)
    }

    /// Whether what was asked for is no longer stored.
    pub(crate) fn must_resync(&self) -> bool {
        matches!(self.ready.front(), Some(Told::ResyncRequired))
    }

    /// The next thing to tell; none if this follower was too slow and has to resume.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, StoreError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                if let Told::News(News::Event(event)) = &told
                    && is_terminal(&event.event)
                {
                    self.open.remove(&event.run_id);
                }
                return Ok(Some(told));
            }
            let news = tokio::time::timeout(POLL, self.following.next());
            match news.await {
                Ok(None) => return Ok(None),
                Ok(Some(News::Event(event))) => self.hear(event).await?,
                Ok(Some(news)) => self.ready.push_back(Told::News(news)),
                Err(_) => {
                    for run_id in self.open.clone() {
                        self.read(run_id).await?;
                    }
                }
            }
        }
    }

    /// Takes an event if it is the next of its run; fills the gap before it; leaves out what was told.
    async fn hear(&mut self, event: Arc<Stored>) -> Result<(), StoreError> {
        let run_id = event.run_id;
        let seen = self.seen.entry(run_id).or_insert(0);
        match event.seq - *seen {
            ..=0 => {}
            1 => {
                *seen = event.seq;
                self.open.insert(run_id);
                self.ready.push_back(Told::News(News::Event(event)));
            }
            _ => {
                self.open.insert(run_id);
                self.read(run_id).await?;
            }
        }
        Ok(())
    }

    /// Reads what is stored of a run behind what was told of it.
    async fn read(&mut self, run_id: Uuid) -> Result<(), StoreError> {
        loop {
            let seen = *self.seen.entry(run_id).or_insert(0);
            let stored = store::within(async {
                let mut db = store::begin_for(&self.app.db, &self.user_id).await?;
                events::after(&mut db, &[run_id], &[seen], PAGE).await
            })
            .await?;
            let Some(Stored { seq, .. }) = stored.last() else {
                return Ok(());
            };
            self.seen.insert(run_id, *seq);
            self.ready.extend(
                stored
                    .into_iter()
                    .map(|event| Told::News(News::Event(Arc::new(event)))),
            );
        }
    }
}

/// Whether no more events come of a run: one that waits for a decision has told everything.
fn is_over(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled" | "waiting")
}
