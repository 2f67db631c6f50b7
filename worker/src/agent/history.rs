//! Earlier turns as the model is shown them, within a budget of tokens.
//!
//! A turn is shown with its tool calls: a model that only sees earlier claims of success learns to claim. Where the budget is
//! too small, old results of tools are shortened first, then whole turns are left out; the last turn stays in some form,
//! because what the user says next is about it.

use errand_core::shorten::{self, Level};
use errand_store::read::history::{PastTurn, RecordedStep, TurnEnd};
use serde_json::{Value, json};

use super::{
    message::{Message, MessageCall},
    order, said,
};

/// Characters of one tool result that the model is shown at most.
const MAX_RESULT: usize = 32_000;
/// Characters of a message that is left of the last turn when even that is too long.
const SHORTEST_TEXT: usize = 400;

/// How the whole of a shortened result can be had.
const ASK_AGAIN: &str = "This result was shortened to save room. To see more of it, ask again: call list_tasks, with a search \
or a smaller limit.";

/// What stands for the result of a call that was never executed.
const NOT_EXECUTED: &str = "the call was not executed";
/// The same for a call that the user has not decided about, or whose run has not gone on since.
const UNDECIDED: &str = "not executed: the call waits for the user's approval";

/// What stands for the reply of a turn that has none. Many templates want user and assistant to alternate, and refuse all that
/// follows two messages of the user in a row.
const FAILED: &str =
    "(This turn failed before it came to a reply. What the results above show as done is done.)";
const CANCELLED: &str = "(The user stopped this turn before it came to a reply. What the results above show as done is done.)";
const WAITING: &str = "(This turn is not finished: it waits.)";
/// Put behind a reply that was stopped in its middle.
const STOPPED: &str = "… (stopped by the user)";

/// The latest turns that fit into `budget` tokens, the oldest of them first. `turns` has the latest first. `model` is the one
/// that is asked. 0: none.
pub(super) fn history(turns: &[PastTurn], budget: usize, model: &str) -> Vec<Message> {
    if budget == 0 {
        return Vec::new();
    }
    let mut shown: Vec<Shown<'_>> = turns.iter().map(|turn| Shown::new(turn, model)).collect();
    fit(&mut shown, budget);
    shown
        .into_iter()
        .rev()
        .flat_map(|turn| turn.messages)
        .collect()
}

/// Shortens and leaves out until the budget holds.
fn fit(shown: &mut Vec<Shown<'_>>, budget: usize) {
    let mut spent: usize = shown.iter().map(|turn| turn.tokens).sum();
    let mut shorten = |turn: &mut Shown<'_>, level: Level| {
        if spent > budget {
            spent -= turn.tokens;
            turn.shorten(level);
            spent += turn.tokens;
        }
    };
    for level in [Level::Texts, Level::Stub] {
        shown
            .iter_mut()
            .skip(1)
            .rev()
            .for_each(|turn| shorten(turn, level));
    }
    if let Some(last) = shown.first_mut() {
        shorten(last, Level::Texts);
    }
    while spent > budget && shown.len() > 1 {
        spent -= shown.pop().map_or(0, |turn| turn.tokens);
    }
    let Some(last) = shown.first_mut().filter(|_| spent > budget) else {
        return;
    };
    for level in [Level::Items, Level::Stub] {
        if last.tokens > budget {
            last.shorten(level);
        }
    }
    if last.tokens > budget {
        last.cut_texts(budget);
    }
}

/// An earlier turn as messages.
struct Shown<'a> {
    turn: &'a PastTurn,
    model: &'a str,
    messages: Vec<Message>,
    tokens: usize,
}

impl<'a> Shown<'a> {
    fn new(turn: &'a PastTurn, model: &'a str) -> Self {
        let mut shown = Self {
            turn,
            model,
            messages: Vec::new(),
            tokens: 0,
        };
        shown.set(messages(turn, model, None));
        shown
    }

    fn shorten(&mut self, level: Level) {
        self.set(messages(self.turn, self.model, Some(level)));
    }

