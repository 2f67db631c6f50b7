//! The commands of `errand-api`: which there are, and what each of them needs.

use std::{process::ExitCode, time::Duration};

use clap::{Args, FromArgMatches};
use errand_server::config::{self, DatabaseConfig, Invalid, LogConfig, WakeConfig};

use super::Config;

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
    Pause(ChangeConfig),
    /// Have workers take runs again, and end.
    Resume(ChangeConfig),
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
        let pause = ChangeConfig::augment_args(clap::Command::new("pause"));
        let resume = ChangeConfig::augment_args(clap::Command::new("resume"));
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
            Some(("pause", pause)) => ChangeConfig::from_arg_matches(pause).map(Self::Pause),
            Some(("resume", resume)) => ChangeConfig::from_arg_matches(resume).map(Self::Resume),
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
            Self::Requeue(config) | Self::Cancel(config) => config.change.check(),
            Self::Queue(config) => config.database.check(),
            Self::Run(config) => config.database.check(),
            Self::Pause(config) | Self::Resume(config) => config.check(),
            Self::Drain(config) => config.change.check(),
            Self::Times(config) => config.check(),
        }
    }

    /// How to log.
    pub fn log(&self) -> &LogConfig {
        match self {
            Self::Serve(config) => &config.log,
            Self::Migrate(config) => &config.log,
            Self::Requeue(config) | Self::Cancel(config) => &config.change.log,
            Self::Queue(config) => &config.log,
            Self::Run(config) => &config.log,
            Self::Pause(config) | Self::Resume(config) => &config.log,
            Self::Drain(config) => &config.change.log,
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

/// What a command that changes something needs; `errand-api pause` and `errand-api resume` need no more.
#[derive(Debug, Clone, Args)]
pub struct ChangeConfig {
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

impl ChangeConfig {
    fn check(&self) -> Result<(), Invalid> {
        self.database.check()?;
        self.wake.check()
    }
}

/// What `errand-api requeue` and `errand-api cancel` need.
#[derive(Debug, Clone, Args)]
pub struct ChangeRunConfig {
    /// What each change needs.
    #[command(flatten)]
    pub change: ChangeConfig,

    /// Runs of one user that may be in the job queue or at work at the same time
    #[arg(long, env = "MAX_READY_RUNS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_ready_runs: u16,

    /// The run
    pub run_id: uuid::Uuid,
}

/// What `errand-api drain` needs.
#[derive(Debug, Clone, Args)]
pub struct DrainConfig {
    /// What each change needs.
    #[command(flatten)]
    pub change: ChangeConfig,

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
