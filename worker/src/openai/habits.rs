//! What providers want or refuse in a request: what is known beforehand, and what is learned while asking.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::ReasoningEffort;

/// Models that take tools only with a certain effort, when nothing is configured.
///
/// - GPT-5.6 and later refuse function tools in Chat Completions unless `reasoning_effort` is `none`, also if it is absent
///   (OpenAI's error of 2026: "To use function tools, use /v1/responses or set reasoning_effort to 'none'").
const EFFORTS: [(&str, (u32, u32), ReasoningEffort); 1] = [("gpt-", (5, 6), ReasoningEffort::None)];

/// The effort that a model needs when it is given tools; none if that is not known.
fn needed_effort(model: &str) -> Option<ReasoningEffort> {
    // Gateways put the maker in front: `openai/gpt-6-luna`.
    let name = model
        .rsplit('/')
        .next()
        .unwrap_or(model)
        .to_ascii_lowercase();
    EFFORTS.iter().find_map(|(family, since, effort)| {
        let version = version(name.strip_prefix(family)?)?;
        (version >= *since).then_some(*effort)
    })
}

/// The version at the beginning of a text: `5.6-luna` is (5, 6), `6-luna` is (6, 0), `4o` is (4, 0).
fn version(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let (major, rest) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let minor = rest.strip_prefix('.').and_then(number).unwrap_or(0);
    Some((number(major)?, minor))
}

/// The habits of one provider and model. What is learned holds for this process.
#[derive(Debug)]
pub(super) struct Habits {
    configured: Option<ReasoningEffort>,
    needed: Option<ReasoningEffort>,
    refuses_stream_options: AtomicBool,
    /// What was known of the effort is not so.
    is_effort_reversed: AtomicBool,
}

impl Habits {
    pub(super) fn new(model: &str, configured: Option<ReasoningEffort>) -> Self {
        Self {
            configured,
            needed: needed_effort(model),
            refuses_stream_options: AtomicBool::new(false),
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

    /// Takes note of a parameter that the provider refused. True if another request will do without it.
    pub(super) fn learn(&self, refused: &str) -> bool {
        let learned = if refused.starts_with("stream_options") {
            &self.refuses_stream_options
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
    fn efforts_are_known_by_family_and_version() {
        let none = Some(ReasoningEffort::None);
        for model in [
            "gpt-5.6",
            "gpt-5.6-luna",
            "gpt-6-luna",
            "openai/gpt-6-sol",
            "GPT-10",
        ] {
            assert_eq!(needed_effort(model), none, "{model}");
        }
        for model in [
            "gpt-4.1-mini",
            "gpt-4o",
            "gpt-5",
            "gpt-5.4-mini",
            "gemini-3.5-flash-lite",
            "gpt-oss-120b",
            "",
        ] {
            assert_eq!(needed_effort(model), None, "{model}");
        }
    }

    #[test]
    fn what_is_refused_is_left_out_once() {
        let habits = Habits::new("gpt-6-luna", None);
        assert!(habits.takes_stream_options());
        assert!(habits.learn("stream_options.include_usage"));
        assert!(!habits.learn("stream_options"));
        assert!(!habits.takes_stream_options());
        assert!(habits.learn("reasoning_effort"));
        assert_eq!(habits.effort(), None);
        assert!(!habits.learn("messages"));
        let unknown = Habits::new("alias", None);
        assert!(unknown.learn("reasoning_effort"));
        assert_eq!(unknown.effort(), Some(ReasoningEffort::None));
        let configured = Habits::new("alias", Some(ReasoningEffort::High));
        assert!(!configured.learn("reasoning_effort"));
        assert_eq!(configured.effort(), Some(ReasoningEffort::High));
    }
}
