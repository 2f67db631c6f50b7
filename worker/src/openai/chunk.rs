//! One chunk of a streamed answer, read leniently: every field may be missing, unknown ones are ignored.

use serde::Deserialize;
use serde_json::Value;

use super::failure::{self, CallFailure};
use crate::agent::AnswerBuilder;

#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Usage>,
    /// Some providers report an error inside a stream that began well.
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<i64>,
    #[serde(default)]
    completion_tokens: Option<i64>,
}

impl Chunk {
    /// Adds what the chunk carries to the answer.
    pub(super) fn add_to(self, answer: &mut AnswerBuilder) -> Result<(), CallFailure> {
        if let Some(error) = self.error.filter(|error| !error.is_null()) {
            return Err(failure::in_band(&error));
        }
        if let Some(usage) = self.usage {
            answer.usage(
                usage.prompt_tokens.unwrap_or(0),
                usage.completion_tokens.unwrap_or(0),
            );
        }
        // Only one choice is asked for.
        let Some(choice) = self.choices.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        if let Some(delta) = choice.delta {
            delta.add_to(answer)?;
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            answer.finish(&reason);
        }
        Ok(())
    }
}

impl Delta {
    fn add_to(self, answer: &mut AnswerBuilder) -> Result<(), CallFailure> {
        if let Some(text) = self.content {
            answer.text(&text)?;
        }
        for call in self.tool_calls.unwrap_or_default() {
            let (name, arguments) = call
                .function
                .map_or((None, None), |f| (f.name, f.arguments));
            answer.call(crate::agent::CallPiece {
                index: call.index,
                id: call.id,
                name,
                // Some servers send the arguments as an object instead of its text.
                arguments: arguments.and_then(|arguments| match arguments {
                    Value::String(text) => Some(text),
                    Value::Null => None,
                    object => Some(object.to_string()),
                }),
            })?;
        }
        Ok(())
    }
}
