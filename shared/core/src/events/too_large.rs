//! Events that are too large to show: what an earlier version has stored without a bound, shown shortened.

use serde_json::{Value, json};

/// What stands for a text.
const TEXT: &str = "… (too long to show here)";
/// What stands for what is JSON as text: still JSON, with a way to the whole.
const JSON: &str = r#"{"shortened":true,"message":"This is too large to show here; it is whole in GET /api/{user_id}/runs/{run_id}."}"#;
/// The event, as AG-UI knows events of one's own, in place of one that would be wrong without what it lacks.
const LEFT_OUT: &str = "errand.too_large";

/// Makes an event whole again whose large fields were left out: of the same type and with the same ids, if its type can be
/// shown without them.
#[must_use]
pub fn mend(mut event: Value) -> Value {
    let kind = event["type"].as_str().unwrap_or_default();
    let (field, instead) = match kind {
        "TOOL_CALL_RESULT" => ("content", JSON),
        "TOOL_CALL_ARGS" => ("delta", JSON),
        "TEXT_MESSAGE_CONTENT" => ("delta", TEXT),
        "RUN_ERROR" => ("message", TEXT),
        // Its outcome may be left out.
        "RUN_FINISHED" => return event,
        kind => return json!({"type": "CUSTOM", "name": LEFT_OUT, "value": {"type": kind}}),
    };
    if event.get(field).is_none() {
        event[field] = json!(instead);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_json_is_json() {
        let event = mend(json!({"type": "TOOL_CALL_RESULT", "toolCallId": "k"}));
        assert_eq!(event["toolCallId"], "k");
        let content = event["content"].as_str().expect("a text");
        let content: Value = serde_json::from_str(content).expect("JSON");
        assert_eq!(content["shortened"], true);
    }

    #[test]
    fn a_list_that_is_not_there_is_no_list() {
        let event = mend(json!({"type": "STATE_SNAPSHOT"}));
        assert_eq!(
            (&event["type"], &event["value"]["type"]),
            (&json!("CUSTOM"), &json!("STATE_SNAPSHOT"))
        );
    }
}
