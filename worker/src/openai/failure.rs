//! How a model call fails, and whether it is worth another try.

use std::{fmt, time::Duration};

use http::StatusCode;
use serde_json::Value;

use crate::agent::{AnswerTooLarge, ModelError};

/// Characters of an error that are kept for the log.
const MAX_MESSAGE: usize = 300;
/// Characters of a code in a provider's error.
const MAX_CODE: usize = 64;

/// One model call that failed.
#[derive(Debug, Clone)]
pub(super) struct CallFailure {
    kind: Kind,
    message: String,
    retry_after: Option<Duration>,
    /// It tells of the provider, and not of what it was asked.
    blames_provider: bool,
    /// Another try would be as silent.
    is_silence: bool,
    /// The parameter of the request that the provider does not take.
    refused: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passing,
    Permanent,
    ContextTooLong,
    /// The provider's content filter refuses what was said.
    Filtered,
}

impl CallFailure {
    /// Trouble that may be over in a moment.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self::new(Kind::Passing, message)
    }

    /// Trouble that no repeat helps against.
    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::new(Kind::Permanent, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            blames_provider: kind == Kind::Passing,
            is_silence: false,
            refused: None,
        }
    }

    /// The provider took the request, or an answer began, and then nothing came.
    pub(super) fn silence(message: &str) -> Self {
        Self {
            is_silence: true,
            ..Self::passing(message)
        }
    }

    /// The parameter of the request that the provider does not take, if it says so.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    pub(super) fn is_passing(&self) -> bool {
        self.kind == Kind::Passing
    }

    pub(super) fn is_silence(&self) -> bool {
        self.is_silence
    }

    /// Whether the provider is in trouble, or refuses whatever it is asked: a wrong key, no such model, no money left.
    pub(super) fn blames_provider(&self) -> bool {
        self.blames_provider
    }

    /// Whether the provider's content filter refuses what was said.
    pub(super) fn is_filtered(&self) -> bool {
        self.kind == Kind::Filtered
    }

    /// How long to pause before the next try: what the provider asked for, else what we would.
    pub(super) fn pause(&self, ours: Duration) -> Duration {
        self.retry_after.unwrap_or(ours)
    }

    /// An answer whose status is not a success.
    pub(super) fn of_status(status: StatusCode, retry_after: Option<Duration>, body: &str) -> Self {
        let parsed: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        // Gemini wraps the error into an array.
        let error = parsed.get(0).unwrap_or(&parsed);
        let error = error.get("error").unwrap_or(error);
        let said = Said::of(error);
        let kind = if said.is_context_too_long() && !status.is_redirection() {
            Kind::ContextTooLong
        } else if said.is_filtered && status.is_client_error() {
            Kind::Filtered
        } else if said.is_out_of_quota() || (status.as_u16() == 500 && said.is_not_set_up()) {
            Kind::Permanent
        } else if status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429) {
            Kind::Passing
        } else {
            Kind::Permanent
        };
        let refused = (status.is_client_error() && kind == Kind::Permanent)
            .then(|| said.refused(body))
            .flatten();
        let hint = match status.is_redirection() {
            true => ": it redirects, and OPENAI_BASE_URL has to be where that leads",
            false => "",
        };
        let parameter = refused
            .as_ref()
            .map_or_else(String::new, |name| format!(", parameter {name}"));
        let blames_provider = match kind {
            Kind::Passing => true,
            Kind::Permanent => {
                matches!(status.as_u16(), 401..=404 | 429 | 500) || status.is_redirection()
            }
            Kind::ContextTooLong | Kind::Filtered => false,
        };
        Self {
            // Gemini says it in the body: https://cloud.google.com/apis/design/errors (RetryInfo).
            retry_after: retry_after.or_else(|| retry_delay(error)),
            blames_provider,
            message: format!("{status}{}{parameter}{hint}", said.codes()),
            refused,
            ..Self::new(kind, "")
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallFailure {}

impl From<CallFailure> for ModelError {
    fn from(failure: CallFailure) -> Self {
        match failure.kind {
            Kind::Passing => Self::Unavailable(failure.message),
            Kind::Permanent => Self::Refused(failure.message),
            Kind::ContextTooLong => Self::ContextTooLong,
            Kind::Filtered => Self::Refused(failure.message),
        }
    }
}

impl From<AnswerTooLarge> for CallFailure {
    fn from(endless: AnswerTooLarge) -> Self {
        Self::permanent(endless.to_string())
    }
}

/// An error inside a stream: the status was 200, so only the error itself tells.
pub(super) fn in_band(error: &Value) -> CallFailure {
    let said = Said::of(error);
    let status = error.get("code").and_then(Value::as_u64).unwrap_or(0);
    let kind = if said.is_context_too_long() {
        Kind::ContextTooLong
    } else if said.is_filtered {
        Kind::Filtered
    } else if matches!(status, 400..=407 | 410..=424 | 426..=428) || said.is_out_of_quota() {
        Kind::Permanent
    } else {
        Kind::Passing
    };
    let failure = CallFailure::new(kind, format!("an error in the stream{}", said.codes()));
    CallFailure {
        blames_provider: failure.blames_provider || matches!(status, 401..=404),
        retry_after: retry_delay(error),
        ..failure
    }
}

/// How long to pause, where the error itself says so: `{"details": [{"retryDelay": "34s"}]}`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let delay = details
        .iter()
        .find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// An error with its causes: reqwest alone only says that sending failed.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    short(&text)
}

