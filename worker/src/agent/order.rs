//! One order of fields for all that a model is shown again.
//!
//! The store keeps JSON as `jsonb`, which forgets how an object's fields were written. What is shown while it is new and what is read again
//! later has to be the same bytes, or a provider's prompt cache begins anew with it.

use serde_json::{Map, Value};

/// The value with all its objects in that order.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(fields(object)),
        Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        other => other,
    }
}

/// The fields in that order: `success` first, as everywhere, then the short names, as Postgres has them: ids and titles come early.
pub(super) fn fields(object: Map<String, Value>) -> Map<String, Value> {
    let mut fields: Vec<(String, Value)> = object.into_iter().collect();
    fields.sort_by(|(a, _), (b, _)| {
        let place = |name: &str| (name != "success", name.len());
        place(a).cmp(&place(b)).then_with(|| a.cmp(b))
    });
    let ordered = fields.into_iter().map(|(name, field)| (name, value(field)));
    ordered.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_is_the_same_however_it_was_written() {
        let written = json!({"title": 1, "tasks": [{"b": 1, "id": {"z": 1, "y": 2}}], "success": true, "id": 2});
        assert_eq!(
            value(written).to_string(),
            r#"{"success":true,"id":2,"tasks":[{"b":1,"id":{"y":2,"z":1}}],"title":1}"#
        );
    }
}
