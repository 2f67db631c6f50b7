//! The worker's configuration.

use std::time::Duration;

use clap::ValueEnum;
use errand_core::guardrails::Guardrails;
use errand_server::{
    config::{DatabaseConfig, Invalid, LogConfig, SleepConfig, duration, retention},
    trace::TraceConfig,
};
use secrecy::{ExposeSecret, SecretString};

use crate::instructions::Instructions;
pub use crate::instructions::InstructionsConfig;
use crate::presets::Preset;
pub use crate::presets::ReasoningEffort;

mod endpoint;

pub(crate) use endpoint::Endpoint;

/// Takes runs from the queue, runs the agent and its tools, commits the replies
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "errand-worker", version)]
pub struct Config {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Whether it may sleep.
    #[command(flatten)]
    pub sleep: SleepConfig,

    /// With SLEEP_AFTER: time after which a worker that sleeps looks for work by itself, once
    #[arg(long, env = "WAKE_EVERY", default_value = "2h", value_parser = duration)]
    pub wake_every: Duration,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Where traces go.
    #[command(flatten)]
    pub trace: TraceConfig,

    /// Which model answers.
    #[command(flatten)]
    pub model: ModelConfig,

    /// How the agent behaves.
    #[command(flatten)]
    pub instructions: InstructionsConfig,

    /// Models, separated by commas, that a client may ask for in place of OPENAI_MODEL; the same in errand-api and errand-worker
    #[arg(long, env = "OPENAI_ALLOWED_MODELS", value_delimiter = ',')]
    pub openai_allowed_models: Vec<String>,

    /// Checks of what people and the model say, separated by commas; the same in errand-api and errand-worker [default: none]
    #[arg(long, env = "GUARDRAILS", value_delimiter = ',')]
    pub guardrails: Vec<String>,

    /// Runs at work at the same time in this process
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub worker_concurrency: u16,

    /// Time one attempt at a run may take
    #[arg(long, env = "RUN_TIMEOUT", default_value = "120s", value_parser = duration)]
    pub run_timeout: Duration,

    /// Answers the model may give in one run
    #[arg(long, env = "MAX_STEPS", default_value_t = 16, value_parser = clap::value_parser!(i32).range(1..=200))]
    pub max_steps: i32,

    /// Time that one try of a tool call may take; one that takes longer is made again under its key
    #[arg(long, env = "TOOL_TIMEOUT", default_value = "12s", value_parser = duration)]
    pub tool_timeout: Duration,

    /// Tokens of earlier turns that the model is shown, their summary included (estimated by the kinds of characters)
    #[arg(long, env = "HISTORY_TOKENS", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub history_tokens: u32,

    /// Whether the model writes summaries of what no longer fits, beside the turns; false: it is left out
    #[arg(long, env = "SUMMARIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub summaries: bool,

    /// Runs of one user that may be in the queue or at work at the same time
    #[arg(long, env = "MAX_READY_RUNS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_ready_runs: u16,

    /// Silence after which a worker is taken for dead and its runs go to others; half of it if its process is gone
    #[arg(long, env = "LEASE_TIMEOUT", default_value = "4s", value_parser = duration)]
    pub lease_timeout: Duration,

    /// Attempts lost to dead workers or errors before a run fails
    #[arg(long, env = "MAX_ATTEMPTS", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub max_attempts: i32,

    /// Tools, separated by commas, whose calls wait until the user approves them, such as delete_task
    #[arg(long, env = "REQUIRE_APPROVAL", value_delimiter = ',')]
    pub require_approval: Vec<String>,

    /// Time that the events of a run are kept after its end, for clients that resume
    #[arg(long, env = "KEEP_EVENTS", default_value = "24h", value_parser = retention)]
    pub keep_events: Duration,

    /// Time that idempotency keys are kept after the end of their run
    #[arg(long, env = "KEEP_KEYS", default_value = "24h", value_parser = retention)]
    pub keep_keys: Duration,

    /// Time that the records of calls from outside (MCP) are kept
    #[arg(long, env = "KEEP_CALLS", default_value = "30d", value_parser = retention)]
    pub keep_calls: Duration,

    /// Time that jobs which nobody could read are kept for an operator to see
    #[arg(long, env = "KEEP_JOBS", default_value = "1h", value_parser = retention)]
    pub keep_jobs: Duration,

    /// Port for /metrics, /healthz and /wake of this worker, on all IPv4 addresses [default: none]
    #[arg(long, env = "METRICS_PORT")]
    pub metrics_port: Option<u16>,

    /// Time that runs get to finish after SIGTERM; the rest goes back to the queue
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// The items of a list, without what an empty variable or a trailing comma leaves behind.
fn items(list: &[String]) -> impl Iterator<Item = &str> {
    let items = list.iter().map(|item| item.trim());
    items.filter(|item| !item.is_empty())
}

/// Any provider of Chat Completions.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelConfig {
    /// The provider's key
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<SecretString>,

    /// The provider's base URL [default: OpenAI's]
    #[arg(long, env = "OPENAI_BASE_URL", hide_env_values = true)]
    openai_base_url: Option<String>,

    /// The model's name
    #[arg(long, env = "OPENAI_MODEL")]
    openai_model: Option<String>,

    /// Whose habits the provider has, by the name of a preset, where its URL does not tell: openai, gemini, anthropic, azure,
    /// azure-deployments, openrouter, ollama, vllm, llama.cpp, … [default: by the host of OPENAI_BASE_URL]
    #[arg(long, env = "OPENAI_PROVIDER")]
    openai_provider: Option<String>,

    /// The api-version of requests to deployments of Azure [default: that of the preset]
    #[arg(long, env = "OPENAI_API_VERSION")]
    openai_api_version: Option<String>,

