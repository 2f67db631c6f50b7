//! Tokens, as steps and runs count them.

use std::ops::AddAssign;

/// What model calls took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens read.
    pub input: i64,
    /// Tokens written.
    pub output: i64,
    /// Some of it was not reported by the provider but estimated from what was sent and received.
    pub is_estimate: bool,
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.is_estimate |= other.is_estimate;
    }
}
