//! What a strict provider refuses with 400. A history that the product put together wrongly must fail here.

use std::collections::HashSet;

use serde_json::Value;

type Checked = Result<(), String>;

/// Checks a request body; the error is the message for the client.
pub(super) fn request(request: &Value) -> Checked {
    if request["model"].as_str().is_none_or(str::is_empty) {
        return Err("you must provide a model parameter".into());
    }
    if let Some(tools) = request.get("tools") {
        self::tools(tools)?;
    }
    match request["messages"].as_array() {
        None => Err("Missing required parameter: 'messages'.".into()),
        Some(messages) if messages.is_empty() => {
            Err("Invalid 'messages': empty array. Expected an array with minimum length 1.".into())
        }
        Some(messages) => history(messages),
    }
}

fn tools(tools: &Value) -> Checked {
    let tools = tools.as_array().filter(|t| !t.is_empty());
    for (at, tool) in tools
        .ok_or("Invalid 'tools': expected a non-empty array.")?
        .iter()
        .enumerate()
    {
        let function = &tool["function"];
        let named = function["name"].as_str().is_some_and(is_name);
        let parameters = function.get("parameters");
        if tool["type"] != "function" || !named || parameters.is_some_and(|p| p["type"] != "object")
        {
            return Err(format!("Invalid schema for 'tools[{at}]'."));
        }
    }
    Ok(())
}

/// `^[a-zA-Z0-9_-]{1,64}$`
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
}

/// User and assistant take turns behind the system's message, as the templates of many models want it. Results of tools belong
/// to the assistant's turn, so the assistant may go on behind them and the user may not.
fn alternate(messages: &[Value]) -> Checked {
    let roles = messages
        .iter()
        .map(|m| m["role"].as_str().unwrap_or("none"));
    let mut before = "start";
    for (at, role) in roles.enumerate() {
        let fits = match role {
            "system" | "developer" => before == "start",
            "user" => matches!(before, "start" | "system" | "developer" | "assistant"),
            "assistant" => matches!(before, "user" | "tool"),
            _ => true,
        };
        if !fits {
            return Err(format!(
                "Conversation roles must alternate user/assistant. (messages[{at}]: {role} after {before})"
            ));
        }
        before = role;
    }
    Ok(())
}

/// Every tool message answers a call of the assistant message before it, and every call is answered once.
fn history(messages: &[Value]) -> Checked {
    calls_are_answered(messages)?;
    alternate(messages)
}

fn calls_are_answered(messages: &[Value]) -> Checked {
    let mut open: Option<HashSet<&str>> = None;
    let mut asked: HashSet<&str> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(open) = open.as_mut().filter(|_| asked.contains(id)) else {
                return Err(format!(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message \
                     with 'tool_calls'. (messages[{at}])"
                ));
            };
            if !open.remove(id) {
                return Err(format!(
                    "Duplicate value for 'tool_call_id' of '{id}' in message[{at}]."
                ));
            }
            require_content(message, at)?;
            continue;
        }
        answered(open.take())?;
        asked = single(message, at)?;
        open = (!asked.is_empty()).then(|| asked.clone());
    }
    answered(open)
}

fn answered(open: Option<HashSet<&str>>) -> Checked {
    let Some(missing) = open.filter(|ids| !ids.is_empty()) else {
        return Ok(());
    };
    let mut missing: Vec<&str> = missing.into_iter().collect();
    missing.sort_unstable();
    Err(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
         'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        missing.join(", ")
    ))
}

/// Checks one message that is not a tool's, and returns the ids it calls.
fn single(message: &Value, at: usize) -> Result<HashSet<&str>, String> {
    match message["role"].as_str() {
        Some("system" | "developer" | "user") => {
            require_content(message, at).map(|()| HashSet::new())
        }
        Some("assistant") => match message.get("tool_calls") {
            None => require_content(message, at).map(|()| HashSet::new()),
            Some(calls) => self::calls(calls, at),
        },
        role => Err(format!(
            "Invalid value: {role:?} for 'messages[{at}].role'."
        )),
    }
}

fn calls(calls: &Value, at: usize) -> Result<HashSet<&str>, String> {
    let calls = calls.as_array().filter(|calls| !calls.is_empty());
    let calls = calls.ok_or(format!(
        "Invalid 'messages[{at}].tool_calls': expected a non-empty array."
    ))?;
    let mut ids = HashSet::new();
    for call in calls {
        let id = call["id"].as_str().unwrap_or_default();
        let function = &call["function"];
        let arguments = function["arguments"].as_str().unwrap_or_default();
        let whole = call["type"] == "function"
            && function["name"].as_str().is_some_and(is_name)
            && serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
        if id.is_empty() || !whole || !ids.insert(id) {
            return Err(format!("Invalid 'messages[{at}].tool_calls': {call}"));
        }
    }
    Ok(ids)
}

fn require_content(message: &Value, at: usize) -> Checked {
    match &message["content"] {
        Value::String(_) => Ok(()),
        Value::Array(parts) if !parts.is_empty() => Ok(()),
        _ => Err(format!(
            "Invalid value for 'content' of 'messages[{at}]': expected a string."
        )),
    }
}
