//! The conversation as the model is shown it: the prompt, as much history as fits, the message, the steps so far.

use errand_shared::store::history::PastTurn;
use serde_json::{Value, json};

use super::{Answer, Assignment, Message, ToolOutcome, model::MessageCall};

/// How the agent is to behave.
const PROMPT: &str = include_str!("prompt.md");

/// Characters of one tool result that the model is shown.
const MAX_RESULT_CHARS: usize = 32_000;

/// What stands for the result of a call that was never executed (its run failed before).
const NOT_EXECUTED: &str = "the call was not executed";
/// The same for a call that the user has not decided about, or whose run has not gone on since.
const UNDECIDED: &str = "not executed: the call waits for the user's approval";

/// Messages that grow with each step.
pub(super) struct Conversation<'a> {
    assignment: &'a Assignment,
    history_tokens: usize,
    steps: Vec<Message>,
    messages: Vec<Message>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(assignment: &'a Assignment) -> Self {
        let mut conversation = Self {
            assignment,
            history_tokens: assignment.history_tokens,
            steps: Vec::new(),
            messages: Vec::new(),
        };
        conversation.rebuild();
        conversation
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds an answer with calls, and what they returned.
    pub(super) fn push_step(&mut self, answer: &Answer, results: &[ToolOutcome]) {
        let calls = answer
            .calls
            .iter()
            .zip(results.iter().map(|outcome| &outcome.result));
        let messages = step(&answer.text, calls);
        self.messages.extend(messages.iter().cloned());
        self.steps.extend(messages);
    }

    /// Leaves out three quarters of the history. False if there is none left to leave out.
    pub(super) fn shorten(&mut self) -> bool {
        if self.history_tokens == 0 || self.assignment.history.is_empty() {
            return false;
        }
        self.history_tokens /= 4;
        self.rebuild();
        true
    }

    fn rebuild(&mut self) {
        let mut messages = vec![Message::System { content: prompt() }];
        messages.extend(history(&self.assignment.history, self.history_tokens));
        messages.push(Message::User {
            content: self.assignment.message.clone(),
        });
        messages.extend(self.steps.iter().cloned());
        self.messages = messages;
    }
}

/// The prompt with the date. The day is as fine as it gets, so that a provider's prompt cache stays warm.
fn prompt() -> String {
    let today = chrono::Utc::now().format("%A, %-d %B %Y");
    format!("{PROMPT}\nToday is {today} (UTC).\n")
}

/// The latest whole turns that fit into `budget` tokens, the oldest of them first.
///
/// A turn is shown with its tool calls: a model that only sees earlier claims of success learns to claim.
fn history(turns: &[PastTurn], budget: usize) -> Vec<Message> {
    let mut kept = Vec::new();
    let mut spent = 0;
    for past in turns {
        let messages = turn(past);
        spent += messages.iter().map(tokens).sum::<usize>();
        if spent > budget {
            break;
        }
        kept.push(messages);
    }
    kept.into_iter().rev().flatten().collect()
}

fn turn(past: &PastTurn) -> Vec<Message> {
    let mut messages = vec![Message::User {
        content: past.message.clone(),
    }];
    let missing = missing(if past.waits { UNDECIDED } else { NOT_EXECUTED });
    for recorded in past.steps.iter().filter(|step| !step.calls.is_empty()) {
        let calls = recorded
            .calls
            .iter()
            .map(|call| (&call.asked, call.result.as_ref().unwrap_or(&missing)));
        messages.extend(step(&recorded.content, calls));
    }
    if let Some(reply) = &past.reply {
        messages.push(Message::Assistant {
            content: Some(reply.clone()),
            tool_calls: Vec::new(),
        });
    }
    messages
}

/// An answer with calls, followed by a result for each: providers refuse a call without one.
fn step<'c>(
    text: &str,
    calls: impl Iterator<Item = (&'c errand_shared::store::steps::AskedCall, &'c Value)>,
) -> Vec<Message> {
    let mut tool_calls = Vec::new();
    let mut results = Vec::new();
    for (call, result) in calls {
        tool_calls.push(MessageCall::from(call));
        results.push(Message::Tool {
            tool_call_id: call.id.clone(),
            content: shown(result),
        });
    }
    let content = (!text.is_empty()).then(|| text.to_owned());
    let mut messages = vec![Message::Assistant {
        content,
        tool_calls,
    }];
    messages.append(&mut results);
    messages
}

fn missing(why: &str) -> Value {
    json!({"success": false, "error": {"type": "not_executed", "message": why, "details": {}}})
}

/// A result as the model reads it, cut if it is huge.
fn shown(result: &Value) -> String {
    let text = result.to_string();
    match text.char_indices().nth(MAX_RESULT_CHARS) {
        None => text,
        Some((end, _)) => format!("{}… (cut; ask for fewer)", &text[..end]),
    }
}

/// A rough count, good enough for a budget: 4 bytes a token, and a few for each message's frame.
fn tokens(message: &Message) -> usize {
    let bytes = match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => {
            content.len()
        }
        Message::Assistant {
            content,
            tool_calls,
        } => {
            content.as_ref().map_or(0, String::len)
                + tool_calls.iter().map(MessageCall::size).sum::<usize>()
        }
    };
    bytes / 4 + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(n: usize) -> PastTurn {
        PastTurn {
            message: format!("message {n}"),
            steps: Vec::new(),
            reply: Some("x".repeat(400)),
            waits: false,
        }
    }

    #[test]
    fn history_keeps_the_latest_whole_turns_in_order() {
        // Each turn is about 2 + 100 tokens and two frames of 4.
        let turns: Vec<_> = (0..10).rev().map(said).collect();
        let messages = history(&turns, 250);
        let users: Vec<_> = messages
            .iter()
            .filter_map(|message| match message {
                Message::User { content } => Some(content.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(users, ["message 8", "message 9"]);
        assert!(history(&turns, 0).is_empty());
    }

    #[test]
    fn a_huge_result_is_cut_at_a_character() {
        let result = Value::String("é".repeat(MAX_RESULT_CHARS * 2));
        assert!(shown(&result).chars().count() < MAX_RESULT_CHARS + 40);
    }
}
