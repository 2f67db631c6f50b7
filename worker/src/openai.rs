//! The model over HTTP: any provider of Chat Completions, streamed, retried within bounds.

use std::time::Duration;

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError};
use backon::{ExponentialBuilder, Retryable};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    agent::{Answer, AnswerBuilder, Message, Model, ModelError, Request, Told, ToolDefinition},
    config::ModelConfig,
};

mod chunk;
mod failure;
mod transport;

use failure::CallFailure;

/// Tries of one model call.
const MAX_RETRIES: usize = 3;
/// Pause before the first retry; doubled for each further one, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that is waited out, whoever asks for it.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// A provider.
pub(crate) struct OpenAi {
    client: Client<OpenAIConfig>,
    model: String,
}

impl OpenAi {
    /// `silence` is how long the model may say nothing, before its first byte or after any other.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub(crate) fn new(config: &ModelConfig, silence: Duration) -> Result<Self, reqwest::Error> {
        let settings = OpenAIConfig::new()
            .with_api_base(config.base_url())
            .with_api_key(config.api_key());
        let client =
            Client::with_config(settings).with_http_service(transport::Transport::new(silence)?);
        Ok(Self {
            client,
            model: config.model().to_owned(),
        })
    }

    /// One call, from the request to the end of the stream.
    async fn call(
        &self,
        body: &Body<'_>,
        tell: &(dyn Fn(Told<'_>) + Sync),
    ) -> Result<Answer, CallFailure> {
        let mut stream = self
            .client
            .chat()
            .create_stream_byot::<_, chunk::Chunk>(body)
            .await?;
        let mut answer = AnswerBuilder::default();
        while let Some(chunk) = stream.next().await {
            let before = answer.text_len();
            chunk?.add_to(&mut answer)?;
            let text = answer.text_from(before);
            if !text.is_empty() {
                tell(Told::Text(text));
            }
        }
        if !answer.is_finished() {
            return Err(CallFailure::passing(
                "the stream ended in the middle of the answer",
            ));
        }
        let answer = answer.build();
        if answer.text.trim().is_empty() && answer.calls.is_empty() {
            return Err(CallFailure::passing("the answer was empty"));
        }
        Ok(answer)
    }
}

impl Model for OpenAi {
    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Told<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        let body = Body::new(&self.model, request);
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(MAX_RETRIES)
            .with_jitter();
        (|| self.call(&body, tell))
            .retry(pauses)
            .when(CallFailure::is_passing)
            // What the provider asks for counts, but not for ever.
            .adjust(|failure: &CallFailure, pause| {
                pause.map(|pause| failure.pause(pause).min(MAX_PAUSE))
            })
            .notify(|failure: &CallFailure, pause| {
                tracing::warn!(%failure, ?pause, "the model failed; trying again");
                tell(Told::Restart);
            })
            .await
            .map_err(ModelError::from)
    }
}

/// The request's body.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    stream: bool,
    stream_options: Value,
}

impl<'a> Body<'a> {
    fn new(model: &'a str, request: Request<'a>) -> Self {
        let function = |tool: &ToolDefinition| json!({"type": "function", "function": tool});
        Self {
            model,
            messages: request.messages,
            tools: request.tools.iter().map(function).collect(),
            tool_choice: (!request.may_call).then_some("none"),
            stream: true,
            stream_options: json!({"include_usage": true}),
        }
    }
}

impl From<OpenAIError> for CallFailure {
    fn from(error: OpenAIError) -> Self {
        failure::of(error)
    }
}
