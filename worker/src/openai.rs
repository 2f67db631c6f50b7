//! The model over HTTP: any provider of Chat Completions, streamed, retried within bounds.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, pin_mut};
use serde::Serialize;

use crate::{
    agent::{Answer, AnswerBuilder, Message, Model, ModelError, Progress, Request, ToolDefinition},
    config::{ModelConfig, ReasoningEffort},
};

mod chunk;
mod failure;
#[cfg(test)]
mod fuzz;
mod habits;
mod lenient;
mod provider;
mod stream;
mod transport;

use chunk::Reader;
use failure::CallFailure;
use habits::Habits;
pub(crate) use provider::Provider;
use stream::Chunks;
use transport::Transport;

/// Retries of one model call.
const MAX_RETRIES: usize = 3;
/// Pause before the first retry; doubled for each further one, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that is waited out, whoever asks for it.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// A provider.
pub(crate) struct OpenAi {
    transport: Transport,
    model: String,
    habits: Habits,
    provider: Provider,
}

impl OpenAi {
    /// `silence` is how long the model may say nothing, before its first byte or after any other.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub(crate) fn new(config: &ModelConfig, silence: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            transport: Transport::new(config.base_url(), config.api_key().into(), silence)?,
            model: config.model().to_owned(),
            habits: Habits::new(config.model(), config.reasoning_effort()),
            provider: Provider::at(config.base_url()),
        })
    }

    /// Who answers.
    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// One call, from the request to the end of the stream. A parameter that the provider refuses is left out at once.
    async fn call(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, CallFailure> {
        loop {
            let body = Body::new(self, request);
            // Serialized once: its size is what an estimate of tokens goes by.
            let body = serde_json::value::to_raw_value(&body)
                .map_err(|_| CallFailure::permanent("the request could not be written"))?;
            match self.transport.send(&body).await {
                Ok(response) => return read(response, body.get().len(), tell).await,
                Err(failure) => match failure.refused() {
                    Some(parameter) if self.habits.learn(parameter) => {
                        tracing::warn!(%failure, "the provider refuses a parameter; asking without it");
                    }
                    _ => return Err(failure),
                },
            }
        }
    }
}

/// Reads an answer to its end. `asked` is the size of the request.
async fn read(
    response: reqwest::Response,
    asked: usize,
    tell: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Answer, CallFailure> {
    let mut answer = AnswerBuilder::default();
    let mut reader = Reader::default();
    // From here on it is paid for, however it ends.
    tell(Progress::Tokens(answer.tokens(asked)));
    let mut add = |answer: &mut AnswerBuilder, chunk: &str| {
        let before = answer.text_len();
        let added = reader.add(chunk, answer);
        let text = answer.text_from(before);
        if !text.is_empty() {
            tell(Progress::Text(text));
        }
        tell(Progress::Tokens(answer.tokens(asked)));
        added
    };
    match stream::chunks(response).await? {
        Chunks::Document(document) => add(&mut answer, &document)?,
        Chunks::Stream(chunks) => {
            pin_mut!(chunks);
            while let Some(chunk) = chunks.next().await {
                add(&mut answer, &chunk?)?;
            }
        }
    }
    if !answer.is_finished() {
        return Err(CallFailure::passing(
            "the stream ended in the middle of the answer",
        ));
    }
    let is_empty = answer.is_empty();
    let answer = answer.build(asked);
    if is_empty && answer.cut_short().is_none() {
        return Err(CallFailure::passing("the answer was empty"));
    }
    Ok(answer)
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.model
    }

    async fn answer(
        &self,
        request: Request<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, ModelError> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(MAX_RETRIES)
            .with_jitter();
        (|| self.call(request, tell))
            .retry(pauses)
            .when(CallFailure::is_passing)
            // What the provider asks for counts, but not for ever.
            .adjust(|failure: &CallFailure, pause| {
                pause.map(|pause| failure.pause(pause).min(MAX_PAUSE))
            })
            .notify(|failure: &CallFailure, pause| {
                tracing::warn!(%failure, ?pause, "the model failed; trying again");
                tell(Progress::Restart);
            })
            .await
            .map_err(ModelError::from)
    }
}

/// The request's body. Nothing in it is copied before it is written: the tools alone are 12 KB.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

/// A tool that is a function: there are no others.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tool<'a> {
    Function { function: &'a ToolDefinition },
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Body<'a> {
    fn new(provider: &'a OpenAi, request: Request<'a>) -> Self {
        let habits = &provider.habits;
        let tools = request.tools.iter();
        Self {
            model: &provider.model,
            messages: request.messages,
            tools: tools.map(|function| Tool::Function { function }).collect(),
            tool_choice: (!request.may_call).then_some("none"),
            reasoning_effort: habits.effort(),
            stream: true,
            stream_options: habits.takes_stream_options().then_some(StreamOptions {
                include_usage: true,
            }),
        }
    }
}
