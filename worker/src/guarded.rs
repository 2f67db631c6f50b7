//! A model whose words pass the guardrails before anybody reads them. What it says is held back until it is whole: a part of it cannot be
//! checked.

use errand_core::guardrails::Guardrails;

use crate::agent::{Answer, Model, ModelError, Progress, Request};

/// A model, and what is checked of its words.
pub(crate) struct Guarded<'a, M> {
    pub(crate) model: M,
    pub(crate) guardrails: &'a Guardrails,
}

impl<M: Model> Model for Guarded<'_, M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        if !self.guardrails.check_output() {
            return self.model.answer(request, tell).await;
        }
        let withhold = |progress: Progress<'_>| match progress {
            Progress::Text(_) => {}
            Progress::Tokens(_) | Progress::Restart => tell(progress),
        };
        let mut answer = self.model.answer(request, &withhold).await?;
        answer.text = self.guardrails.clean(answer.text);
        if !answer.text.is_empty() {
            tell(Progress::Text(&answer.text));
        }
        Ok(answer)
    }
}