    /// How much the model reasons before it answers: none, minimal, low, medium, high, xhigh or max [default: not sent, but for
    /// models that are known to need it]
    #[arg(long, env = "OPENAI_REASONING_EFFORT")]
    openai_reasoning_effort: Option<String>,

    /// A key for Gemini; alone it selects Gemini's endpoint
    #[arg(long, env = "GEMINI_API_KEY", hide_env_values = true)]
    gemini_api_key: Option<SecretString>,

    /// Models to ask, in this order, when the model has failed for good or as often as is sensible; separated by commas, each a name
    /// at the same provider, or NAME@PRESET, or NAME@URL
    #[arg(long, env = "OPENAI_FALLBACK_MODELS", hide_env_values = true)]
    openai_fallback_models: Option<String>,

    /// The keys of those of them that name a provider, separated by commas, in their order; an empty one: none, and for Gemini GEMINI_API_KEY
    #[arg(long, env = "OPENAI_FALLBACK_API_KEYS", hide_env_values = true)]
    openai_fallback_api_keys: Option<SecretString>,

    /// Time until a model's first word, reasoning that it shows, or call [default: half of RUN_TIMEOUT]
    #[arg(long, env = "MODEL_FIRST_TOKEN_TIMEOUT", value_parser = duration)]
    model_first_token_timeout: Option<Duration>,
}

impl ModelConfig {
    /// A provider at this base URL.
    pub fn at(base_url: &str, api_key: &str, model: &str) -> Self {
        Self {
            openai_api_key: Some(api_key.into()),
            openai_base_url: Some(base_url.to_owned()),
            openai_model: Some(model.to_owned()),
            openai_provider: None,
            openai_api_version: None,
            openai_reasoning_effort: None,
            gemini_api_key: None,
            openai_fallback_models: None,
            openai_fallback_api_keys: None,
            model_first_token_timeout: None,
        }
    }

    /// The same provider with another model, which the configured effort is not for.
    #[must_use]
    pub fn with_model(&self, model: &str) -> Self {
        Self {
            openai_model: Some(model.to_owned()),
            openai_reasoning_effort: None,
            ..self.clone()
        }
    }

    /// What is known of the provider; none if the name is nobody's.
    fn preset(&self) -> Option<&'static Preset> {
        if let Some(name) = given(&self.openai_provider) {
            return Preset::named(name);
        }
        let has_key = is_set(&self.openai_api_key);
        match self.given_url() {
            Some(url) => Some(Preset::at(url)),
            None if is_set(&self.gemini_api_key) && !has_key => Preset::named("gemini"),
            None => Preset::named("openai"),
        }
    }

    fn given_url(&self) -> Option<&str> {
        given(&self.openai_base_url)
    }

    /// Where requests go, without a trailing slash; empty if it is not known.
    pub fn base_url(&self) -> &str {
        let default = self.preset().and_then(|preset| preset.base_url.as_deref());
        let url = self.given_url().or(default).unwrap_or_default();
        url.trim_end_matches('/')
    }

    /// The key that requests carry; empty for a provider that wants none.
    pub fn api_key(&self) -> &str {
        let is_gemini = self.preset().is_some_and(|preset| preset.name == "gemini");
        match is_gemini && !is_set(&self.openai_api_key) {
            true => exposed(&self.gemini_api_key),
            false => exposed(&self.openai_api_key),
        }
    }

    /// The model that is asked for; empty if it is not known.
    pub fn model(&self) -> &str {
        let default = || self.preset()?.default_model.as_deref();
        let deployment = || self.preset()?.deployment(self.given_url()?);
        given(&self.openai_model)
            .or_else(default)
            .or_else(deployment)
            .unwrap_or_default()
    }

    /// The effort that is asked for, if it is configured.
    pub fn reasoning_effort(&self) -> Option<ReasoningEffort> {
        ReasoningEffort::from_str(given(&self.openai_reasoning_effort)?, true).ok()
    }

    /// How long a model may take to its first token, of a run that may take so long.
    pub(crate) fn first_token_timeout(&self, run_timeout: Duration) -> Duration {
        self.model_first_token_timeout.unwrap_or(run_timeout / 2)
    }

    fn check(&self) -> Result<(), Invalid> {
        self.endpoints().map(|_| ())
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn exposed(secret: &Option<SecretString>) -> &str {
    secret.as_ref().map_or("", |secret| secret.expose_secret())
}

fn is_set(secret: &Option<SecretString>) -> bool {
    !exposed(secret).is_empty()
}

impl Config {
    /// Checks what the parser could not.
    ///
    /// # Errors
    /// Names the variable.
    pub fn check(&self) -> Result<(), Invalid> {
        self.database.check()?;
        self.trace.check()?;
        for tool in self.gated_tools() {
            if !errand_tools::NAMES.contains(&tool.as_str()) {
                return Err(Invalid::new(
                    "REQUIRE_APPROVAL",
                    format!(
                        "expected names of tools, separated by commas: {}",
                        errand_tools::NAMES.join(", ")
                    ),
                ));
            }
        }
        Instructions::load(&self.instructions)?;
        Guardrails::read(&self.guardrails).map_err(|why| Invalid::new("GUARDRAILS", why))?;
        self.model.check()
    }

    /// The tools that need approval.
    pub(crate) fn gated_tools(&self) -> Vec<String> {
        items(&self.require_approval).map(str::to_owned).collect()
    }

    /// What is checked of what is said. The check at the start has shown that it can be read.
    pub(crate) fn guardrails(&self) -> Guardrails {
        Guardrails::read(&self.guardrails).unwrap_or_default()
    }

    /// The models that a client may ask for.
    pub(crate) fn allowed_models(&self) -> impl Iterator<Item = &str> {
        items(&self.openai_allowed_models)
    }
}
