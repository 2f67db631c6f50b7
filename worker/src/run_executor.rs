//! One turn, from the job to the end of the run: claim, history, agent, reply.
//!
//! No transaction spans the model's time. Whatever goes wrong, the run ends in exactly one way or goes back to the queue;
//! what was committed of it stays.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use errand_core::{calendar::Moment, faults, guardrails::Guardrails, hints::Hint};
use errand_server::{
    telemetry,
    trace::{Span, TraceContext},
};
use errand_store::{
    self as store, Pool, StoreError, UserPool, WriteError,
    lifecycle::{self, Claimed, Outcome, Release},
    read::{
        history::{self, History, RecordedStep},
        messages,
        usage::Tokens,
    },
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    agent::{self, Assignment, Interrupted, READ_TURNS, Reply, Stop, summary::Due},
    cancels::Cancels,
    config::Config,
    guarded::Guarded,
    instructions::Instructions,
    journal::RunJournal,
    metrics::{self, MeasuredJournal, MeasuredTools, Metrics},
    models::{Chain, Models},
    publisher::Publisher,
    queue::Delivery,
    spans::{self, Ended},
    summaries::Summaries,
    titles,
    toolbox::Toolbox,
};

mod attempt;

use attempt::{Attempt, failed, log_end, of_failure, of_store, pending};

/// Pause before the next attempt after the first one was lost; doubled for each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Bounds of a run.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) run_timeout: Duration,
    pub(crate) max_steps: i32,
    pub(crate) history_tokens: usize,
    pub(crate) max_ready_runs: i64,
    pub(crate) max_attempts: i32,
    pub(crate) needs_approval: Vec<String>,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            run_timeout: config.run_timeout,
            max_steps: config.max_steps,
            history_tokens: usize::try_from(config.history_tokens).unwrap_or(usize::MAX),
            max_ready_runs: i64::from(config.max_ready_runs),
            max_attempts: config.max_attempts,
            needs_approval: config.gated_tools(),
        }
    }
}

/// What every turn of this process works with.
pub(crate) struct RunExecutor {
    pub(crate) pool: Pool,
    /// The way to the pool for what takes a user's lock.
    pub(crate) users: UserPool,
    pub(crate) models: Models,
    pub(crate) instructions: Instructions,
    pub(crate) guardrails: Guardrails,
    pub(crate) toolbox: Toolbox,
    pub(crate) publisher: Publisher,
    pub(crate) cancels: Cancels,
    pub(crate) summaries: Summaries,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
}

impl RunExecutor {
    /// Works on a claimed run. Never fails: what cannot be finished here is left to the lease and another attempt.
    pub(crate) async fn handle(&self, delivery: Delivery, drain: CancellationToken) {
        let Delivery {
            taken,
            mut span,
            guard: _guard,
        } = delivery;
        faults::point("run.claimed");
        if taken.run.attempt > 1 {
            self.pool
                .tell(Hint::Conversation(taken.run.conversation_id));
        }
        let lines = tracing::info_span!(
            "run", run = %taken.run.id, attempt = taken.run.attempt, user = %telemetry::user(&taken.run.user_id),
            trace = span.context().map(TraceContext::trace_id),
        );
        // Boxed, as what is awaited in it and is large: it is there as long as the run, which mostly waits for its model.
        let work = Box::pin(self.work(&taken.run, taken.history, drain));
        let ended = span.scope(work).instrument(lines).await;
        ended.tell(&mut span);
    }

