//! The journal of one attempt: what the agent does, kept in the store and told to whoever streams the run.
//!
//! Text is streamed as it comes. The calls of an answer are told of in the transaction that commits the step, and the end in
//! the one that ends the run: a client never sees a step that could be lost. A step with one call is committed with that call.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use errand_core::{
    events::{Event, Open},
    faults,
    ids::{self, CallKey},
};
use errand_store::{
    self as store, Pool, StoreError, UserPool, WriteError, events,
    lifecycle::{self, Claimed, Ending, HeldStep, NewStep, Outcome, RequestedCall},
    read::usage::Tokens,
};
use uuid::Uuid;

use crate::{
    agent::{Answer, Interrupted, Journal, Progress, Reply, ToolOutcome},
    meter::Meter,
    publisher::{Publisher, RunStream},
};

mod listing;
mod telling;

use listing::TaskListing;

/// Pause before a write is tried again.
const SECOND_TRY: Duration = Duration::from_secs(1);

/// Keeps and tells.
pub(crate) struct RunJournal<'a> {
    pool: &'a Pool,
    run: &'a Claimed,
    /// The model that answers, where an answer does not name another.
    model: &'a str,
    stream: Arc<RunStream>,
    tasks: TaskListing,
    state: Mutex<StreamState>,
}

/// What clients have been told.
#[derive(Default)]
struct StreamState {
    open: Open,
    /// The text of the open message.
    text: String,
    /// The last message that was opened.
    last_message: Option<Uuid>,
    meter: Meter,
    /// The step whose call is being made, if it is written with that.
    held: Option<HeldStep>,
}

impl<'a> RunJournal<'a> {
    /// Begins to tell of an attempt: closes what an earlier one left open, and announces the run if none has. The claim has announced the first.
    pub(crate) async fn begin(
        pool: &'a Pool,
        run: &'a Claimed,
        publisher: &Publisher,
        model: &'a str,
    ) -> Result<Self, StoreError> {
        let (last, mut open) = if run.attempt > 1 {
            let mut db = store::begin_for(pool, &run.user_id).await?;
            let state = events::state(&mut db, run.id).await;
            db.done(state).await?
        } else {
            let started = Open {
                started: true,
                ..Open::default()
            };
            (1, started)
        };
        let stream = Arc::new(publisher.open(run.id, run.attempt, last + 1));
        for event in open.close() {
            stream.push(event);
        }
        if !open.started {
            let started = Event::run_started(run.conversation_id, run.id, run.parent_run_id);
            stream.push(started);
        }
        let state = Mutex::new(StreamState {
            open,
            ..StreamState::default()
        });
        Ok(Self {
            pool,
            run,
            model,
            tasks: TaskListing::new(pool.clone(), run.user_id.clone(), Arc::clone(&stream)),
            stream,
            state,
        })
    }

    /// The reply so far, for one that is cut short.
    pub(crate) fn partial(&self) -> String {
        self.state().text.clone()
    }

    /// Tokens of this attempt that no step counts.
    pub(crate) fn cut_off(&self) -> Tokens {
        self.state().meter.cut_off()
    }

    /// Waits until it turns out that nothing more can be written.
    pub(crate) async fn ended(&self) -> Interrupted {
        self.stream.ended().await
    }

    /// Ends the run with everything that is still to be told.
    ///
    /// # Errors
    /// As [`lifecycle::finish`]; also if events before the end cannot be written.
    pub(crate) async fn finish(
        &self,
        users: &UserPool,
        outcome: &Outcome,
        reply: Option<&Reply>,
        max_ready: i64,
    ) -> Result<(), WriteError> {
        faults::point("finish.before");
        self.tasks.told().await;
        let (mut closing, message_id, cut_off) = {
            let mut state = self.state();
            if reply.is_some() {
                state.meter.keep();
            }
            (
                state.open.close(),
                state.last_message,
                state.meter.cut_off(),
            )
        };
        if let (Outcome::AwaitingApproval(_), Some(reply)) = (outcome, reply) {
            closing.extend(self.tell_calls(reply.step, &reply.answer));
        }
        if let (Outcome::Completed { .. }, Some(reply)) = (outcome, reply) {
            closing.extend(telling::suggestions(&reply.follow_ups));
        }
        let end = outcome.event(self.run.conversation_id, self.run.id);
        closing.push(telling::end(end));
        let (first_seq, events) = self.stream.take(closing).await?;
        let model = reply.and_then(|reply| reply.answer.model.as_deref());
        let ending = Ending {
            outcome,
            step: reply.map(|reply| self.step(reply.step, &reply.answer)),
            steps: reply.map_or(&[], |reply| &reply.steps),
            message_id: message_id.unwrap_or_else(ids::new_id),
            first_seq,
            events: &events,
            cut_off,
            // What was cut off is counted with it, whoever had begun it.
            model: model.unwrap_or(self.model),
        };
        let turn = users.enter(&self.run.user_id).await;
        let turn = turn.map_err(StoreError::from)?;
        // If a commit took effect whose answer was lost, the second try finds the run over.
        twice(|| store::within(lifecycle::finish(&turn, self.run, &ending, max_ready))).await
    }

