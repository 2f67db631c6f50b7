//! The model over HTTP: any provider of Chat Completions, streamed, retried within bounds.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, pin_mut};
use serde::Serialize;

use tokio::time::{Instant, timeout_at};

use crate::{
    agent::{
        self, Answer, AnswerBuilder, Message, Model, ModelError, Progress, Request, ToolDefinition,
    },
    circuit::{Circuit, Permit},
    config::Endpoint,
    presets::{self, ReasoningEffort},
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
mod usage;

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
/// Retries where another model can be asked instead.
const MAX_RETRIES_BEFORE_ANOTHER: usize = 1;
/// The longest pause that is waited out there.
const MAX_PAUSE_BEFORE_ANOTHER: Duration = Duration::from_secs(2);

/// Bytes of most requests: instructions, tools and a conversation of some turns.
const LIKELY_BODY: usize = 16 * 1024;

/// How long a model is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until its first token, from the request on.
    pub(crate) first_token: Duration,
    /// Between two chunks.
    pub(crate) silence: Duration,
    /// Another model is asked when this one has failed.
    pub(crate) has_fallback: bool,
}

/// A model at a provider.
pub(crate) struct OpenAi {
    transport: Transport,
    model: String,
    habits: Habits,
    provider: Provider,
    patience: Patience,
    circuit: Circuit,
}

impl OpenAi {
    /// # Errors
    /// The HTTP client cannot be built.
    pub(crate) fn new(
        endpoint: &Endpoint,
        patience: Patience,
        circuit: Circuit,
    ) -> Result<Self, reqwest::Error> {
        // The bounds on tokens count; this one is for bytes that are none, such as those of an error.
        let silence = patience.silence.max(patience.first_token);
        Ok(Self {
            transport: Transport::new(endpoint, silence)?,
            model: endpoint.model.clone(),
            habits: Habits::new(endpoint),
            provider: Provider::of(endpoint.preset, &endpoint.url),
            patience,
            circuit,
        })
    }

    /// Whether it may be asked now.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.circuit.is_passable()
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
        let signature = presets::unsigned_call(&self.model);
        let messages = agent::messages_for(request.messages, &self.model, signature);
        loop {
            let body = Body::new(self, &messages, request);
            let mut json = Vec::with_capacity(LIKELY_BODY);
            serde_json::to_writer(&mut json, &body)
                .map_err(|_| CallFailure::permanent("the request could not be written"))?;
            // It is kept until the answer begins.
            json.shrink_to_fit();
            // What an estimate of tokens goes by.
            let asked = json.len();
            let begun = Instant::now() + self.patience.first_token;
            let response = timeout_at(begun, self.transport.send(json.into())).await;
            match response.unwrap_or_else(|_| Err(CallFailure::silence("no answer began in time")))
            {
                Ok(response) => {
                    let until = Until {
                        begun,
                        silence: self.patience.silence,
                    };
                    return read(response, asked, until, tell).await;
                }
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

/// Until when an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Until {
    /// Its first token.
    begun: Instant,
    /// From one chunk to the next; comments that keep a connection open are none.
    silence: Duration,
}

/// Reads an answer to its end. `asked` is the size of the request.
async fn read(
    response: reqwest::Response,
    asked: usize,
    until: Until,
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
    let silent = |_| CallFailure::silence("no token came in time");
    match timeout_at(until.begun, stream::chunks(response))
        .await
        .map_err(silent)??
    {
        Chunks::Document(document) => add(&mut answer, &document)?,
        Chunks::Stream(chunks) => {
            pin_mut!(chunks);
            loop {
                let patience = match answer.has_begun() {
                    true => Instant::now() + until.silence,
                    false => until.begun,
                };
                match timeout_at(patience, chunks.next()).await.map_err(silent)? {
                    Some(chunk) => add(&mut answer, &chunk?)?,
                    None => break,
                }
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
        let Some(permit) = self.circuit.admit() else {
            let why = "it failed again and again and is left alone for a while";
            return Err(ModelError::Unavailable(why.to_owned()));
        };
        let answer = self.tried(request, &permit, tell).await;
        match &answer {
            Err(failure) if failure.blames_provider() => permit.failed(),
            _ => permit.succeeded(),
        }
        match answer {
            // As where the filter ends an answer that has begun: the turn has come to its end, and says so.
            Err(failure) if failure.is_filtered() => {
                tracing::info!(%failure, "the provider's content filter refused the request");
                tell(Progress::Restart);
                Ok(Answer {
                    finish_reason: Some("content_filter".to_owned()),
                    ..Answer::default()
                })
            }
            answer => Ok(answer?),
        }
    }
}

impl OpenAi {
    /// Calls, and again after passing trouble, within bounds.
    async fn tried(
        &self,
        request: Request<'_>,
        permit: &Permit<'_>,
        tell: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Answer, CallFailure> {
        let has_fallback = self.patience.has_fallback;
        let (retries, longest) = match (permit.is_probe(), has_fallback) {
            (true, _) => (0, MAX_PAUSE),
            (false, true) => (MAX_RETRIES_BEFORE_ANOTHER, MAX_PAUSE_BEFORE_ANOTHER),
            (false, false) => (MAX_RETRIES, MAX_PAUSE),
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(retries)
            .with_jitter();
        // With another model at hand nobody waits for one that is silent, or asks for a long pause.
        let is_worth_it = |failure: &CallFailure| {
            let is_passed_over = failure.is_silence() || failure.pause(Duration::ZERO) > longest;
            failure.is_passing() && !(has_fallback && is_passed_over)
        };
        (|| self.call(request, tell))
            .retry(pauses)
            .when(is_worth_it)
            // What the provider asks for counts, but not for ever.
            .adjust(|failure: &CallFailure, pause| {
                pause.map(|pause| failure.pause(pause).min(longest))
            })
            .notify(|failure: &CallFailure, pause| {
                tracing::warn!(%failure, ?pause, "the model failed; trying again");
                tell(Progress::Restart);
            })
            .await
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
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
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
    fn new(provider: &'a OpenAi, messages: &'a [Message], request: Request<'a>) -> Self {
        let habits = &provider.habits;
        let tools = request.tools.iter();
        Self {
            model: &provider.model,
            messages,
            tools: tools.map(|function| Tool::Function { function }).collect(),
            tool_choice: (!request.may_call).then_some("none"),
            reasoning_effort: habits.effort(),
            temperature: request.temperature.filter(|_| habits.takes_temperature()),
            stream: true,
            stream_options: habits.takes_stream_options().then_some(StreamOptions {
                include_usage: true,
            }),
        }
    }
}