    async fn work(
        &self,
        run: &Claimed,
        history: Option<History>,
        drain: CancellationToken,
    ) -> Ended {
        let begun = std::time::Instant::now();
        let begin = async {
            let models = self.models_of(run).await?;
            let journal = RunJournal::begin(&self.pool, run, &self.publisher, models.name());
            Ok((models, journal.await?))
        };
        let (models, journal) = match store::within(begin).await {
            Ok(begun) => begun,
            Err(error) => {
                return self.release(run, of_store(&error), Tokens::default()).await;
            }
        };
        let watch = self.cancels.watch(run.id, run.attempt);
        let due = OnceLock::new();
        let attempt = tokio::select! {
            attempt = AssertUnwindSafe(self.attempt(run, history, models, &journal, &due)).catch_unwind() => {
                attempt.unwrap_or_else(|_| Attempt::Interrupted(Interrupted::Unavailable("panic".to_owned())))
            }
            () = watch.asked() => Attempt::Cancelled,
            // Leaves the model's stream and closes it: nothing that comes of it could be written.
            why = journal.ended() => Attempt::Interrupted(why),
            () = drain.cancelled() => Attempt::Drained,
        };
        let mut cause = None;
        let (outcome, reply) = match attempt {
            Attempt::Replied(reply) => {
                let outcome = Outcome::Completed {
                    reply: reply.answer.text.clone(),
                    cut_short: reply.answer.cut_short(),
                };
                (outcome, Some(reply))
            }
            Attempt::Paused(reply, questions) => {
                let pending = pending(run.id, &reply, questions);
                (Outcome::AwaitingApproval(pending), Some(reply))
            }
            Attempt::Failed {
                code,
                message,
                cause: why,
            } => {
                cause = why;
                (Outcome::Failed { code, message }, None)
            }
            Attempt::Cancelled => (
                Outcome::Cancelled {
                    partial: journal.partial(),
                },
                None,
            ),
            unfinished => return self.release(run, unfinished, journal.cut_off()).await,
        };
        log_end(&outcome, cause.as_deref(), begun.elapsed());
        match Box::pin(self.finish(&journal, &outcome, reply.as_ref())).await {
            // If it took effect after all, the fence says so to whoever tries again.
            Err(WriteError::Store(error)) if error.is_outage() => {
                let outage = of_store(&error);
                self.release(run, outage, journal.cut_off()).await
            }
            Ok(()) => {
                self.metrics
                    .ended(&outcome, self.pool.since(run.created_at));
                if let Some(due) = due.into_inner() {
                    self.summaries.ask(run, due);
                }
                // A turn that goes on from another has no title to give: its conversation had one before.
                if let (true, Outcome::Completed { reply, .. }) = (run.wants_title, &outcome) {
                    Box::pin(titles::give(
                        &self.pool,
                        models.at_hand(),
                        &self.metrics,
                        run,
                        reply,
                        &drain,
                    ))
                    .await;
                }
                spans::ended(&outcome)
            }
            written => self.report(written, spans::ended(&outcome)),
        }
    }

    /// Commits the end of a run.
    async fn finish(
        &self,
        journal: &RunJournal<'_>,
        outcome: &Outcome,
        reply: Option<&Reply>,
    ) -> Result<(), WriteError> {
        let begun = std::time::Instant::now();
        let mut span = Span::begin("finish");
        let max_ready = self.limits.max_ready_runs;
        let written = journal.finish(&self.users, outcome, reply, max_ready).await;
        self.metrics.stage("finish", begun.elapsed());
        if written.is_err() {
            span.fail("not_committed");
        }
        written
    }

    /// Gives back a run that is not at its end.
    async fn release(&self, run: &Claimed, attempt: Attempt, cut_off: Tokens) -> Ended {
        let why = match attempt {
            Attempt::Interrupted(Interrupted::Fenced) => {
                return self.report(Err(WriteError::Fenced), Ended::well("released"));
            }
            Attempt::Interrupted(Interrupted::Unavailable(reason)) => {
                let pause = FIRST_RETRY
                    * 2_u32.saturating_pow(run.lost_attempts.clamp(0, 5).unsigned_abs());
                tracing::warn!(
                    reason,
                    ?pause,
                    "the attempt failed; the run goes back to the queue"
                );
                Release::Retry(pause)
            }
            Attempt::Interrupted(Interrupted::Outage(reason)) => {
                tracing::warn!(
                    reason,
                    "the database is away; the run goes back to the queue"
                );
                Release::Outage(FIRST_RETRY)
            }
            _ => {
                tracing::info!("handed back to the queue: this worker stops");
                Release::Drained
            }
        };
        let reason = match why {
            Release::Retry(_) => "failure",
            Release::Outage(_) => "outage",
            Release::Drained => "drained",
        };
        self.metrics.released(reason);
        let ended = match why {
            Release::Drained => Ended::well("released"),
            Release::Retry(_) | Release::Outage(_) => Ended::by("released", reason),
        };
        let given_back = lifecycle::release(&self.pool, run.id, run.attempt, why, cut_off);
        self.report(store::within(given_back).await, ended)
    }

    /// Says how the last write of an attempt went, and what the attempt came to by it.
    fn report(&self, written: Result<(), WriteError>, ended: Ended) -> Ended {
        match written {
            Ok(()) => ended,
            Err(WriteError::Fenced) => {
                self.metrics.fenced();
                tracing::info!("another attempt owns the run; nothing was written");
                Ended::by("lost", "fenced")
            }
            // The job is no longer in flight here, so the next heartbeat gives it back.
            Err(WriteError::Store(error)) => {
                tracing::warn!(%error, "the run's end could not be written");
                Ended::by("lost", "not_committed")
            }
        }
    }

