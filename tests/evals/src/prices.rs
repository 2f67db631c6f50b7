//! What tokens cost.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::said::TurnFigures;

/// Dollars for a million tokens.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    /// Of the input, what came from the provider's cache; as the rest of it, if it is not said.
    pub cached: Option<f64>,
    pub output: f64,
}

impl Price {
    /// Dollars that a turn has cost.
    #[must_use]
    pub fn of(&self, turn: &TurnFigures) -> f64 {
        let fresh = turn.input_tokens.saturating_sub(turn.cached_tokens) as f64;
        let cached = self.cached.unwrap_or(self.input);
        (fresh * self.input
            + turn.cached_tokens as f64 * cached
            + turn.output_tokens as f64 * self.output)
            / 1e6
    }
}

/// A table of prices: a file with a section for each model.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<BTreeMap<String, Price>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}
