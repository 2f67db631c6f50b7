//! What a run took, as AG-UI tells it: tokens by model.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Fields of the event that ends a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// One entry for each model; none if none was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    usage: Vec<TokenUsage>,
    /// `{"usageEstimated": true}` if some of the tokens are an estimate: the provider did not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

/// Tokens of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// The model, as the provider knows it, if that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens it read.
    pub input_tokens: i64,
    /// Tokens it wrote.
    pub output_tokens: i64,
    /// Both together.
    pub total_tokens: i64,
    /// Of those it read, what came from the provider's prompt cache; absent if the provider told of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<i64>,
    /// Of those it wrote, reasoning that nobody is shown; absent if the provider told of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<i64>,
}

impl Usage {
    /// What these models took.
    #[must_use]
    pub fn new(usage: Vec<TokenUsage>, is_estimate: bool) -> Self {
        Self {
            usage,
            metadata: is_estimate.then(|| json!({"usageEstimated": true})),
        }
    }
}
