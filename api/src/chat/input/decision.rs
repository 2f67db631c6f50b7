//! Decisions as clients send them.

use std::collections::HashMap;

use errand_store::lifecycle::Decision;
use serde::Deserialize;
use uuid::Uuid;

use crate::{body, error::ApiError};

/// Calls of one run that can be decided about.
const MAX_DECISIONS: usize = 512;

/// What the user decides: `approve` for all calls alike, or `decisions` for each.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"approve": true}))]
pub(crate) struct DecisionRequest {
    /// All calls are approved, or all rejected.
    #[serde(default)]
    approve: Option<bool>,
    /// By the id of each interrupt.
    #[serde(default)]
    #[schema(value_type = Option<HashMap<String, bool>>)]
    decisions: Option<HashMap<String, bool>>,
    /// The run that is to go on; made by the client, it is also the idempotency key.
    #[serde(default, deserialize_with = "body::uuid_or_null")]
    pub(crate) run_id: Option<Uuid>,
}

impl DecisionRequest {
    pub(crate) fn decision(self) -> Result<Decision, ApiError> {
        decision(self.approve, self.decisions)
    }
}

/// What is decided.
///
/// # Errors
/// Neither, both, or too many.
pub(crate) fn decision(
    approve: Option<bool>,
    decisions: Option<HashMap<String, bool>>,
) -> Result<Decision, ApiError> {
    match (approve, decisions) {
        (Some(approve), None) => Ok(Decision::All(approve)),
        (None, Some(each)) if (1..=MAX_DECISIONS).contains(&each.len()) => Ok(Decision::Each(each)),
        _ => Err(ApiError::invalid(
            "Send either approve, or decisions with one entry for each interrupt.",
        )),
    }
}
