//! Tokens of an attempt that no step counts: of answers that were cut off, or asked for again.

use errand_store::read::usage::Tokens;

/// Counts what was streamed.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Of answers that came to nothing.
    lost: Tokens,
    /// Of the answer under way.
    current: Tokens,
}

impl Meter {
    /// What the answer under way has taken so far.
    pub(crate) fn see(&mut self, tokens: Tokens) {
        self.current = tokens;
    }

    /// The answer under way came to nothing.
    pub(crate) fn lose(&mut self) {
        self.lost = self.cut_off();
        self.current = Tokens::default();
    }

    /// A step counts the answer under way.
    pub(crate) fn keep(&mut self) {
        self.current = Tokens::default();
    }

    /// What no step counts.
    pub(crate) fn cut_off(&self) -> Tokens {
        self.lost.and(self.current)
    }
}
