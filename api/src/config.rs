//! The API's configuration, and its commands.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, FromArgMatches};
use errand_core::{
    guardrails::Guardrails,
    prices::{self, Prices},
};
use errand_server::{
    config::{
        self, AuthConfig, DatabaseConfig, Invalid, LogConfig, OriginsConfig, SleepConfig,
        WakeConfig,
    },
    trace::TraceConfig,
};
use errand_store::lifecycle::{self, Bounds};
use errand_tools::McpConfig;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::admin::SHORTEST_TOKEN;

/// What the process is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve the API.
    Serve(Box<Config>),
    /// Migrate the database and end.
    Migrate(MigrateConfig),
    /// Give a failed run another chance and end.
    Requeue(ChangeRunConfig),
    /// Print what the queue is like.
    Queue(QueueConfig),
    /// Print what became of a run.
    Run(RunConfig),
    /// Cancel a run and end.
    Cancel(ChangeRunConfig),
    /// Have no worker take any run, and end.
    Pause(PauseConfig),
    /// Have workers take runs again, and end.
    Resume(PauseConfig),
    /// Have a worker take no more runs, and end.
    Drain(DrainConfig),
    /// Print where a turn's time goes.
    Times(TimesConfig),
}

impl Command {
    /// Reads the environment and the command line.
    ///
    /// # Errors
    /// The exit code, after the reason was said.
    pub fn load() -> Result<Self, ExitCode> {
        config::load(Self::parse, Self::check)
    }

    /// Put together by hand: what serving needs must not be asked of `migrate`.
    fn parse() -> Result<Self, clap::Error> {
        let migrate = MigrateConfig::augment_args(clap::Command::new("migrate"));
        let requeue = ChangeRunConfig::augment_args(clap::Command::new("requeue"));
        let queue = QueueConfig::augment_args(clap::Command::new("queue"));
        let run = RunConfig::augment_args(clap::Command::new("run"));
        let cancel = ChangeRunConfig::augment_args(clap::Command::new("cancel"));
        let pause = PauseConfig::augment_args(clap::Command::new("pause"));
        let resume = PauseConfig::augment_args(clap::Command::new("resume"));
        let drain = DrainConfig::augment_args(clap::Command::new("drain"));
        let times = TimesConfig::augment_args(clap::Command::new("times"));
        let matches = Config::augment_args(clap::Command::new("errand-api"))
            .version(env!("CARGO_PKG_VERSION"))
            .about("Accepts messages, answers them when their run has ended, serves what users may read")
            .subcommand(migrate.about("Brings the database to this version; safe to run twice"))
            .subcommand(requeue.about("Gives a failed run another chance; what it has done is not repeated"))
            .subcommand(queue.about("Prints what waits, what is at work and with whom, and what failed lately"))
            .subcommand(run.about("Prints what became of a run: attempts, steps, calls of tools, times"))
            .subcommand(cancel.about("Cancels a run, as its user could"))
            .subcommand(pause.about("Has no worker take any run, until `resume`; what is at work goes on, and messages are accepted"))
            .subcommand(resume.about("Has workers take runs again"))
            .subcommand(drain.about("Has a worker take no more runs; it ends when those that it has are over"))
            .subcommand(times.about("Prints where a turn's time goes, from the metrics of processes that run"))
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
            .try_get_matches()?;
        match matches.subcommand() {
            Some(("requeue", requeue)) => {
                ChangeRunConfig::from_arg_matches(requeue).map(Self::Requeue)
            }
            Some(("queue", queue)) => QueueConfig::from_arg_matches(queue).map(Self::Queue),
            Some(("run", run)) => RunConfig::from_arg_matches(run).map(Self::Run),
            Some(("cancel", cancel)) => ChangeRunConfig::from_arg_matches(cancel).map(Self::Cancel),
            Some(("pause", pause)) => PauseConfig::from_arg_matches(pause).map(Self::Pause),
            Some(("resume", resume)) => PauseConfig::from_arg_matches(resume).map(Self::Resume),
            Some(("drain", drain)) => DrainConfig::from_arg_matches(drain).map(Self::Drain),
            Some(("times", times)) => TimesConfig::from_arg_matches(times).map(Self::Times),
            Some((_, migrate)) => MigrateConfig::from_arg_matches(migrate).map(Self::Migrate),
            None => Config::from_arg_matches(&matches).map(|config| Self::Serve(Box::new(config))),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Serve(config) => config.check(),
            Self::Migrate(config) => config.database.check(),
            Self::Requeue(config) | Self::Cancel(config) => {
                config.database.check()?;
                config.wake.check()
            }
            Self::Queue(config) => config.database.check(),
            Self::Run(config) => config.database.check(),
            Self::Pause(config) | Self::Resume(config) => {
                config.database.check()?;
                config.wake.check()
            }
            Self::Drain(config) => {
                config.database.check()?;
                config.wake.check()
            }
            Self::Times(config) => config.check(),
        }
    }

    /// How to log.
    pub fn log(&self) -> &LogConfig {
        match self {
            Self::Serve(config) => &config.log,
            Self::Migrate(config) => &config.log,
            Self::Requeue(config) | Self::Cancel(config) => &config.log,
            Self::Queue(config) => &config.log,
            Self::Run(config) => &config.log,
            Self::Pause(config) | Self::Resume(config) => &config.log,
            Self::Drain(config) => &config.log,
            Self::Times(config) => &config.log,
        }
    }
}

/// What `errand-api migrate` needs.
#[derive(Debug, Clone, Args)]
pub struct MigrateConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What `errand-api requeue` and `errand-api cancel` need.
#[derive(Debug, Clone, Args)]
pub struct ChangeRunConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Who is to be woken.
    #[command(flatten)]
    pub wake: WakeConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Runs of one user that may be in the job queue or at work at the same time
    #[arg(long, env = "MAX_READY_RUNS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_ready_runs: u16,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// The run
    pub run_id: uuid::Uuid,
}

/// What `errand-api pause` and `errand-api resume` need.
#[derive(Debug, Clone, Args)]
pub struct PauseConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Who is to be woken.
    #[command(flatten)]
    pub wake: WakeConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `errand-api drain` needs.
#[derive(Debug, Clone, Args)]
pub struct DrainConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Who is to be woken.
    #[command(flatten)]
    pub wake: WakeConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// The worker, by its name as `queue` prints it
    pub worker: String,
}

/// What `errand-api queue` needs.
#[derive(Debug, Clone, Args)]
pub struct QueueConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Print JSON, one object a look
    #[arg(long)]
    pub json: bool,

    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// What `errand-api run` needs.
#[derive(Debug, Clone, Args)]
pub struct RunConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// The run
    pub run_id: uuid::Uuid,
}

/// What `errand-api times` needs.
#[derive(Debug, Clone, Args)]
pub struct TimesConfig {
    /// How to log.
    #[command(flatten)]
    pub log: LogConfig,

    /// Print JSON; times are in seconds
    #[arg(long)]
    pub json: bool,

    /// Look twice, so far apart, and tell of the turns in between [default: those since the processes were started]
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    pub over: Option<Duration>,

    /// The metrics of each process: http://api:8080/metrics http://worker:9090/metrics (METRICS_PORT)
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
}

impl TimesConfig {
    fn check(&self) -> Result<(), Invalid> {
        for url in &self.urls {
            config::http_url("URL", url)?;
        }
        Ok(())
    }
}

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
