//! What an installation lets its users say and ask for: guardrails before a message is stored, and the models that may be named.

use errand_core::guardrails::Guardrails;
use serde_json::{Value, json};

use crate::{config::PolicyConfig, error::ApiError};

/// What is looked at before a message is accepted.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    models: Vec<String>,
    guardrails: Guardrails,
}

impl Policy {
    /// The check of the configuration has shown that it can be read.
    pub(crate) fn new(config: &PolicyConfig) -> Self {
        Self {
            models: config.models().map(str::to_owned).collect(),
            guardrails: config.guardrails().unwrap_or_default(),
        }
    }

    /// Whether a client may say which model is to answer. If not, what it says of one is its own business.
    pub(crate) fn has_models(&self) -> bool {
        !self.models.is_empty()
    }

    /// Whether this model may be asked for; `field` is where the client has named it. Null and absent mean the configured one.
    ///
    /// # Errors
    /// It is not on the list, or no name.
    pub(crate) fn check_model(&self, field: &str, model: Option<&Value>) -> Result<(), ApiError> {
        let Some(model) = model.filter(|model| self.has_models() && !model.is_null()) else {
            return Ok(());
        };
        let is_allowed = model
            .as_str()
            .is_some_and(|model| self.models.iter().any(|allowed| allowed == model));
        match is_allowed {
            true => Ok(()),
            false => Err(ApiError::invalid(format!(
                "{field} must be one of: {}.",
                self.models.join(", ")
            ))
            .with_details(json!({"field": field, "valid": self.models}))),
        }
    }

    /// Whether a guardrail lets this message through.
    ///
    /// # Errors
    /// What its author is told.
    pub(crate) fn check_message(&self, text: &str) -> Result<(), ApiError> {
        match self.guardrails.refuse(text) {
            None => Ok(()),
            Some(tripped) => {
                tracing::info!(guardrail = tripped.name, "a message was not accepted");
                Err(ApiError::invalid(tripped.message)
                    .with_details(json!({"field": "message", "guardrail": tripped.name})))
            }
        }
    }
}
