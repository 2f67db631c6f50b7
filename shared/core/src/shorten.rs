//! Results of tools, made shorter: for a model whose window is full, for clients whose frames have a bound, for records that are kept.
//!
//! A shortened result is valid JSON of the same shape, so that "the second one" still finds its task, and it says that it was
//! shortened and how the whole can be had.

use std::{borrow::Cow, io};

use serde_json::{Map, Value, json};

/// The field that says so.
const NOTE: &str = "shortened";
/// Fields of an object, and the depth, to which a result is followed.
const MAX_FIELDS: usize = 50;
const MAX_DEPTH: usize = 8;

/// How much is left of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Long texts are cut; lists keep all their items.
    Texts,
    /// Also, only the first items of lists are left.
    Items,
    /// Nothing but whether it worked.
    Stub,
}

impl Level {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Texts, Self::Items, Self::Stub];

    /// Characters of a text.
    fn text(self) -> usize {
        match self {
            Self::Texts => 120,
            Self::Items => 60,
            Self::Stub => 0,
        }
    }

    /// Items of a list.
    fn items(self) -> usize {
        match self {
            Self::Texts => usize::MAX,
            Self::Items => 20,
            Self::Stub => 0,
        }
    }
}

/// The result at this level, with `how` to get the whole. Unchanged if that would not make it shorter.
pub fn shorten<'a>(result: &'a Value, level: Level, how: &str) -> Cow<'a, Value> {
    let short = match level {
        Level::Stub => stub(result, how),
        _ => match cut(result, level, 0) {
            Value::Object(mut fields) => {
                fields.insert(NOTE.to_owned(), json!(how));
                Value::Object(fields)
            }
            other => json!({"result": other, NOTE: how}),
        },
    };
    if size(&short) < size(result) {
        Cow::Owned(short)
    } else {
        Cow::Borrowed(result)
    }
}

/// The mildest form of the result whose text is at most `max` bytes; the stub if none is.
pub fn to_fit<'a>(result: &'a Value, max: usize, how: &str) -> Cow<'a, Value> {
    if size(result) <= max {
        return Cow::Borrowed(result);
    }
    let mut forms = Level::ALL
        .into_iter()
        .map(|level| shorten(result, level, how));
    forms
        .find(|form| size(form) <= max)
        .unwrap_or_else(|| Cow::Owned(stub(result, how)))
}

/// Bytes of the value as JSON, which is not kept.
fn size(value: &Value) -> usize {
    let mut counted = Counted(0);
    // Neither a value nor a count can fail.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

/// Counts what is written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether it worked, and nothing else.
fn stub(result: &Value, how: &str) -> Value {
    let mut stub = Map::new();
    if let Some(success @ Value::Bool(_)) = result.get("success") {
        stub.insert("success".to_owned(), success.clone());
    }
    stub.insert(NOTE.to_owned(), json!(how));
    Value::Object(stub)
}

fn cut(value: &Value, level: Level, depth: usize) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(level.text()) {
            Some((end, _)) => json!(format!("{}…", &text[..end])),
            None => value.clone(),
        },
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => json!("…"),
        Value::Array(items) => {
            let kept = items.iter().take(level.items());
            kept.map(|item| cut(item, level, depth + 1)).collect()
        }
        Value::Object(fields) => {
            let kept = fields.iter().take(MAX_FIELDS);
            let kept = kept.map(|(name, value)| (name.clone(), cut(value, level, depth + 1)));
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tasks: usize, description: usize) -> Value {
        let task = |n: usize| json!({"id": format!("id-{n}"), "title": format!("task {n}"), "description": "é".repeat(description)});
        let tasks: Vec<Value> = (0..tasks).map(task).collect();
        json!({"success": true, "tasks": tasks, "count": tasks.len()})
    }

    #[test]
    fn the_shape_stays_and_the_note_says_so() {
        let long = list(50, 450);
        let short = shorten(&long, Level::Texts, "ask again");
        assert_eq!(short["tasks"][49]["id"], "id-49");
        assert_eq!(short["count"], 50);
        assert_eq!(short["shortened"], "ask again");
        assert_eq!(*shorten(&list(2, 3), Level::Texts, "ask again"), list(2, 3));
        let few = shorten(&long, Level::Items, "ask again");
        assert_eq!(few["tasks"].as_array().map(Vec::len), Some(20));
        let stub = shorten(&long, Level::Stub, "ask again");
        assert_eq!(*stub, json!({"success": true, "shortened": "ask again"}));
    }

    #[test]
    fn the_mildest_form_that_fits_is_taken() {
        let long = list(200, 8_000);
        for max in [100, 2_000, 10_000, 100_000, 10_000_000] {
            let form = to_fit(&long, max, "ask again");
            assert!(size(&form) <= max, "{max}");
            assert_eq!(form["success"], true);
        }
        assert_eq!(*to_fit(&long, 10_000_000, ""), long);
        assert!(
            to_fit(&json!("x".repeat(10_000)), 300, "why")
                .get("result")
                .is_some()
        );
    }
}
