//! Servers of one's own: they want no key unless they were started with one, and have what they were started with.

use serde_json::json;

use super::{Asked, MODEL, Refusal, openai_error};

/// Efforts that Ollama knows: <https://github.com/ollama/ollama/pull/17141>.
const OLLAMA_EFFORTS: [&str; 5] = ["high", "medium", "low", "max", "none"];

/// <https://github.com/ollama/ollama/issues/6027>
pub(super) fn ollama(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |status: u16, message: String| {
        Some((status, openai_error(&message, "api_error", None, None)))
    };
    if let Some(effort) = asked.effort()
        && !OLLAMA_EFFORTS.contains(&effort)
    {
        let message = format!(
            "invalid reasoning value: '{effort}' (must be \"high\", \"medium\", \"low\", \"max\", or \"none\")"
        );
        return refuse(400, message);
    }
    match asked.model() {
        "without-tools" if asked.has_tools() => refuse(
            400,
            "registry.ollama.ai/library/without-tools does not support tools".to_owned(),
        ),
        "without-tools" | MODEL => None,
        other => refuse(
            404,
            format!("model \"{other}\" not found, try pulling it first"),
        ),
    }
}

/// <https://docs.vllm.ai/en/latest/features/tool_calling.html>, <https://github.com/vllm-project/vllm/issues/4667>
pub(super) fn vllm(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |status: u16, kind: &str, message: String| {
        Some((
            status,
            json!({"error": {"message": message, "type": kind, "param": null, "code": status}}),
        ))
    };
    match asked.model() {
        "without-parser" if asked.has_tools() => refuse(
            400,
            "BadRequestError",
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set".to_owned(),
        ),
        "without-parser" | MODEL => None,
        other => refuse(404, "NotFoundError", format!("The model `{other}` does not exist.")),
    }
}

/// Started with a key. It has one model whatever it is asked for; one of these names stands for a server that was started without templates for
/// tools: <https://github.com/ggml-org/llama.cpp/issues/10920>.
pub(super) fn llama_cpp(asked: &Asked<'_>) -> Option<Refusal> {
    let refuse = |status: u16, kind: &str, message: &str| {
        let error = json!({"code": status, "message": message, "type": kind});
        Some((status, json!({"error": error})))
    };
    if !asked.has_bearer() {
        return refuse(401, "authentication_error", "Invalid API Key");
    }
    match asked.model() {
        "without-jinja" if asked.has_tools() => {
            refuse(500, "server_error", "tools param requires --jinja flag")
        }
        _ => None,
    }
}
