//! Reading a Chat Completions request: what a model, or a script that plays one, can know.
//! Must not check the request; `wire/check.rs` does.

use serde_json::Value;

/// A tool call made since the last user message, with its result once there is one.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    /// The arguments, or `null` when they are not JSON.
    pub arguments: Value,
    /// The result, as JSON when it is JSON and as a string otherwise.
    pub result: Option<Value>,
}

impl Step {
    /// Whether the tool answered `"success": true`.
    pub fn succeeded(&self) -> bool {
        *self.answer("success") == true
    }

    /// A field of the result; `null` if there is none.
    pub fn answer(&self, field: &str) -> &Value {
        self.result.as_ref().map_or(&Value::Null, |r| &r[field])
    }
}

/// The messages of a request; empty when there are none.
pub fn messages(request: &Value) -> &[Value] {
    request["messages"].as_array().map_or(&[], Vec::as_slice)
}

/// The text of a message, whether its content is a string or a list of parts; of a user's message without the note that says when it was
/// sent.
pub fn content(message: &Value) -> String {
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|p| p["text"].as_str()).collect(),
        _ => String::new(),
    };
    match split_note(&text) {
        Some((said, _)) if message["role"] == "user" => said.to_owned(),
        _ => text,
    }
}

/// When the newest message was sent, as the product notes it: `Thursday, 2026-11-26 18:03, America/Los_Angeles`.
pub fn sent(request: &Value) -> Option<String> {
    let message = messages(request).iter().rfind(|m| m["role"] == "user")?;
    let (_, note) = split_note(message["content"].as_str()?)?;
    Some(note.to_owned())
}

/// A message of the user, and the note of when it was sent, which is its last paragraph.
fn split_note(text: &str) -> Option<(&str, &str)> {
    let (said, note) = text.rsplit_once("\n\n[Sent: ")?;
    Some((said, note.strip_suffix(']')?))
}

/// The newest user message; empty when there is none.
pub fn last_user(request: &Value) -> String {
    messages(request)
        .iter()
        .rfind(|m| m["role"] == "user")
        .map(content)
        .unwrap_or_default()
}

/// What the user's message of a turn asks for: without a last paragraph in brackets, in which a product tells the model of the
/// circumstances.
pub fn asked(turn: &[Value]) -> String {
    let message = turn.first().map(content).unwrap_or_default();
    match message.rsplit_once("\n\n[") {
        Some((asked, note)) if note.ends_with(']') => asked.to_owned(),
        _ => message,
    }
}

/// The turns, oldest first: a message of the user and what came of it.
pub fn turns(request: &Value) -> Vec<&[Value]> {
    let is_user = |message: &Value| message["role"] == "user";
    let turns = messages(request).chunk_by(|_, next| !is_user(next));
    turns
        .filter(|turn| turn.first().is_some_and(is_user))
        .collect()
}

/// Whether the request offers a tool of this name.
pub fn offers(request: &Value, tool: &str) -> bool {
    request["tools"]
        .as_array()
        .is_some_and(|tools| tools.iter().any(|t| t["function"]["name"] == tool))
}

/// The tool calls since the newest user message, in the order they were made.
pub fn steps(request: &Value) -> Vec<Step> {
    let last = turns(request).pop();
    calls(last.unwrap_or_else(|| messages(request)))
}

/// The tool calls of a turn, in the order they were made.
pub fn calls(turn: &[Value]) -> Vec<Step> {
    let result = |id: &Value| {
        let message = turn
            .iter()
            .find(|m| m["role"] == "tool" && m["tool_call_id"] == *id)?;
        let text = content(message);
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    };
    turn.iter()
        .filter_map(|m| m["tool_calls"].as_array())
        .flatten()
        .map(|call| Step {
            name: call["function"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            arguments: call["function"]["arguments"]
                .as_str()
                .and_then(|raw| serde_json::from_str(raw).ok())
                .unwrap_or(Value::Null),
            result: result(&call["id"]),
        })
        .collect()
}
