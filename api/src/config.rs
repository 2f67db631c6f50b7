//! What serving the API is configured by. The other commands are in `commands`.

use std::net::{IpAddr, Ipv4Addr};

use clap::{Args, FromArgMatches};
use errand_core::{
    guardrails::Guardrails,
    prices::{self, Prices},
};
use errand_server::{
    config::{
        AuthConfig, DatabaseConfig, Invalid, LogConfig, OriginsConfig, SleepConfig, WakeConfig,
    },
    trace::TraceConfig,
};
use errand_store::lifecycle::{self, Bounds};
use errand_tools::McpConfig;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::admin::SHORTEST_TOKEN;

mod commands;

pub use commands::{
    ChangeConfig, ChangeRunConfig, Command, DrainConfig, MigrateConfig, QueueConfig, RunConfig,
    TimesConfig,
};

/// What serving needs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Whether it may sleep.
    #[command(flatten)]
    pub sleep: SleepConfig,

    /// Who is to be woken.
    #[command(flatten)]
    pub wake: WakeConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Where traces go.
    #[command(flatten)]
    pub trace: TraceConfig,

    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Address to listen on
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub host: IpAddr,

    /// Who the users are.
    #[command(flatten)]
    pub auth: AuthConfig,

    /// Whose pages may use the API.
    #[command(flatten)]
    pub origins: OriginsConfig,

    /// Proxies of ours in front, each appending to X-Forwarded-For whom it heard from; 0: clients connect directly
    #[arg(long, env = "TRUSTED_PROXIES", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub trusted_proxies: u8,

    /// Opens the operator's page at /admin to whoever has it: 16 characters at least; not set: there is no such page
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<SecretString>,

    /// What one user may ask for.
    #[command(flatten)]
    pub limits: Limits,

    /// What users may say, and which models they may name.
    #[command(flatten)]
    pub policy: PolicyConfig,

    /// A file with the prices of models, by which usage is told in dollars, too [default: none]
    #[arg(long, env = "PRICES_FILE")]
    pub prices_file: Option<String>,

    /// Where MCP is for clients from outside, and how much they may ask of it.
    #[command(flatten)]
    pub mcp: McpConfig,
}

/// What users may say, and which models they may name.
#[derive(Debug, Clone, Default, Args)]
pub struct PolicyConfig {
    /// Models, separated by commas, that a client may ask for in place of OPENAI_MODEL; the same in errand-api and errand-worker
    #[arg(long, env = "OPENAI_ALLOWED_MODELS", value_delimiter = ',')]
    openai_allowed_models: Vec<String>,

    /// Checks of what people and the model say, separated by commas; the same in errand-api and errand-worker [default: none]
    #[arg(long, env = "GUARDRAILS", value_delimiter = ',')]
    guardrails: Vec<String>,
}

impl PolicyConfig {
    /// The models that may be named.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        let models = self.openai_allowed_models.iter().map(|model| model.trim());
        models.filter(|model| !model.is_empty())
    }

    /// # Errors
    /// There is no guardrail of a name.
    pub(crate) fn guardrails(&self) -> Result<Guardrails, Invalid> {
        Guardrails::read(&self.guardrails).map_err(|why| Invalid::new("GUARDRAILS", why))
    }
}

/// What one user may ask for. Counted in the database, so it holds across processes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Limits {
    /// Messages a user may send in a minute; 0: any number
    #[arg(long, env = "RATE_RUNS_PER_MINUTE", default_value_t = 60)]
    pub rate_runs_per_minute: u32,

    /// Runs of a user that may be under way or waiting; 0: any number
    #[arg(long, env = "MAX_ACTIVE_RUNS", default_value_t = 10)]
    pub max_active_runs: u32,

    /// Runs of a user that may wait to be started; 0: any number
    #[arg(long, env = "MAX_QUEUED_RUNS", default_value_t = 0)]
    pub max_queued_runs: u32,

    /// Tokens that the model may read and write for a user in a day (UTC); a run that is under way is not cut off. 0: any number
    #[arg(long, env = "TOKENS_PER_DAY", default_value_t = 0)]
    pub tokens_per_day: u64,

    /// Runs of a user that may be in the job queue or at work at the same time
    #[arg(long, env = "MAX_READY_RUNS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_ready_runs: u16,
}

impl Limits {
    /// How far usage has to be counted.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            active: i64::from(self.max_active_runs),
            queued: i64::from(self.max_queued_runs),
            per_minute: i64::from(self.rate_runs_per_minute),
        }
    }

    /// What an acceptance is bounded by.
    pub(crate) fn of_acceptance(&self) -> lifecycle::Limits {
        lifecycle::Limits {
            bounds: self.bounds(),
            tokens_per_day: i64::try_from(self.tokens_per_day).unwrap_or(i64::MAX),
            max_ready: i64::from(self.max_ready_runs),
        }
    }
}

impl Config {
    /// A configuration from arguments; what they leave out comes from the environment.
    ///
    /// # Errors
    /// As on the command line.
    pub fn from_arguments<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::augment_args(clap::Command::new("errand-api"))
            .try_get_matches_from(std::iter::once("errand-api").chain(arguments))?;
        let config = Self::from_arg_matches(&matches)?;
        config.check().map_err(|invalid| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, invalid)
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Invalid> {
        self.database.check()?;
        self.trace.check()?;
        self.auth.check()?;
        self.mcp.check()?;
        self.policy.guardrails()?;
        self.prices()?;
        if let Some(token) = self.admin_token()
            && token.expose_secret().chars().count() < SHORTEST_TOKEN
        {
            let expected = format!("expected at least {SHORTEST_TOKEN} characters");
            return Err(Invalid::new("ADMIN_TOKEN", expected));
        }
        self.wake.check()?;
        self.origins.check()
    }

    /// The operator's token, if there is one.
    pub(crate) fn admin_token(&self) -> Option<&SecretString> {
        let token = self.admin_token.as_ref();
        token.filter(|token| !token.expose_secret().is_empty())
    }

    /// The prices of models; none without a file.
    ///
    /// # Errors
    /// The file cannot be read, or is no table of prices.
    pub(crate) fn prices(&self) -> Result<Prices, Invalid> {
        let file = self.prices_file.as_deref();
        let Some(file) = file.filter(|file| !file.is_empty()) else {
            return Ok(Prices::default());
        };
        let refuse = |why: String| Invalid::new("PRICES_FILE", format!("{file}: {why}"));
        let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
        prices::parse(&text).map_err(refuse)
    }

    /// The origins as headers carry them.
    pub(crate) fn allowed_origins(&self) -> Vec<HeaderValue> {
        let given = self.origins.given();
        given
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
            .collect()
    }
}