/// What a provider's error says of itself. The message tells kinds of trouble apart and is not kept: providers repeat in it
/// what they were sent, the key and people's texts included.
struct Said {
    message: String,
    code: String,
    param: String,
    is_filtered: bool,
}

impl Said {
    fn of(error: &Value) -> Self {
        let text = |field: &str| match error.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = error
            .as_str()
            .map_or_else(|| text("message"), str::to_owned);
        Self {
            message,
            code: format!("{} {} {}", text("code"), text("type"), text("status")),
            param: text("param"),
            is_filtered: is_filtered(error),
        }
    }

    /// The codes, for the log: words for machines, nothing of what was sent.
    fn codes(&self) -> String {
        let is_code = |word: &&str| {
            word.len() <= MAX_CODE && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let codes: Vec<&str> = self.code.split_whitespace().filter(is_code).collect();
        match codes.join(", ") {
            codes if codes.is_empty() => codes,
            codes => format!(" ({codes})"),
        }
    }

    /// The parameter that is refused, by its name: as the provider names it, else the one of ours that its error speaks of.
    fn refused(&self, body: &str) -> Option<String> {
        const OURS: [&str; 3] = ["stream_options", "reasoning_effort", "temperature"];
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.[]".contains(c);
        let named = (1..=MAX_CODE).contains(&self.param.len()) && self.param.chars().all(is_name);
        if named {
            return Some(self.param.clone());
        }
        OURS.into_iter()
            .find(|name| body.contains(name))
            .map(str::to_owned)
    }

    /// OpenAI has a code for it, llama.cpp a type; the others say it in words.
    fn is_context_too_long(&self) -> bool {
        const WORDS: [&str; 7] = [
            "context length",
            "context size",
            "context window",
            "maximum context",
            "prompt is too long",
            "input token count",
            "too many tokens",
        ];
        let message = self.message.to_ascii_lowercase();
        self.code.contains("context_length_exceeded")
            || self.code.contains("exceed_context_size")
            || WORDS.iter().any(|words| message.contains(words))
    }

    /// llama.cpp answers 500 where it was started without what tools need: <https://github.com/ggml-org/llama.cpp/issues/10920>.
    fn is_not_set_up(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        message.contains("requires --") || message.contains("unsupported param")
    }

    /// A 429 that no waiting helps against.
    fn is_out_of_quota(&self) -> bool {
        self.code.contains("insufficient_quota")
    }
}

/// Azure has a code for what its filter refuses, and OpenRouter lists the reasons.
/// <https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter>,
/// <https://openrouter.ai/docs/api/reference/errors-and-debugging>
fn is_filtered(error: &Value) -> bool {
    let reasons = error.pointer("/metadata/reasons").and_then(Value::as_array);
    error.get("code").and_then(Value::as_str) == Some("content_filter")
        || reasons.is_some_and(|reasons| !reasons.is_empty())
}

fn short(message: &str) -> String {
    message
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_MESSAGE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> Kind {
        let status = StatusCode::from_u16(status).expect("a status");
        CallFailure::of_status(status, None, body).kind
    }

    #[test]
    fn failures_are_classified_by_status_and_words() {
        assert_eq!(kind(307, ""), Kind::Permanent);
        assert_eq!(kind(429, ""), Kind::Passing);
        assert_eq!(kind(503, "<html>"), Kind::Passing);
        assert_eq!(
            kind(401, r#"{"error":{"message":"bad key"}}"#),
            Kind::Permanent
        );
        assert_eq!(
            kind(429, r#"{"error":{"code":"insufficient_quota"}}"#),
            Kind::Permanent
        );
        assert_eq!(
            kind(400, r#"{"error":{"code":"context_length_exceeded"}}"#),
            Kind::ContextTooLong
        );
        assert_eq!(
            kind(
                429,
                r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#
            ),
            Kind::Passing
        );
        let gemini =
            r#"[{"error":{"code":400,"message":"The input token count exceeds the maximum"}}]"#;
        assert_eq!(kind(400, gemini), Kind::ContextTooLong);
    }
}
