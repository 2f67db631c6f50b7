//! Calls that fail again and again: the same tool with the same arguments. The second failure is answered with what would be valid; after
//! the third the model may only talk, because it will not get any further.

use std::collections::{HashMap, HashSet};

use errand_store::{lifecycle::RequestedCall, read::history::RecordedStep};
use serde_json::Value;

use super::order;

/// Steps in which the same call may fail.
const MAX_FAILURES: u32 = 3;

/// How often calls of this turn have failed.
#[derive(Debug, Default)]
pub(super) struct Failing {
    failures: HashMap<String, u32>,
    /// The error of a call that has failed too often.
    hopeless: Option<String>,
}

impl Failing {
    /// Counts what the calls of a step have come to. The same call twice in one step is one failure: the model has not heard of the first.
    pub(super) fn see(&mut self, step: &RecordedStep) {
        let mut seen = HashSet::new();
        for call in &step.calls {
            let Some(result) = &call.result else {
                continue;
            };
            let name = name(&call.asked);
            if result["success"] == true {
                self.failures.remove(&name);
            } else if seen.insert(name.clone()) {
                let failures = self.failures.entry(name).or_default();
                *failures += 1;
                if *failures >= MAX_FAILURES {
                    let message = result["error"]["message"].as_str();
                    self.hopeless = Some(message.unwrap_or_default().to_owned());
                }
            }
        }
    }

    /// Whether the same call has failed in an earlier step.
    pub(super) fn has_failed(&self, call: &RequestedCall) -> bool {
        !self.failures.is_empty() && self.failures.contains_key(&name(call))
    }

    /// Whether a call has failed so often that the model may make no more.
    pub(super) fn is_hopeless(&self) -> bool {
        self.hopeless.is_some()
    }

    /// What the user is told if the model has no words for it.
    pub(super) fn in_words(&self) -> Option<String> {
        let error = self.hopeless.as_deref()?.trim();
        let why = if error.is_empty() { "" } else { ": " };
        Some(format!(
            "I have tried the same thing {MAX_FAILURES} times, and it did not work{why}{error}"
        ))
    }
}

/// What makes two calls the same: tool and arguments, in whatever order these are written.
fn name(call: &RequestedCall) -> String {
    let arguments = match call.object() {
        Some(arguments) => order::text(&Value::Object(arguments)),
        None => call.arguments.clone(),
    };
    format!("{}\0{arguments}", call.name)
}

#[cfg(test)]
mod tests {
    use errand_store::read::history::RecordedCall;
    use serde_json::{Map, json};
    use uuid::Uuid;

    use super::*;

    fn asked(arguments: &str) -> RequestedCall {
        RequestedCall {
            id: String::new(),
            name: "update_task".to_owned(),
            arguments: arguments.to_owned(),
            extra: Map::new(),
            is_unclear: false,
        }
    }

    fn step(calls: &[(&str, bool)]) -> RecordedStep {
        let call = |(arguments, success): &(&str, bool)| RecordedCall {
            asked: asked(arguments),
            result: Some(json!({"success": success, "error": {"message": "No such task."}})),
            approved: None,
        };
        RecordedStep {
            run_id: Uuid::nil(),
            told_by: Uuid::nil(),
            step: 1,
            content: String::new(),
            calls: calls.iter().map(call).collect(),
            model: None,
            extra: Map::new(),
        }
    }

    #[test]
    fn a_call_is_counted_once_a_step_however_it_is_written() {
        let mut failing = Failing::default();
        failing.see(&step(&[
            (r#"{"a":1,"b":2}"#, false),
            (r#"{"b": 2, "a": 1}"#, false),
        ]));
        assert!(failing.has_failed(&asked(r#"{"b":2,"a":1}"#)));
        assert!(!failing.has_failed(&asked(r#"{"a":1}"#)));
        failing.see(&step(&[(r#"{"b":2,"a":1}"#, false)]));
        assert!(!failing.is_hopeless());
        assert_eq!(failing.in_words(), None);
        failing.see(&step(&[(r#"{"a":1,"b":2}"#, false)]));
        assert!(failing.is_hopeless());
        assert_eq!(
            failing.in_words().as_deref(),
            Some("I have tried the same thing 3 times, and it did not work: No such task.")
        );
    }

    #[test]
    fn what_worked_in_the_end_has_not_failed() {
        let mut failing = Failing::default();
        for success in [false, false, true, false, false] {
            failing.see(&step(&[("{}", success), ("[broken", success)]));
        }
        assert!(!failing.is_hopeless());
        assert!(failing.has_failed(&asked("[broken")));
    }
}
