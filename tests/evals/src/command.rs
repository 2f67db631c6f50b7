//! The command line.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use errand_server::{
    config::{self, LogConfig, LogFormat, UserIds},
    telemetry,
};
use errand_worker::config::ModelConfig;

use crate::{
    cases::Cases,
    compare::Comparison,
    models::Choice,
    page, prices,
    recording::Recording,
    report::{CaseResult, Options, Report},
    system::{self, Database, System},
    table,
};

/// Plays natural requests against a model, through the whole system, and judges what became of the tasks
#[derive(Debug, Parser)]
#[command(name = "cargo evals", args_conflicts_with_subcommands = true)]
struct Config {
    #[command(subcommand)]
    command: Option<Command>,

    /// The model, as the worker is configured for it
    #[command(flatten)]
    model: ModelConfig,

    /// Who answers in place of a provider
    #[arg(long, value_enum, conflicts_with = "replay")]
    play: Option<Player>,

    /// Play what was recorded in this file
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Record in this file what the model answers
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Only these families, separated by commas
    #[arg(long, value_delimiter = ',')]
    family: Vec<String>,

    /// Only cases with this in their names
    #[arg(long)]
    case: Option<String>,

    /// How often each case is played; pass^4 needs four times
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: u16,

    /// Cases at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,

    /// Keep the result in this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the result as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// The cases [default: those of the clone]
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,

    /// Prices of models [default: prices.toml of the clone]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,

    /// What to log
    #[arg(long, env = "RUST_LOG", default_value = "error")]
    rust_log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two results beside each other; ends with 1 if the second is worse
    Compare {
        before: PathBuf,
        after: PathBuf,
        /// How much of the share of right attempts may be lost, in all
        #[arg(long, default_value_t = 0.0)]
        tolerance: f64,
        /// Write the comparison as a page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Make the page of a result that was kept
    Page { result: PathBuf, html: PathBuf },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Player {
    /// The stand-in of `cargo dev`
    StandIn,
    /// The solutions of the cases
    Solutions,
    /// Says that all is done, and does nothing
    Idle,
    /// Acts whatever is said
    Rash,
    /// Errs in most cases
    Careless,
}

/// Plays, or does what the command says. 1: the second of two results is worse. 2: it could not be done.
pub async fn main() -> ExitCode {
    let config = match config::load(Config::try_parse, |_| Ok(())) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let log = LogConfig {
        log_format: LogFormat::Text,
        rust_log: config.rust_log.clone(),
        log_user_ids: UserIds::Plain,
    };
    if let Err(invalid) = telemetry::start(&log) {
        return config::refuse(&invalid);
    }
    match Box::pin(run(&config)).await {
        Ok(code) => code,
        Err(error) => {
            table::complain(&error);
            ExitCode::from(2)
        }
    }
}

async fn run(config: &Config) -> Result<ExitCode> {
    match &config.command {
        Some(Command::Compare {
            before,
            after,
            tolerance,
            html,
        }) => {
            let (before, after) = (Report::read(before)?, Report::read(after)?);
            let comparison = Comparison::of(&before, &after);
            table::compared(&comparison);
            if let Some(path) = html {
                page::write(path, &page::of_two(&before, &after))?;
            }
            Ok(if comparison.is_worse(*tolerance) {
                ExitCode::from(1)
            } else {
                ExitCode::SUCCESS
            })
        }
        Some(Command::Page { result, html }) => {
            page::write(html, &page::of(&Report::read(result)?))?;
            Ok(ExitCode::SUCCESS)
        }
        None => Box::pin(play(config)).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn play(config: &Config) -> Result<()> {
    let cases = chosen(config)?;
    let choice = choice(config)?;
    let file = config.prices.clone();
    let file =
        file.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("prices.toml"));
    let options = Options {
        repeat: config.repeat.into(),
        parallel: config.parallel.into(),
        price: prices::read(&file)?.get(&choice.name()).copied(),
    };
    let postgres = system::private().await?;
    let system = System::start(&Database::of(&postgres)?, &choice).await?;
    let told = |result: &CaseResult| table::told(result);
    let (report, recording) =
        Box::pin(Report::make(&system, &cases, &choice, options, told)).await?;
    system.stop().await?;
    postgres.stop().await?;
    table::report(&report);
    if let Some(path) = &config.json {
        report.write(path)?;
    }
    if let Some(path) = &config.html {
        page::write(path, &page::of(&report))?;
    }
    config
        .record
        .as_deref()
        .map_or(Ok(()), |path| recording.write(path))
}

fn chosen(config: &Config) -> Result<Cases> {
    let mut cases = Cases::read(&config.cases.clone().unwrap_or_else(Cases::folder))?;
    for family in &config.family {
        let known: Vec<&String> = cases.families.keys().collect();
        ensure!(
            cases.families.contains_key(family),
            "no family {family:?}; there are {known:?}"
        );
    }
    cases.all.retain(|case| {
        let is_named = config
            .case
            .as_ref()
            .is_none_or(|name| case.name.contains(name));
        is_named && (config.family.is_empty() || config.family.contains(&case.family))
    });
    ensure!(!cases.all.is_empty(), "no case has this name");
    Ok(cases)
}

fn choice(config: &Config) -> Result<Choice> {
    if let Some(path) = &config.replay {
        return Ok(Choice::Recorded(Arc::new(Recording::read(path)?)));
    }
    Ok(match config.play {
        Some(Player::StandIn) => Choice::StandIn,
        Some(Player::Solutions) => Choice::Solutions,
        Some(Player::Idle) => Choice::Idle,
        Some(Player::Rash) => Choice::Rash,
        Some(Player::Careless) => Choice::Careless,
        None => {
            system::check(&config.model)?;
            Choice::Provider(Box::new(config.model.clone()))
        }
    })
}
