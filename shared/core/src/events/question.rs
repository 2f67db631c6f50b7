//! The question that a call puts to its user: in words, what it would do.

use serde_json::Value;

use crate::pending::{Effect, FieldChange};

/// Characters of a value; what is longer is whole in the call's parameters.
const MAX_VALUE: usize = 80;

/// What a call of this tool would do.
pub(crate) fn of(tool: &str, effect: Option<&Effect>) -> String {
    let Some(effect) = effect else {
        // Asked by an earlier version, which did not look.
        return format!("{tool} needs your approval.");
    };
    let task = effect.task.as_ref().map(|task| quoted(&task.title));
    let changes = &effect.changes;
    match (tool, task) {
        ("delete_task", Some(task)) => format!("Delete {task}?"),
        ("complete_task", Some(task)) => format!("Mark {task} as done?"),
        (_, Some(task)) if changes.is_empty() => format!("Change {task}?"),
        (_, Some(task)) => {
            let changes: Vec<String> = changes.iter().map(told).collect();
            format!("Change {task}: {}?", changes.join(", "))
        }
        ("add_task", None) => {
            let title = changes.iter().find(|change| change.field == "title");
            format!(
                "Add {}?",
                title.map_or(String::new(), |title| value(&title.new))
            )
        }
        ("list_tasks", None) => "Look at the list?".to_owned(),
        (tool, None) => format!("{tool} needs your approval."),
    }
}

fn told(change: &FieldChange) -> String {
    let new = match (change.field.as_str(), &change.new) {
        ("completed", Value::Bool(true)) => "done".to_owned(),
        ("completed", Value::Bool(false)) => "open".to_owned(),
        (_, new) => value(new),
    };
    format!("{} \u{2192} {new}", change.field)
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => match text.char_indices().nth(MAX_VALUE) {
            Some((end, _)) => quoted(&format!("{}\u{2026}", &text[..end])),
            None => quoted(text),
        },
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
