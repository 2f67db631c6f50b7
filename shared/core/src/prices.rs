//! What tokens cost: a table of prices by model, in TOML. Pure: whoever has a file reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what the model reads.
    pub input: f64,
    /// Of the input, what came from the provider's prompt cache; as the rest of it, if it is not said.
    pub cached: Option<f64>,
    /// Of what the model writes, its reasoning included.
    pub output: f64,
}

impl Price {
    /// Dollars for so many tokens; `cached` ones are part of `input`.
    #[must_use]
    pub fn cost(&self, input: i64, cached: i64, output: i64) -> f64 {
        let cached = cached.clamp(0, input.max(0));
        let fresh = input.saturating_sub(cached);
        (fresh as f64 * self.input
            + cached as f64 * self.cached.unwrap_or(self.input)
            + output as f64 * self.output)
            / 1e6
    }

    fn is_one(&self) -> bool {
        [Some(self.input), self.cached, Some(self.output)]
            .into_iter()
            .flatten()
            .all(|price| price.is_finite() && price >= 0.0)
    }
}

/// Prices by the name of the model, as `OPENAI_MODEL` has it.
pub type Prices = BTreeMap<String, Price>;

/// Reads a table: a section for each model.
///
/// # Errors
/// It is none; says where.
pub fn parse(text: &str) -> Result<Prices, String> {
    let prices: Prices = toml::from_str(text).map_err(|error| error.to_string())?;
    match prices.iter().find(|(_, price)| !price.is_one()) {
        None => Ok(prices),
        Some((model, _)) => Err(format!("a price of {model} is below 0, or no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_reckoned_with() {
        let prices = parse(
            "[small]\ninput = 1.0\ncached = 0.1\noutput = 4.0\n[\"a/b\"]\ninput = 2\noutput = 2",
        )
        .expect("a table");
        let cost = |model: &str, tokens: (i64, i64, i64)| {
            (prices[model].cost(tokens.0, tokens.1, tokens.2) * 1e6).round() as i64
        };
        assert_eq!(cost("small", (1_000, 0, 100)), 1_400);
        assert_eq!(cost("small", (1_000, 500, 100)), 950);
        assert_eq!(cost("small", (1_000, 5_000, 0)), 100);
        assert_eq!(cost("a/b", (1_000, 500, 100)), 2_200);
        for broken in [
            "[x]\ninput = 1",
            "[x]\ninput = -1\noutput = 1",
            "[x]\ninput = nan\noutput = 1",
            "x",
        ] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
