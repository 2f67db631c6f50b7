//! Writes summaries of conversations beside the turns, in places of their own, and so that turns do not feel it: one after the other as far as the
//! database and the processor go, and none while turns wait for a place.
//!
//! Whatever goes wrong leaves a conversation without a newer summary, which costs it older turns and nothing else.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use errand_core::faults;
use errand_store::{
    self as store, Rest, StoreError, WriteError,
    read::{
        history::{self, History},
        usage::Tokens,
    },
    summaries::{self, Claimed, End, MAX_ATTEMPTS, Span},
};
use futures::FutureExt;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{Model, ModelError, Progress, READ_TURNS, summary},
    queue::{Beside, InFlightGuard},
    run_executor::RunExecutor,
    spans,
    summaries::{Orders, Wanted},
};

/// How long a summary is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before another attempt after the model was not available; doubled for each further one.
const FIRST_RETRY: Duration = Duration::from_secs(15);
/// Pause before what a turn wants is tried once more, as the database failed.
const SECOND_TRY: Duration = Duration::from_secs(1);
/// How often a worker looks for summaries that are not asked for by its own turns: those of dead workers, and those that are to be tried again.
const POLL: Duration = Duration::from_secs(10);
/// The same while there is no work. A summary that waits is a job, and so is seen by the next heartbeat.
const POLL_AT_REST: Duration = Duration::from_secs(120);
/// The same at the start, when the worker has been entered: what one that has just stopped gave back waits for nobody's turn.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Between the beginnings of two summaries. Those of a crowd would do the same work at the same moments, and all turns would wait behind it.
const BETWEEN: Duration = Duration::from_millis(50);
/// Pause before another look while turns wait for a place.
const WHILE_TURNS_WAIT: Duration = Duration::from_secs(1);

/// Writes the summaries of a process.
pub(crate) struct Writer {
    executor: Arc<RunExecutor>,
    beside: Beside,
    orders: Orders,
    rest: Arc<Rest>,
}

impl Writer {
    pub(crate) fn new(
        executor: Arc<RunExecutor>,
        beside: Beside,
        orders: Orders,
        rest: Arc<Rest>,
    ) -> Self {
        Self {
            executor,
            beside,
            orders,
            rest,
        }
    }

    /// Until `stop`. What is under way then is dropped and left to another worker.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self {
            executor,
            beside,
            orders,
            rest,
        } = self;
        let Orders {
            mut wanted,
            are_on,
            budget,
            slots,
        } = orders;
        let take_orders = async {
            while let Some(wanted) = wanted.recv().await {
                let mut obeyed = store::within(obey(&executor, are_on, &wanted)).await;
                // Whatever came of the first try, another changes nothing that it did.
                if obeyed.is_err() {
                    tokio::time::sleep(SECOND_TRY).await;
                    obeyed = store::within(obey(&executor, are_on, &wanted)).await;
                }
                match obeyed {
                    Ok(true) => beside.wake.notify_one(),
                    Ok(false) => {}
                    Err(error) => tracing::info!(%error, "a summary could not be asked for"),
                }
            }
        };
        let writing = Writing {
            executor: Arc::clone(&executor),
            are_on,
            budget,
            database: Semaphore::new(1),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = take_orders => {}
            () = claims(&beside, &rest, slots, Arc::new(writing)) => {}
        }
    }
}

/// Does what a turn wanted. True if there is something to write now.
async fn obey(executor: &RunExecutor, are_on: bool, wanted: &Wanted) -> Result<bool, StoreError> {
    let pool = &executor.pool;
    match wanted {
        Wanted::Ask(span) if are_on => summaries::ask(pool, span).await,
        Wanted::Ask(span) => summaries::skip(pool, span).await.map(|()| false),
        Wanted::Again(user_id, id) if are_on => summaries::ask_again(pool, user_id, *id).await,
        Wanted::Again(..) => Ok(false),
        Wanted::Cancel(user_id, id) => {
            summaries::cancel(pool, user_id, *id).await?;
            Ok(false)
        }
    }
}

/// Claims what is to be written, when woken and now and then, for as long as there are places, one at a time.
async fn claims(beside: &Beside, rest: &Rest, slots: usize, writing: Arc<Writing>) {
    let mut under_way = JoinSet::new();
    let mut outage_logged = false;
    let mut pause = FIRST_LOOK;
    let mut is_full = false;
    loop {
        tokio::select! {
            () = beside.wake.notified() => {}
            // What was left for want of a place. Else all there was is claimed.
            Some(_) = under_way.join_next() => if !is_full { continue },
            () = rest.pause(pause, POLL_AT_REST) => {}
        }
        pause = POLL;
        is_full = under_way.len() >= slots;
        if is_full {
            continue;
        }
        if beside.runs.are_taken() {
            pause = WHILE_TURNS_WAIT;
            continue;
        }
        let claimed = summaries::claim(&writing.executor.pool, &beside.worker);
        match store::within(claimed).await {
            Ok(claimed) => {
                outage_logged = false;
                let Some(claimed) = claimed else { continue };
                let guard = beside.in_flight.hold_beside(claimed.id);
                let writing = Arc::clone(&writing);
                under_way.spawn(async move { writing.handle(claimed, guard).await });
                tokio::time::sleep(BETWEEN).await;
                beside.wake.notify_one();
            }
            Err(error) if !outage_logged => {
                tracing::warn!(%error, "cannot claim summaries; trying again");
                outage_logged = true;
            }
            Err(_) => {}
        }
    }
}