    /// The last resort: beginnings of what was said.
    fn cut_texts(&mut self, budget: usize) {
        let max = (budget * 2).max(SHORTEST_TEXT);
        let message = beginning(&self.turn.message, max);
        let mut messages = vec![said::message(&message, self.turn.said)];
        messages.push(Message::said(beginning(&reply(self.turn), max)));
        self.set(messages);
    }

    fn set(&mut self, messages: Vec<Message>) {
        self.tokens = messages.iter().map(Message::tokens).sum();
        self.messages = messages;
    }
}

fn messages(past: &PastTurn, model: &str, level: Option<Level>) -> Vec<Message> {
    let mut messages = vec![said::message(&past.message, past.said)];
    let why = match past.end {
        TurnEnd::Waits => UNDECIDED,
        _ => NOT_EXECUTED,
    };
    let missing = missing(why);
    for recorded in past.steps.iter().filter(|step| !step.calls.is_empty()) {
        messages.extend(step(recorded, model, level, &missing));
    }
    let own_fields = past.steps.last().filter(|step| {
        step.calls.is_empty() && is_by(step, model) && past.reply.as_ref() == Some(&step.content)
    });
    messages.push(Message::Assistant {
        content: Some(reply(past)),
        tool_calls: Vec::new(),
        by: own_fields.map(|_| model.to_owned()),
        extra: own_fields
            .map(|step| order::fields(step.extra.clone()))
            .unwrap_or_default(),
    });
    messages
}

/// What the turn came to, in words. Each turn ends with a message of the assistant.
fn reply(past: &PastTurn) -> String {
    match (&past.reply, past.end) {
        (Some(reply), TurnEnd::Cancelled) => format!("{reply}{STOPPED}"),
        (Some(reply), _) => reply.clone(),
        (None, TurnEnd::Cancelled) => CANCELLED.to_owned(),
        (None, TurnEnd::Waits) => WAITING.to_owned(),
        (None, TurnEnd::Failed | TurnEnd::Completed) => FAILED.to_owned(),
    }
}

fn is_by(step: &RecordedStep, model: &str) -> bool {
    step.model.as_deref() == Some(model)
}

/// A recorded answer with calls, as the messages that show it.
pub(super) fn step(
    recorded: &RecordedStep,
    model: &str,
    level: Option<Level>,
    missing: &Value,
) -> Vec<Message> {
    let is_own = is_by(recorded, model);
    let key = |ordinal| (recorded.run_id, recorded.step, ordinal);
    let calls = recorded.calls.iter().enumerate();
    let calls = calls.map(|(ordinal, call)| {
        let result = call.result.as_ref().unwrap_or(missing);
        (
            MessageCall::new(&call.asked, key(ordinal), is_own),
            shown(result, level),
        )
    });
    let (tool_calls, results): (Vec<_>, Vec<_>) = calls.unzip();
    let results: Vec<Message> = tool_calls
        .iter()
        .zip(results)
        .map(|(call, content)| Message::Tool {
            tool_call_id: call.id().to_owned(),
            content,
        })
        .collect();
    let mut messages = vec![Message::Assistant {
        content: (!recorded.content.is_empty()).then(|| recorded.content.clone()),
        tool_calls,
        by: is_own.then(|| model.to_owned()),
        extra: if is_own {
            order::fields(recorded.extra.clone())
        } else {
            Default::default()
        },
    }];
    messages.extend(results);
    messages
}

/// A result as the model reads it.
fn shown(result: &Value, level: Option<Level>) -> String {
    let result = order::value(match level {
        Some(level) => shorten::shorten(result, level, ASK_AGAIN),
        None => result.clone(),
    });
    let text = result.to_string();
    if text.len() <= MAX_RESULT {
        return text;
    }
    order::value(shorten::to_fit(&result, MAX_RESULT, ASK_AGAIN)).to_string()
}

/// The result of a call that was not made.
pub(super) fn missing(why: &str) -> Value {
    json!({"success": false, "error": {"type": "not_executed", "message": why, "details": {}}})
}

/// The result of a call of an earlier run of the turn that was not made.
pub(super) fn not_executed() -> Value {
    missing(NOT_EXECUTED)
}

fn beginning(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… (shortened)", &text[..end]),
    }
}