    /// One attempt. Errors of the store become a lost attempt.
    async fn attempt(
        &self,
        run: &Claimed,
        history: Option<History>,
        models: Chain<'_>,
        journal: &RunJournal<'_>,
        due: &OnceLock<Due>,
    ) -> Attempt {
        if run.cancel_requested {
            return Attempt::Cancelled;
        }
        if run.lost_attempts >= self.limits.max_attempts {
            let message = format!("The run was interrupted {} times.", run.lost_attempts);
            return failed("run_failed", &message);
        }
        let assignment = match self.look_back(run, history, models).await {
            Ok(assignment) => assignment,
            Err(error) => return of_store(&error),
        };
        faults::point("model.before");
        let metrics = &*self.metrics;
        let tools = MeasuredTools {
            tools: self.toolbox.for_attempt(run),
            metrics,
        };
        let attempt = metrics::Attempt::new(metrics, &self.pool, run);
        let model = Guarded {
            model: models.for_attempt(&attempt),
            guardrails: &self.guardrails,
        };
        let journal = MeasuredJournal { journal, metrics };
        // Boxed: it is large.
        let talk = Box::pin(agent::run(&assignment, &model, &tools, &journal));
        // Looked at while the model is asked already.
        let look = async {
            if let Some(found) = self.summaries.goes_on(run, &assignment.history) {
                let _ = due.set(found);
            }
        };
        let work = async { tokio::join!(talk, look).0 };
        match tokio::time::timeout(self.limits.run_timeout, work).await {
            Ok(Ok(Stop::Replied(reply))) => Attempt::Replied(reply),
            Ok(Ok(Stop::NeedsApproval(reply, questions))) => Attempt::Paused(reply, questions),
            Ok(Err(failure)) => of_failure(failure),
            Err(_) => failed("run_timeout", "The run took too long."),
        }
    }

    /// The model that answers a run: the one that its client has asked for, which is kept with its message and so the same for every attempt.
    /// Read only where a client has a choice.
    async fn models_of(&self, run: &Claimed) -> Result<Chain<'_>, StoreError> {
        if !self.models.are_many() {
            return Ok(self.models.wanted(None));
        }
        let mut db = store::begin_for(&self.pool, &run.user_id).await?;
        let wanted = messages::wanted_model(&mut db, &run.user_id, run.root_run_id).await;
        let wanted = db.done(wanted).await?;
        Ok(self.models.wanted(wanted.as_deref()))
    }

    /// The tools whose calls need approval: those that the operator has named, and what the user wants to be asked about.
    fn gated(&self, run: &Claimed) -> Vec<String> {
        let mut gated = self.limits.needs_approval.clone();
        if run.asks_before_deleting && !gated.iter().any(|tool| tool == "delete_task") {
            gated.push("delete_task".to_owned());
        }
        gated
    }

    /// What the agent works with, read in a bounded time.
    async fn look_back(
        &self,
        run: &Claimed,
        history: Option<History>,
        models: Chain<'_>,
    ) -> Result<Assignment, StoreError> {
        let begun = std::time::Instant::now();
        let mut span = Span::begin("history");
        let assignment = store::within(self.assignment(run, history, models)).await;
        self.metrics.stage("history", begun.elapsed());
        match &assignment {
            Ok(assignment) => {
                let turns = i64::try_from(assignment.history.turns.len()).unwrap_or(i64::MAX);
                span.set("errand.history.turns", turns);
            }
            Err(_) => span.fail("store"),
        }
        assignment
    }

    async fn assignment(
        &self,
        run: &Claimed,
        history: Option<History>,
        models: Chain<'_>,
    ) -> Result<Assignment, StoreError> {
        let goes_on = run.attempt > 1 || run.root_run_id != run.id;
        let (history, recorded) = match history {
            Some(history) if !goes_on => (history, Vec::new()),
            history => self.read(run, history).await?,
        };
        Ok(Assignment {
            run_id: run.id,
            instructions: Arc::clone(&self.instructions.text),
            temperature: self.instructions.temperature,
            user_id: run.user_id.clone(),
            message: run.message.clone(),
            said: Moment::new(run.said_at, run.said_in.as_deref()),
            retried: run
                .is_retry
                .then(|| Moment::new(run.created_at, run.time_zone.as_deref())),
            history,
            recorded,
            model: models.name().to_owned(),
            history_tokens: self.limits.history_tokens,
            max_steps: self.limits.max_steps,
            needs_approval: self.gated(run),
        })
    }

    /// What did not come along with the claim: the steps of the turn so far, and what was said before, if that failed.
    async fn read(
        &self,
        run: &Claimed,
        history: Option<History>,
    ) -> Result<(History, Vec<RecordedStep>), StoreError> {
        let mut db = store::begin_for(&self.pool, &run.user_id).await?;
        let history = match history {
            Some(history) => history,
            None => history::before(&mut db, run, READ_TURNS).await?,
        };
        let recorded = history::of_run(&mut db, run).await;
        Ok((history, db.done(recorded).await?))
    }
}
