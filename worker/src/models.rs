//! The models of this process: the one that is configured, those that a client may ask for in its place, and their fallbacks, each with a circuit of
//! its own.

use std::{iter, sync::Arc, time::Duration};

use errand_server::config::Invalid;

use crate::{
    agent::Model,
    circuit::{Circuit, FIRST_PAUSE, Position},
    config::{Config, Endpoint},
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

/// The models of a process.
pub(crate) struct Models {
    configured: OpenAi,
    /// Of the same provider.
    allowed: Vec<OpenAi>,
    /// Behind whichever of these is asked, in this order.
    fallbacks: Vec<OpenAi>,
    passed_over: Box<dyn Fn(&str) + Send + Sync>,
}

impl Models {
    /// # Errors
    /// The configuration is not valid, or an HTTP client cannot be built.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, ModelsError> {
        let mut endpoints = config.model.endpoints()?;
        let fallbacks = endpoints.split_off(1);
        let configured = endpoints.pop();
        let configured = configured.ok_or_else(|| Invalid::new("OPENAI_MODEL", "missing"))?;
        let patience = Patience {
            first_token: config.model.first_token_timeout(config.run_timeout),
            // A model that falls silent leaves time for another try.
            silence: config.run_timeout / 2,
            has_fallback: !fallbacks.is_empty(),
        };
        let build = |endpoint: &Endpoint| {
            let circuit = circuit(endpoint, patience.has_fallback, metrics);
            OpenAi::new(endpoint, patience, circuit)
        };
        let others = config.allowed_models();
        let others = others.filter(|model| *model != configured.model);
        let allowed = others.map(|model| {
            let mut endpoints = config.model.with_model(model).endpoints()?;
            Ok(build(&endpoints.swap_remove(0))?)
        });
        let allowed = allowed.collect::<Result<_, ModelsError>>()?;
        let passed_over = Arc::clone(metrics);
        Ok(Self {
            configured: build(&configured)?,
            allowed,
            fallbacks: fallbacks.iter().map(build).collect::<Result<_, _>>()?,
            passed_over: Box::new(move |model| passed_over.circuits.passed_over(model)),
        })
    }

    /// Whether a client has a choice.
    pub(crate) fn are_many(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// What is asked where nobody has a choice.
    pub(crate) fn configured(&self) -> Chain<'_> {
        Chain {
            first: &self.configured,
            models: self,
        }
    }

    /// What is asked for a client who has asked for this model; for the configured one if it has not, or if this process may not ask that one (any
    /// more).
    pub(crate) fn wanted(&self, name: Option<&str>) -> Chain<'_> {
        let Some(name) = name else {
            return self.configured();
        };
        let allowed = self.allowed.iter().find(|model| model.name() == name);
        if allowed.is_none() && name != self.configured.name() {
            tracing::warn!(
                "a model was asked for that is not in OPENAI_ALLOWED_MODELS of this worker; the configured one answers"
            );
        }
        Chain {
            first: allowed.unwrap_or(&self.configured),
            models: self,
        }
    }
}

/// A model and its fallbacks.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    first: &'a OpenAi,
    models: &'a Models,
}

impl<'a> Chain<'a> {
    /// The name of the one that is asked first.
    pub(crate) fn name(self) -> &'a str {
        self.first.name()
    }

    /// In the order in which they are asked.
    fn all(self) -> impl Iterator<Item = &'a OpenAi> {
        let first = self.first;
        let is_other = move |model: &&OpenAi| {
            model.name() != first.name() || model.provider() != first.provider()
        };
        iter::once(first).chain(self.models.fallbacks.iter().filter(is_other))
    }

    /// All of them as one, for this attempt.
    pub(crate) fn for_attempt(
        self,
        attempt: &'a Attempt<'a>,
    ) -> Fallback<'a, MeasuredModel<'a, OpenAi>> {
        let models = self.all();
        let models = models.map(|model| MeasuredModel::new(model, model.provider(), attempt));
        Fallback::new(models.collect(), &*self.models.passed_over)
    }

    /// The first that may be asked now, for what is tried once.
    pub(crate) fn at_hand(self) -> &'a OpenAi {
        let mut all = self.all();
        all.find(|model| model.is_at_hand()).unwrap_or(self.first)
    }
}

/// The circuit of a model, which tells the metrics and the log where it is.
fn circuit(endpoint: &Endpoint, has_fallback: bool, metrics: &Metrics) -> Circuit {
    let longest_pause = if has_fallback {
        LONGEST_PAUSE
    } else {
        FIRST_PAUSE
    };
    let circuits = metrics.circuits.of(&endpoint.model, &endpoint.preset.name);
    let model = endpoint.model.clone();
    Circuit::new(longest_pause, move |position| {
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
    })
}
