//! What a provider refuses in a request: what is known beforehand, and what is learned while asking.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    config::Endpoint,
    presets::{self, ReasoningEffort},
};

/// The habits of one provider and model. What is learned holds for this process.
#[derive(Debug)]
pub(super) struct Habits {
    configured: Option<ReasoningEffort>,
    needed: Option<ReasoningEffort>,
    refuses_stream_options: AtomicBool,
    refuses_temperature: AtomicBool,
    /// What was known of the effort is not so.
    is_effort_reversed: AtomicBool,
}

impl Habits {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self::of(
            &endpoint.model,
            endpoint.effort,
            endpoint.preset.stream_options,
        )
    }

    fn of(model: &str, configured: Option<ReasoningEffort>, takes_stream_options: bool) -> Self {
        Self {
            configured,
            needed: presets::needed_effort(model),
            refuses_stream_options: AtomicBool::new(!takes_stream_options),
            refuses_temperature: AtomicBool::new(false),
            is_effort_reversed: AtomicBool::new(false),
        }
    }

    /// `reasoning_effort` of a request; none: it is left out.
    pub(super) fn effort(&self) -> Option<ReasoningEffort> {
        let needed = match self.is_effort_reversed.load(Ordering::Relaxed) {
            false => self.needed,
            true => self.needed.xor(Some(ReasoningEffort::None)),
        };
        self.configured.or(needed)
    }

    /// Whether the provider takes `stream_options`.
    pub(super) fn takes_stream_options(&self) -> bool {
        !self.refuses_stream_options.load(Ordering::Relaxed)
    }

    /// Whether the model takes a `temperature`: those that reason have their own.
    pub(super) fn takes_temperature(&self) -> bool {
        !self.refuses_temperature.load(Ordering::Relaxed)
    }

    /// Takes note of a parameter that the provider refused. True if another request will do without it.
    pub(super) fn learn(&self, refused: &str) -> bool {
        let learned = if refused.starts_with("stream_options") {
            &self.refuses_stream_options
        } else if refused == "temperature" {
            &self.refuses_temperature
        } else if refused == "reasoning_effort" && self.configured.is_none() {
            &self.is_effort_reversed
        } else {
            return false;
        };
        !learned.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_left_out_once() {
        let habits = Habits::of("gpt-6-luna", None, true);
        assert!(habits.takes_stream_options());
        assert!(habits.learn("stream_options.include_usage"));
        assert!(!habits.learn("stream_options"));
        assert!(!habits.takes_stream_options());
        assert!(habits.takes_temperature() && habits.learn("temperature"));
        assert!(!habits.takes_temperature() && !habits.learn("temperature"));
        assert!(habits.learn("reasoning_effort"));
        assert_eq!(habits.effort(), None);
        assert!(!habits.learn("messages"));
        let unknown = Habits::of("alias", None, true);
        assert!(unknown.learn("reasoning_effort"));
        assert_eq!(unknown.effort(), Some(ReasoningEffort::None));
        let configured = Habits::of("alias", Some(ReasoningEffort::High), true);
        assert!(!configured.learn("reasoning_effort"));
        assert_eq!(configured.effort(), Some(ReasoningEffort::High));
    }
}
