//! Events of the journal, each within [`MAX_EVENT_BYTES`]: texts are told in several, and what has to be whole is shortened.

use std::borrow::Cow;

use errand_core::{
    events::{Event, MAX_EVENT_BYTES, RunOutcome},
    ids::CallKey,
    shorten::{self, Level},
};
use errand_store::{lifecycle::RequestedCall, tasks::Task};
use serde_json::{Value, json};

use crate::agent::FollowUp;

/// Bytes of text in one event. JSON may write a byte as six.
const PIECE: usize = 32 * 1024;
/// Bytes of a result or of a list, before it is written as a text inside the event's JSON.
const MAX_SHOWN: usize = MAX_EVENT_BYTES / 3;

/// How the whole of a shortened result can be had.
const WHOLE: &str = "Too large to be shown here; GET …/runs/{id} has the whole result.";
/// The same for a call that waits for a decision.
const WHOLE_CALL: &str = "Too large to be shown here; GET …/runs/{id} has the whole call.";
/// The same for a task list.
const WHOLE_LIST: &str = "Too large to be shown here; GET …/tasks has the whole list.";

/// The text in pieces, of which each fits into an event.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(PIECE);
        let (piece, later) = rest.split_at(end);
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The events that tell of a call.
pub(super) fn call(key: CallKey, call: &RequestedCall) -> Vec<Event> {
    let tool_call_id = key.to_string();
    let arguments = match call.arguments.as_str() {
        "" => "{}",
        arguments => arguments,
    };
    let start = Event::ToolCallStart {
        tool_call_id: tool_call_id.clone(),
        tool_call_name: call.name.clone(),
    };
    let arguments = pieces(arguments).map(|delta| Event::ToolCallArgs {
        tool_call_id: tool_call_id.clone(),
        delta: delta.to_owned(),
    });
    let mut events: Vec<Event> = std::iter::once(start).chain(arguments).collect();
    events.push(Event::ToolCallEnd { tool_call_id });
    events
}

/// A result as clients are shown it.
pub(super) fn result(result: &Value) -> String {
    fitting(result, WHOLE).to_string()
}

/// The mildest form that fits into an event, also as a text in which each quotation mark is escaped.
fn fitting<'a>(value: &'a Value, how: &str) -> Cow<'a, Value> {
    let form = shorten::to_fit(value, MAX_SHOWN, how);
    let written = serde_json::to_string(&form.to_string()).map_or(usize::MAX, |text| text.len());
    match written + 1024 <= MAX_EVENT_BYTES {
        true => form,
        // Little but control characters.
        false => shorten::shorten(value, Level::Stub, how),
    }
}

/// The task list as clients are shown it.
pub(super) fn task_list(tasks: &[Task]) -> Value {
    fitting(&json!({"tasks": tasks}), WHOLE_LIST).into_owned()
}

/// Tells of the list: as what changed, or whole where that says less.
pub(super) fn tasks_event(before: Option<&Value>, now: Value) -> Event {
    let delta = before.and_then(|before| {
        let patch = json_patch::diff(before, &now);
        serde_json::to_value(patch).ok()
    });
    let fits = |delta: &Value| delta.to_string().len() + 1024 <= MAX_EVENT_BYTES;
    match delta.filter(fits) {
        Some(delta) => Event::StateDelta { delta },
        None => Event::StateSnapshot { snapshot: now },
    }
}

/// What the user may want to say next; none if nothing comes to mind.
pub(super) fn suggestions(follow_ups: &[FollowUp]) -> Option<Event> {
    (!follow_ups.is_empty()).then(|| Event::Custom {
        name: "errand.suggestions".to_owned(),
        value: json!({"suggestions": follow_ups}),
    })
}

