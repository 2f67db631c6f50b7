//! The model, the tools and the journal of an attempt, with a watch beside them, and their spans.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use errand_core::{ids::CallKey, pending::Effect};
use errand_store::{
    Pool,
    lifecycle::{Claimed, RequestedCall},
    read::usage::Tokens,
};

use errand_server::trace::Span;

use super::Metrics;
use crate::{
    agent::{
        Answer, Interrupted, Invocation, Journal, Model, ModelError, Progress, Request,
        ToolDefinition, ToolOutcome, Toolbox,
    },
    openai::Provider,
    spans,
};

/// One attempt at a run, as its models are measured.
pub(crate) struct Attempt<'a> {
    metrics: &'a Metrics,
    pool: &'a Pool,
    run: &'a Claimed,
    has_spoken: AtomicBool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(metrics: &'a Metrics, pool: &'a Pool, run: &'a Claimed) -> Self {
        Self {
            metrics,
            pool,
            run,
            has_spoken: AtomicBool::new(false),
        }
    }

    /// The first word of an answer, and perhaps of the run.
    fn first_word(&self, asked: Instant) {
        self.metrics
            .model_first_token
            .observe(asked.elapsed().as_secs_f64());
        if !self.has_spoken.swap(true, Ordering::Relaxed) && self.run.attempt == 1 {
            self.metrics
                .first_token(self.pool.since(self.run.created_at));
        }
    }
}

/// A model that is measured.
pub(crate) struct MeasuredModel<'a, M> {
    model: &'a M,
    provider: &'a Provider,
    attempt: &'a Attempt<'a>,
}

impl<'a, M: Model> MeasuredModel<'a, M> {
    pub(crate) fn new(model: &'a M, provider: &'a Provider, attempt: &'a Attempt<'a>) -> Self {
        Self {
            model,
            provider,
            attempt,
        }
    }
}

impl<M: Model> Model for MeasuredModel<'_, M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        let asked = Instant::now();
        let mut span = spans::model(self.provider, self.name());
        let first_word = OnceLock::<Duration>::new();
        let restarts = AtomicI64::new(0);
        let listen = |progress: Progress<'_>| {
            match progress {
                Progress::Text(_) if first_word.set(asked.elapsed()).is_ok() => {
                    self.attempt.first_word(asked);
                }
                Progress::Restart => {
                    restarts.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
            tell(progress);
        };
        let answer = self.model.answer(request, &listen).await;
        let (outcome, tokens) = match &answer {
            Ok(answer) => ("answered", answer.tokens),
            Err(ModelError::Unavailable(_)) => ("unavailable", Tokens::default()),
            Err(ModelError::Refused(_)) => ("refused", Tokens::default()),
            Err(ModelError::ContextTooLong) => ("context_too_long", Tokens::default()),
        };
        self.attempt
            .metrics
            .model_answered(self.name(), outcome, asked.elapsed(), tokens);
        spans::answered(&mut span, answer.as_ref().map_err(|_| outcome));
        if let Some(after) = first_word.get() {
            span.set("gen_ai.response.time_to_first_chunk", after.as_secs_f64());
        }
        if let restarts @ 1.. = restarts.into_inner() {
            span.set("errand.model.restarts", restarts);
        }
        answer
    }
}

/// Tools that are measured.
pub(crate) struct MeasuredTools<'a, T> {
    pub(crate) tools: T,
    pub(crate) metrics: &'a Metrics,
}

impl<T: Toolbox> Toolbox for MeasuredTools<'_, T> {
    fn definitions(&self) -> &[ToolDefinition] {
        self.tools.definitions()
    }

    async fn call(&self, invocation: Invocation<'_>) -> Result<ToolOutcome, Interrupted> {
        let begun = Instant::now();
        let name = &invocation.call.name;
        let mut span = spans::tool(name);
        let outcome = self.tools.call(invocation).await;
        let is_error = match &outcome {
            Ok(outcome) => outcome.result["success"] != true,
            Err(_) => true,
        };
        self.metrics.tool_called(name, begun.elapsed(), is_error);
        match &outcome {
            Ok(_) if is_error => span.fail("tool_error"),
            Ok(_) => {}
            Err(Interrupted::Fenced) => span.fail("fenced"),
            Err(Interrupted::Unavailable(_)) => span.fail("unavailable"),
            Err(Interrupted::Outage(_)) => span.fail("outage"),
        }
        outcome
    }

    async fn previews(
        &self,
        user_id: &str,
        calls: &[&RequestedCall],
    ) -> Result<Vec<Option<Effect>>, Interrupted> {
        self.tools.previews(user_id, calls).await
    }
}

/// A journal that is measured.
pub(crate) struct MeasuredJournal<'a, J> {
    pub(crate) journal: &'a J,
    pub(crate) metrics: &'a Metrics,
}

impl<J: Journal> Journal for MeasuredJournal<'_, J> {
    fn tell(&self, told: Progress<'_>) {
        self.journal.tell(told);
    }

    async fn commit(&self, step: i32, answer: &Answer) -> Result<(), Interrupted> {
        let begun = Instant::now();
        let mut span = Span::begin("step");
        let committed = self.journal.commit(step, answer).await;
        self.metrics.stage("step", begun.elapsed());
        if committed.is_err() {
            span.fail("not_committed");
        }
        committed
    }

    async fn acted(&self, told: CallKey, call: &RequestedCall, outcome: &ToolOutcome) {
        self.journal.acted(told, call, outcome).await;
    }
}
