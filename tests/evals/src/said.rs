//! What came of a message: the API's answer, and what it took.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What came of a message.
#[derive(Debug)]
pub(crate) struct Said {
    status: u16,
    pub(crate) answer: Value,
    took: Duration,
}

impl Said {
    pub(crate) const fn new(status: u16, answer: Value, took: Duration) -> Self {
        Self {
            status,
            answer,
            took,
        }
    }

    /// Why there is no reply.
    pub(crate) fn failure(&self) -> Option<String> {
        let is_answered = self.status == 200 && self.answer["response"].is_string();
        let error = &self.answer["error"];
        (!is_answered).then(|| {
            format!(
                "no reply: {} {} {}",
                self.status, error["code"], error["message"]
            )
        })
    }

    fn calls(&self) -> impl Iterator<Item = &Value> {
        self.answer["tool_calls"].as_array().into_iter().flatten()
    }

    /// The calls that changed something: tool, task, title.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (String, Option<Uuid>, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let done = self
            .calls()
            .filter(|call| call["result"]["success"] == true && call["tool_name"] != "list_tasks");
        done.map(move |call| {
            let parameters = &call["parameters"];
            (
                text(&call["tool_name"]),
                text(&parameters["task_id"]).parse().ok(),
                text(&parameters["title"]),
            )
        })
    }

    pub(crate) fn has_looked(&self) -> bool {
        self.calls()
            .any(|call| call["result"]["success"] == true && call["tool_name"] == "list_tasks")
    }

    pub(crate) fn figures(&self) -> TurnFigures {
        let usage = |name: &str| self.answer["usage"][name].as_u64().unwrap_or_default();
        TurnFigures {
            seconds: (self.took.as_secs_f64() * 1e3).round() / 1e3,
            calls: self.calls().count() as u64,
            model_calls: usage("model_calls"),
            input_tokens: usage("input_tokens"),
            cached_tokens: usage("cached_input_tokens"),
            output_tokens: usage("output_tokens"),
            estimated: self.answer["usage"]["estimated"] == true,
        }
    }
}

/// What a turn took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct TurnFigures {
    /// From the message to the reply, as the user waits.
    pub seconds: f64,
    /// Calls of tools, those that failed included.
    pub calls: u64,
    /// Answers of the model.
    pub model_calls: u64,
    /// Those from the provider's cache included.
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Some of the tokens are an estimate.
    pub estimated: bool,
}
