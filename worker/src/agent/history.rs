//! An earlier turn as the model is shown it. Which ones are shown, and how much of each, is decided in `window`.
//!
//! A turn is shown with its tool calls: a model that only sees earlier claims of success learns to claim.

use errand_core::shorten::{self, Level};
use errand_store::{
    lifecycle::RequestedCall,
    read::history::{PastTurn, RecordedStep, TurnEnd},
};
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
const ASK_AGAIN: &str = "This result was shortened to save room. To see a task as it is now, call list_tasks with a search for its title.";
/// Tasks on a page by which a long list can be read on.
const PAGE: usize = 10;
/// Characters of the arguments of a call that are repeated in such a note.
const MAX_ARGUMENTS: usize = 300;

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

/// The last resort where a turn alone is over the budget: beginnings of what was said.
pub(super) fn cut_texts(turn: &PastTurn, budget: usize) -> Vec<Message> {
    let max = (budget * 2).max(SHORTEST_TEXT);
    let message = beginning(&turn.message, max);
    vec![
        said::message(&message, turn.said),
        Message::said(beginning(&reply(turn), max)),
    ]
}

/// An earlier turn as messages, results of tools shortened to this level.
pub(super) fn messages(past: &PastTurn, model: &str, level: Option<Level>) -> Vec<Message> {
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
            shown(result, level, || how_to_read_on(&call.asked)),
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
fn shown(result: &Value, level: Option<Level>, how: impl Fn() -> String) -> String {
    let shorter = level.map(|level| shorten::shorten(result, level, &how()));
    let result = shorter.as_deref().unwrap_or(result);
    let text = order::text(result);
    if text.len() <= MAX_RESULT {
        return text;
    }
    order::text(&shorten::to_fit(result, MAX_RESULT, &how()))
}

/// The call that gets what was left out of a result, in pages that are not shortened.
fn how_to_read_on(asked: &RequestedCall) -> String {
    let arguments = match asked.object() {
        Some(mut arguments) if asked.name == "list_tasks" => {
            arguments.insert("limit".to_owned(), json!(PAGE));
            order::text(&Value::Object(arguments))
        }
        _ => return ASK_AGAIN.to_owned(),
    };
    if arguments.len() > MAX_ARGUMENTS {
        return ASK_AGAIN.to_owned();
    }
    format!(
        "This result was shortened to save room. To read it whole, page by page, call list_tasks with {arguments}, then with its next_cursor \
         as cursor; for one task, with a search for its title."
    )
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