    fn step<'s>(&'s self, number: i32, answer: &'s Answer) -> NewStep<'s> {
        NewStep {
            step: number,
            content: &answer.text,
            calls: &answer.calls,
            finish_reason: answer.finish_reason.as_deref(),
            input_tokens: answer.tokens.input,
            cached_input_tokens: answer.tokens.cached,
            output_tokens: answer.tokens.output,
            reasoning_tokens: answer.tokens.reasoning,
            usage_estimated: answer.tokens.is_estimate,
            model: answer.model.as_deref().unwrap_or(self.model),
            extra: &answer.extra,
        }
    }

    /// The events that tell of an answer's calls.
    fn tell_calls(&self, step: i32, answer: &Answer) -> Vec<Event> {
        let key = |ordinal| CallKey {
            run_id: self.run.id,
            step,
            ordinal,
        };
        let calls = answer.calls.iter().zip(0..);
        calls
            .flat_map(|(call, ordinal)| telling::call(key(ordinal), call))
            .collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for RunJournal<'_> {
    fn tell(&self, told: Progress<'_>) {
        let mut state = self.state();
        match told {
            Progress::Text(delta) => {
                faults::point("model.delta");
                let message_id = match state.open.message {
                    Some(message_id) => message_id,
                    None => {
                        let message_id = ids::new_id();
                        state.open.message = Some(message_id);
                        state.last_message = Some(message_id);
                        self.tasks.push_behind(Event::TextMessageStart {
                            message_id,
                            role: "assistant".to_owned(),
                        });
                        message_id
                    }
                };
                state.text.push_str(delta);
                for delta in telling::pieces(delta) {
                    self.tasks.push_behind(Event::TextMessageContent {
                        message_id,
                        delta: delta.to_owned(),
                    });
                }
            }
            Progress::Tokens(tokens) => state.meter.see(tokens),
            Progress::Restart => {
                state.meter.lose();
                state.text.clear();
                if let Some(message_id) = state.open.message.take() {
                    self.tasks.push_behind(Event::TextMessageEnd { message_id });
                }
            }
        }
    }

    async fn commit(&self, number: i32, answer: &Answer) -> Result<(), Interrupted> {
        self.tasks.told().await;
        let mut events = {
            let mut state = self.state();
            state.text.clear();
            state.open.close()
        };
        events.extend(self.tell_calls(number, answer));
        let step = self.step(number, answer);
        let (first_seq, events) = self.stream.take(events).await?;
        if let [_] = answer.calls[..] {
            let held = lifecycle::hold_step(self.pool, self.run, &step, first_seq, &events);
            self.state().held = Some(held.map_err(|error| Interrupted::from(&error))?);
            return Ok(());
        }
        let commit =
            || lifecycle::commit_step(self.pool, self.run, step.clone(), first_seq, &events);
        twice(|| store::within(commit())).await?;
        self.state().meter.keep();
        faults::point("step.committed");
        Ok(())
    }

    async fn acted(&self, told: CallKey, call: &RequestedCall, outcome: &ToolOutcome) {
        let tool_call_id = told.to_string();
        let step = {
            let mut state = self.state();
            let step = state.held.take();
            // The step was written with it.
            if step.is_some() {
                state.meter.keep();
            }
            // An earlier attempt may have told of it already.
            if state.open.answered.contains(&tool_call_id) {
                return;
            }
            step
        };
        self.stream.push(Event::ToolCallResult {
            message_id: ids::new_id(),
            tool_call_id,
            content: telling::result(&outcome.result),
            role: "tool".to_owned(),
        });
        if errand_tools::changes_tasks(&call.name) && outcome.result["success"] == true {
            match step.as_ref().and_then(HeldStep::list) {
                Some(list) => self.tasks.is(list),
                None => self.tasks.changed(),
            }
        }
    }
}

/// Writes, and once more if the database failed on the way: then nobody knows whether the first try took effect. Keys and the
/// fence make the second one wait for it and tell.
async fn twice<F>(write: impl Fn() -> F) -> Result<(), WriteError>
where
    F: Future<Output = Result<(), WriteError>>,
{
    match write().await {
        Err(WriteError::Store(error)) if error.is_outage() => {
            tracing::warn!(%error, "cannot write; trying once more");
            tokio::time::sleep(SECOND_TRY).await;
            write().await
        }
        result => result,
    }
}
