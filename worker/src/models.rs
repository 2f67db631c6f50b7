//! The models of this process: the one that is configured, and its fallbacks, each with a circuit of its own.

use std::{sync::Arc, time::Duration};

use errand_server::config::Invalid;

use crate::{
    agent::Model,
    circuit::{Circuit, FIRST_PAUSE, Position},
    config::Config,
    fallback::Fallback,
    metrics::{Attempt, MeasuredModel, Metrics},
    openai::{OpenAi, Patience},
};

/// The longest that a circuit is open before the provider is tried again, where another model answers meanwhile. Where none does, it stays
/// at the first pause: nobody is to be turned away for long by a provider that is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Why there are no models.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The configuration is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// The models, in the order in which they are asked. There is at least one.
pub(crate) struct Models {
    first: OpenAi,
    fallbacks: Vec<OpenAi>,
    passed_over: Box<dyn Fn(&str) + Send + Sync>,
}

impl Models {
    /// # Errors
    /// The configuration is not valid, or an HTTP client cannot be built.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, ModelsError> {
        let endpoints = config.model.endpoints()?;
        let has_fallback = endpoints.len() > 1;
        let patience = Patience {
            first_token: config.model.first_token_timeout(config.run_timeout),
            // A model that falls silent leaves time for another try.
            silence: config.run_timeout / 2,
            has_fallback,
        };
        let longest_pause = if has_fallback {
            LONGEST_PAUSE
        } else {
            FIRST_PAUSE
        };
        let mut models = endpoints.iter().map(|endpoint| {
            let circuits = metrics.circuits.of(&endpoint.model, &endpoint.preset.name);
            let model = endpoint.model.clone();
            let circuit = Circuit::new(longest_pause, move |position| {
                circuits.is_at(position);
                match position {
                    Position::Closed => {
                        tracing::info!(model, "the model answers again; its circuit is closed")
                    }
                    Position::Open => tracing::warn!(
                        model,
                        "the model fails again and again; its circuit is open"
                    ),
                    Position::HalfOpen => {
                        tracing::info!(model, "one request tries whether the model is back")
                    }
                }
            });
            OpenAi::new(endpoint, patience, circuit)
        });
        let none = || Invalid::new("OPENAI_MODEL", "missing");
        let first = models.next().ok_or_else(none)??;
        let fallbacks = models.collect::<Result<_, _>>()?;
        let metrics = Arc::clone(metrics);
        Ok(Self {
            first,
            fallbacks,
            passed_over: Box::new(move |model| metrics.circuits.passed_over(model)),
        })
    }

    /// The name of the one that is asked first.
    pub(crate) fn name(&self) -> &str {
        self.first.name()
    }

    /// All of them as one, for this attempt.
    pub(crate) fn for_attempt<'a>(
        &'a self,
        attempt: &'a Attempt<'a>,
    ) -> Fallback<'a, MeasuredModel<'a, OpenAi>> {
        let all = std::iter::once(&self.first).chain(&self.fallbacks);
        let models = all.map(|model| MeasuredModel::new(model, model.provider(), attempt));
        Fallback::new(models.collect(), &*self.passed_over)
    }

    /// The first that may be asked now, for what is tried once.
    pub(crate) fn at_hand(&self) -> &OpenAi {
        let mut all = std::iter::once(&self.first).chain(&self.fallbacks);
        all.find(|model| model.is_at_hand()).unwrap_or(&self.first)
    }
}