struct Writing {
    executor: Arc<RunExecutor>,
    are_on: bool,
    budget: usize,
    /// For what goes to the database: one at a time.
    database: Semaphore,
}

impl Writing {
    async fn handle(&self, claimed: Claimed, _guard: InFlightGuard) {
        faults::point("summary.claimed");
        let begun = Instant::now();
        let spent = Mutex::new(Tokens::default());
        let write = AssertUnwindSafe(self.write(&claimed, &spent)).catch_unwind();
        let (end, outcome) = tokio::select! {
            written = write => match written.unwrap_or(End::Failed("panic")) {
                end @ End::Written { .. } => (end, "completed"),
                end @ End::Failed(_) => (end, "failed"),
                end @ End::Again(_) => (end, "again"),
            },
            // The row says so already.
            () = self.cancelled(&claimed) => (End::Failed("cancelled"), "cancelled"),
        };
        faults::point("summary.written");
        let tokens = *spent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.database.acquire().await;
        let finished = summaries::finish(&self.executor.pool, &claimed, &end, tokens);
        let outcome = match store::within(finished).await {
            Ok(()) => outcome,
            Err(WriteError::Fenced) => "cancelled",
            Err(WriteError::Store(error)) => {
                tracing::info!(%error, "the end of a summary could not be written");
                "lost"
            }
        };
        drop(place);
        self.executor.metrics.summarised(outcome, begun.elapsed());
        let why = match end {
            End::Failed(why) => Some(why),
            _ => None,
        };
        tracing::info!(summary = %claimed.id, attempt = claimed.attempt, outcome, why, took = ?begun.elapsed(), "summary");
    }

    /// Ends when the conversation goes on. Who cancels names no attempt, and is heard some time later: then an earlier one may be meant, and the
    /// row still is this one's.
    async fn cancelled(&self, claimed: &Claimed) {
        loop {
            let watch = self.executor.cancels.watch(claimed.id, claimed.attempt);
            watch.asked().await;
            let owned = summaries::is_owned(&self.executor.pool, claimed);
            if let Ok(false) = store::within(owned).await {
                return;
            }
        }
    }

    /// One attempt.
    async fn write(&self, claimed: &Claimed, spent: &Mutex<Tokens>) -> End {
        if !self.are_on {
            return End::Failed("off");
        }
        if claimed.attempt > MAX_ATTEMPTS {
            return End::Failed("attempts");
        }
        let again = |attempt: i32, why| {
            let doubled = 2_u32.saturating_pow(attempt.clamp(1, 6).unsigned_abs() - 1);
            match attempt < MAX_ATTEMPTS {
                true => End::Again(FIRST_RETRY * doubled),
                false => End::Failed(why),
            }
        };
        let history = match store::within(self.history(&claimed.span)).await {
            Ok(history) if history.turns.is_empty() => return End::Failed("empty"),
            Ok(history) => history,
            Err(error) => {
                tracing::info!(%error, "what is to be summarised could not be read");
                return again(claimed.attempt, "store");
            }
        };
        let model = self.executor.models.configured().at_hand();
        let mut span = spans::model(model.provider(), model.name());
        let tell = |progress: Progress<'_>| {
            let mut spent = spent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Progress::Tokens(tokens) = progress {
                *spent = tokens;
            }
        };
        let asked = summary::summary(model, &history, self.budget, &tell);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok((content, tokens))) => {
                spans::used(&mut span, tokens);
                *spent.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
                self.executor.metrics.used(model.name(), tokens);
                match content {
                    Some(content) => End::Written {
                        content,
                        model: model.name().to_owned(),
                    },
                    None => End::Failed("no_summary"),
                }
            }
            Ok(Err(error)) => {
                span.fail("no_answer");
                tracing::info!(%error, "no summary: the model gave none");
                match error {
                    ModelError::Unavailable(_) => again(claimed.attempt, "model_unavailable"),
                    ModelError::Refused(_) => End::Failed("model_refused"),
                    ModelError::ContextTooLong => End::Failed("context_too_long"),
                }
            }
            Err(_) => {
                span.fail("timeout");
                again(claimed.attempt, "model_timeout")
            }
        }
    }

    /// What is to be summarised: the turns behind the summary in force, and that one; read as its user.
    async fn history(&self, span: &Span) -> Result<History, StoreError> {
        let _place = self.database.acquire().await;
        let mut db = store::begin_for(&self.executor.pool, &span.user_id).await?;
        let up_to = span.covers_to.saturating_add(1);
        let (user_id, conversation) = (&span.user_id, span.conversation_id);
        let read = history::at(&mut db, user_id, conversation, up_to, READ_TURNS).await;
        db.done(read).await
    }
}
