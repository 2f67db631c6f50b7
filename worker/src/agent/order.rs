//! One order of fields for all that a model is shown again.
//!
//! The store keeps JSON as `jsonb`, which forgets how an object's fields were written. What is shown while it is new and what is read again
//! later has to be the same bytes, or a provider's prompt cache begins anew with it.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

/// The value as JSON, with the fields of all its objects in that order.
pub(super) fn text(value: &Value) -> String {
    serde_json::to_string(&Ordered(value)).unwrap_or_default()
}

/// The fields in that order.
pub(super) fn fields(object: Map<String, Value>) -> Map<String, Value> {
    let mut fields: Vec<(String, Value)> = object.into_iter().collect();
    fields.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)));
    let ordered = fields.into_iter().map(|(name, field)| (name, value(field)));
    ordered.collect()
}

fn value(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(fields(object)),
        Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        other => other,
    }
}

/// `success` first, as everywhere, then the short names, as Postgres has them: ids and titles come early.
fn place(name: &str) -> (bool, usize, &str) {
    (name != "success", name.len(), name)
}

/// A value that is written in that order. Histories are full of results: nothing of one is copied.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let mut fields: Vec<(&String, &Value)> = object.iter().collect();
                fields.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)));
                let mut written = to.serialize_map(Some(fields.len()))?;
                for (name, field) in fields {
                    written.serialize_entry(name, &Ordered(field))?;
                }
                written.end()
            }
            Value::Array(items) => to.collect_seq(items.iter().map(Ordered)),
            other => other.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_is_the_same_however_it_was_written() {
        let written = json!({"title": 1, "tasks": [{"b": 1, "id": {"z": 1, "y": 2}}], "success": true, "id": 2});
        let ordered = r#"{"success":true,"id":2,"tasks":[{"b":1,"id":{"y":2,"z":1}}],"title":1}"#;
        assert_eq!(text(&written), ordered);
        assert_eq!(value(written).to_string(), ordered);
    }
}
