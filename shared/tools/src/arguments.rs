//! Arguments of a call that are no JSON object, as clients of MCP must send them, but may be meant as one.

use errand_core::json;
use rmcp::{ErrorData, model::JsonObject};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Unread {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// The tool's name and the arguments of a `tools/call` that does not have the right form.
///
/// # Errors
/// There is no name, or the arguments are neither an object nor the text of one.
pub(super) fn of_unread_call(params: Option<Value>) -> Result<(String, JsonObject), ErrorData> {
    let params = params.unwrap_or_default();
    let Unread { name, arguments } = Unread::deserialize(params)
        .map_err(|error| ErrorData::invalid_params(format!("params: {error}"), None))?;
    Ok((name, object(arguments)?))
}

fn object(arguments: Value) -> Result<JsonObject, ErrorData> {
    let refuse = || {
        let message = "arguments must be a JSON object, or a text that is one";
        ErrorData::invalid_params(message, None)
    };
    match arguments {
        Value::Object(fields) => Ok(fields),
        Value::Null => Ok(JsonObject::new()),
        // What a model writes that has nothing to say.
        Value::String(text) if text.trim().is_empty() => Ok(JsonObject::new()),
        Value::String(text) => {
            json::check_keys(&text)
                .map_err(|error| ErrorData::invalid_params(format!("arguments: {error}"), None))?;
            serde_json::from_str(&text).map_err(|_| refuse())
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(refuse()),
    }
}
