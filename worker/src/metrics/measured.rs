//! The model and the tools of an attempt, with a watch beside them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use errand_core::{ids::CallKey, pending::Effect};
use errand_store::{
    Pool,
    lifecycle::{Claimed, RequestedCall},
    read::usage::Tokens,
};

use super::Metrics;
use crate::agent::{
    Answer, Interrupted, Model, ModelError, Progress, Refusal, Request, ToolDefinition,
    ToolOutcome, Toolbox,
};

/// A model that is measured, for one attempt at a run.
pub(crate) struct MeasuredModel<'a, M> {
    model: &'a M,
    metrics: &'a Metrics,
    pool: &'a Pool,
    run: &'a Claimed,
    has_spoken: AtomicBool,
}

impl<'a, M: Model> MeasuredModel<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        metrics: &'a Metrics,
        pool: &'a Pool,
        run: &'a Claimed,
    ) -> Self {
        Self {
            model,
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
        let is_silent = AtomicBool::new(true);
        let listen = |progress: Progress<'_>| {
            if matches!(progress, Progress::Text(_)) && is_silent.swap(false, Ordering::Relaxed) {
                self.first_word(asked);
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
        self.metrics
            .model_answered(self.name(), outcome, asked.elapsed(), tokens);
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

    async fn call(
        &self,
        key: CallKey,
        user_id: &str,
        call: &RequestedCall,
        refused: Option<Refusal>,
    ) -> Result<ToolOutcome, Interrupted> {
        let begun = Instant::now();
        let outcome = self.tools.call(key, user_id, call, refused).await;
        let is_error = match &outcome {
            Ok(outcome) => outcome.result["success"] != true,
            Err(_) => true,
        };
        self.metrics
            .tool_called(&call.name, begun.elapsed(), is_error);
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
