//! NUL, the one character that Postgres stores neither in a text nor in JSON.

use serde_json::Value;

/// The value with a replacement character for each NUL, in names of fields too.
pub fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.replace('\0', "\u{fffd}"), without_nul(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}
