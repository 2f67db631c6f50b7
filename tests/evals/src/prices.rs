//! What tokens cost.

use std::{fs, path::Path};

use anyhow::{Context, Result};
pub use errand_core::prices::Price;
use errand_core::prices::{Prices, parse};

use crate::said::TurnFigures;

/// Dollars that a turn has cost.
#[must_use]
pub fn of(price: Price, turn: &TurnFigures) -> f64 {
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    price.cost(
        tokens(turn.input_tokens),
        tokens(turn.cached_tokens),
        tokens(turn.output_tokens),
    )
}

/// A table of prices: a file with a section for each model.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> Result<Prices> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
}