/// The last event of a run. Where it asks for decisions, each call is shown as far as all of them fit.
pub(super) fn end(mut event: Event) -> Event {
    if let Event::RunFinished {
        outcome: RunOutcome::Interrupt { interrupts },
        ..
    } = &mut event
    {
        // Half for the parameters, and half for the changes; the rest of the event is for what cannot be cut.
        let share = MAX_SHOWN / 2 / interrupts.len().max(1);
        for interrupt in interrupts {
            if let Some(parameters) = interrupt.metadata.get_mut("parameters") {
                *parameters = shorten::to_fit(parameters, share, WHOLE_CALL).into_owned();
            }
            if let Some(changes) = interrupt.metadata.get_mut("changes") {
                cut_values(changes, share);
            }
        }
    }
    event
}

/// Cuts old and new values of changes until their JSON has at most `max` bytes.
fn cut_values(changes: &mut Value, max: usize) {
    for characters in [2_000, 500, 100, 20, 0] {
        if changes.to_string().len() <= max {
            return;
        }
        let all = changes.as_array_mut().into_iter().flatten();
        for (name, value) in all.filter_map(Value::as_object_mut).flatten() {
            if let (true, Value::String(text)) = (name != "field", &*value)
                && let Some((end, _)) = text.char_indices().nth(characters)
            {
                *value = json!(format!("{}…", &text[..end]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use errand_core::pending::{Effect, FieldChange, PendingCall, Subject};
    use errand_store::lifecycle::Outcome;

    use super::*;

    fn size(event: &Event) -> usize {
        serde_json::to_string(event).map_or(usize::MAX, |text| text.len())
    }

    #[test]
    fn no_event_is_too_large() {
        for letter in ["x", "\"", "\u{1}", "é", "😀"] {
            let tasks: Vec<Value> = (0..200)
                .map(|n| json!({"id": n, "description": letter.repeat(8_000)}))
                .collect();
            let content = result(&json!({"success": true, "tasks": tasks}));
            let event = Event::ToolCallResult {
                message_id: uuid::Uuid::nil(),
                tool_call_id: "k".to_owned(),
                content,
                role: "tool".to_owned(),
            };
            assert!(
                size(&event) <= MAX_EVENT_BYTES,
                "{letter:?}: {}",
                size(&event)
            );
            let text = letter.repeat(200_000);
            let deltas: Vec<&str> = pieces(&text).collect();
            assert_eq!(deltas.concat(), text);
            for delta in deltas {
                let event = Event::TextMessageContent {
                    message_id: uuid::Uuid::nil(),
                    delta: delta.to_owned(),
                };
                assert!(size(&event) <= MAX_EVENT_BYTES);
            }
        }
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn a_question_about_many_calls_is_not_too_large() {
        for (letter, count) in [("\u{1}", 32), ("\"", 32), ("😀", 32), ("é", 3), ("x", 1)] {
            let change = |field: &str, length| FieldChange {
                field: field.to_owned(),
                old: json!(letter.repeat(length)),
                new: json!(letter.repeat(length)),
            };
            let pending = |ordinal| PendingCall {
                key: CallKey {
                    run_id: uuid::Uuid::nil(),
                    step: 1,
                    ordinal,
                },
                tool_name: "update_task".to_owned(),
                parameters: json!({"description": letter.repeat(8_000)}),
                effect: Some(Effect {
                    task: Some(Subject {
                        id: uuid::Uuid::nil(),
                        title: letter.repeat(255),
                    }),
                    changes: vec![change("title", 255), change("description", 2_000)],
                }),
            };
            let outcome = Outcome::AwaitingApproval((0..count).map(pending).collect());
            let event = end(outcome.event(uuid::Uuid::nil(), uuid::Uuid::nil()));
            assert!(
                size(&event) <= MAX_EVENT_BYTES,
                "{letter:?}: {}",
                size(&event)
            );
            let event = serde_json::to_value(&event).expect("plain data");
            let metadata = &event["outcome"]["interrupts"][0]["metadata"];
            assert_eq!(metadata["task"]["title"], letter.repeat(255));
            assert_eq!(metadata["changes"][1]["field"], "description");
        }
    }
}
