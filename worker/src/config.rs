//! The worker's configuration.

use std::time::Duration;

use clap::ValueEnum;
use errand_server::{
    config::{DatabaseConfig, Invalid, LogConfig, duration, retention},
    trace::TraceConfig,
};
use secrecy::{ExposeSecret, SecretString};

/// Earlier turns that are read at most; the token budget is usually tighter.
pub(crate) const MAX_HISTORY_TURNS: i64 = 40;

/// Gemini's endpoint that speaks Chat Completions.
const GEMINI_BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta/openai";
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The default models, chosen on 26 November 2026: small ones with tools, which the providers name as the replacements of
/// `gemini-2.5-flash` (ends on 1 December 2026) and `gpt-4.1-mini` (ends on 14 January 2027).
const GEMINI_MODEL: &str = "gemini-3.5-flash-lite";
const OPENAI_MODEL: &str = "gpt-6-luna";

/// Takes runs from the queue, runs the agent and its tools, commits the replies
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "errand-worker", version)]
pub struct Config {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Where traces go.
    #[command(flatten)]
    pub trace: TraceConfig,

    /// Which model answers.
    #[command(flatten)]
    pub model: ModelConfig,

    /// Runs at work at the same time in this process
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub worker_concurrency: u16,

    /// Time one attempt at a run may take
    #[arg(long, env = "RUN_TIMEOUT", default_value = "120s", value_parser = duration)]
    pub run_timeout: Duration,

    /// Answers the model may give in one run
    #[arg(long, env = "MAX_STEPS", default_value_t = 16, value_parser = clap::value_parser!(i32).range(1..=200))]
    pub max_steps: i32,

    /// Tokens of earlier turns that the model is shown (estimated at 4 bytes a token)
    #[arg(long, env = "HISTORY_TOKENS", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub history_tokens: u32,

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

    /// Port for /metrics and /healthz of this worker, on all IPv4 addresses [default: none]
    #[arg(long, env = "METRICS_PORT")]
    pub metrics_port: Option<u16>,

    /// Time that runs get to finish after SIGTERM; the rest goes back to the queue
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// `reasoning_effort` of a request, as OpenAI and Gemini have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    /// No reasoning at all.
    None,
    /// As little as the model can.
    Minimal,
    /// Little.
    Low,
    /// The default of most models that reason.
    Medium,
    /// Much.
    High,
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

    /// How much the model reasons before it answers: none, minimal, low, medium or high [default: not sent, but for models that
    /// are known to need it]
    #[arg(long, env = "OPENAI_REASONING_EFFORT")]
    openai_reasoning_effort: Option<String>,

    /// A key for Gemini; alone it selects Gemini's endpoint
    #[arg(long, env = "GEMINI_API_KEY", hide_env_values = true)]
    gemini_api_key: Option<SecretString>,
}

impl ModelConfig {
    /// A provider at this base URL.
    pub fn at(base_url: &str, api_key: &str, model: &str) -> Self {
        Self {
            openai_api_key: Some(api_key.into()),
            openai_base_url: Some(base_url.to_owned()),
            openai_model: Some(model.to_owned()),
            openai_reasoning_effort: None,
            gemini_api_key: None,
        }
    }

    fn selects_gemini(&self) -> bool {
        is_set(&self.gemini_api_key) && !is_set(&self.openai_api_key) && self.given_url().is_none()
    }

    fn given_url(&self) -> Option<&str> {
        self.openai_base_url
            .as_deref()
            .filter(|url| !url.is_empty())
    }

    /// Where requests go, without a trailing slash.
    pub fn base_url(&self) -> &str {
        let default = if self.selects_gemini() {
            GEMINI_BASE_URL
        } else {
            OPENAI_BASE_URL
        };
        self.given_url().unwrap_or(default).trim_end_matches('/')
    }

    /// The key that requests carry; empty for a provider that wants none.
    pub fn api_key(&self) -> &str {
        let key = if self.selects_gemini() {
            &self.gemini_api_key
        } else {
            &self.openai_api_key
        };
        key.as_ref().map_or("", |key| key.expose_secret())
    }

    /// The model that is asked for.
    pub fn model(&self) -> &str {
        let default = if self.selects_gemini() {
            GEMINI_MODEL
        } else {
            OPENAI_MODEL
        };
        self.openai_model
            .as_deref()
            .filter(|model| !model.is_empty())
            .unwrap_or(default)
    }

    /// The effort that is asked for, if it is configured.
    pub fn reasoning_effort(&self) -> Option<ReasoningEffort> {
        ReasoningEffort::from_str(self.given_effort()?, true).ok()
    }

    fn given_effort(&self) -> Option<&str> {
        let effort = self.openai_reasoning_effort.as_deref();
        effort.filter(|effort| !effort.is_empty())
    }

    fn check(&self) -> Result<(), Invalid> {
        let url = self.base_url();
        match url::Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {}
            _ => {
                return Err(Invalid::new(
                    "OPENAI_BASE_URL",
                    "expected an http or https URL",
                ));
            }
        }
        if self.given_effort().is_some() && self.reasoning_effort().is_none() {
            return Err(Invalid::new(
                "OPENAI_REASONING_EFFORT",
                "expected none, minimal, low, medium or high",
            ));
        }
        if self.given_url().is_none() && self.api_key().is_empty() {
            return Err(Invalid::new(
                "OPENAI_API_KEY",
                "missing; set it, or GEMINI_API_KEY, or OPENAI_BASE_URL for a provider that wants no key",
            ));
        }
        Ok(())
    }
}

fn is_set(secret: &Option<SecretString>) -> bool {
    secret
        .as_ref()
        .is_some_and(|secret| !secret.expose_secret().is_empty())
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
        self.model.check()
    }

    /// The tools that need approval.
    pub(crate) fn gated_tools(&self) -> Vec<String> {
        let names = self.require_approval.iter().map(|name| name.trim());
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }
}
