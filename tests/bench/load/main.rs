//! Load on the system that ships: how many turns a second, how long they take, what they use, and whether each did what its client
//! was told.
//!
//! `cargo bench-turns`. API and worker run as processes with a private Postgres and a model that
//! answers at once; everything shares this machine, the clients included. Exits with 3 if the database does not hold what it should.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod budget;
mod case;
mod ceiling;
mod check;
mod compare;
mod costs;
mod figures;
mod peer;
mod print;
mod remote;
mod rest;
mod run;
mod system;
mod table;
mod turn;
mod used;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use case::{Case, Mix, TURNS, USERS};
use clap::{Args, Parser, Subcommand};
use errand_bench::{
    gauge,
    model::{Pace, PacedModel},
};
use figures::Report;
use run::Loop;
use system::{Setting, System};
use tokio::{io::AsyncReadExt, runtime};
use turn::Transport;

/// The database does not hold what the clients were told, or a bound is broken.
const WRONG: u8 = 3;

#[derive(Parser)]
#[command(
    about = "Puts load on the programs that ship, and checks what becomes of each turn",
    args_conflicts_with_subcommands = true
)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: LoadOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Prints what has changed from one result to another
    Compare {
        /// Written with --json
        before: PathBuf,
        after: PathBuf,
    },
    /// Prints the table of the README: figures for more and more turns in flight
    Table(Box<table::TableOptions>),
    /// The turns that bare SQL does
    Ceiling {
        #[arg(long, value_delimiter = ',', default_value = "1,4,8,16,32")]
        clients: Vec<usize>,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// An empty database, instead of one on a server of its own
        #[arg(long)]
        database_url: Option<String>,
    },
    /// Fails if a turn with a tool call, or programs at rest, ask more of Postgres than they may
    Budget,
    /// What programs ask of Postgres while nobody wants anything: calls a minute by statement
    Rest(rest::RestOptions),
    /// What traces, scrapes and the operator's page cost: turns a second with and without them
    Costs(costs::CostsOptions),
    /// Is the model, until its standard input ends
    #[command(hide = true)]
    Model,
    /// Is a collector of traces, until its standard input ends
    #[command(hide = true)]
    Collector,
}

#[derive(Args)]
struct LoadOptions {
    /// Turns in flight, each followed by the next
    #[arg(long, default_value_t = 8, conflicts_with = "rate")]
    in_flight: usize,
    /// Instead: turns that begin in a second, whatever becomes of them
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, value_enum, default_value_t = Transport::Post)]
    transport: Transport,
    /// What is said, with weights, such as add=2,list,text
    #[arg(long, default_value = "add,list,text")]
    mix: Mix,
    /// Users; at least as many as turns in flight, if it is not given
    #[arg(long)]
    users: Option<usize>,
    /// Turns of a conversation
    #[arg(long, default_value_t = TURNS)]
    turns: u32,
    /// Seconds that count
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds before them
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Milliseconds until the model's first token
    #[arg(long, default_value_t = 0)]
    first_token: u64,
    /// Milliseconds between two tokens
    #[arg(long, default_value_t = 0)]
    token: u64,
    /// Tokens of a reply
    #[arg(long, default_value_t = Pace::default().tokens, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    #[arg(long, default_value_t = 1)]
    apis: usize,
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Do not count round trips and statements afterwards
    #[arg(long)]
    no_count: bool,
    /// Do not measure the same turn as bare SQL afterwards
    #[arg(long)]
    no_ceiling: bool,
    /// Writes the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    remote: remote::Remote,
}

impl LoadOptions {
    fn case(&self) -> Case {
        let how = self.rate.map_or(Loop::Closed(self.in_flight), Loop::Open);
        let mut case = Case::new(how, Duration::from_secs(self.seconds));
        case.transport = self.transport;
        case.load.mix.clone_from(&self.mix.0);
        case.load.warm = Duration::from_secs(self.warm_up);
        case.turns = self.turns.max(1);
        case.users = self.users.unwrap_or(case.users).max(1);
        case.at_pace(Pace {
            tokens: self.tokens,
            gap: Duration::from_millis(self.token),
            first: Duration::from_millis(self.first_token),
        })
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let alone = || runtime::Builder::new_current_thread().enable_all().build();
    match options.command {
        Some(Command::Model) => return alone()?.block_on(be_the_model()),
        Some(Command::Collector) => return alone()?.block_on(costs::be_a_collector()),
        _ => {}
    }
    let runtime = runtime::Runtime::new()?;
    let holds = match options.command {
        Some(Command::Model | Command::Collector) => true,
        Some(Command::Rest(options)) => {
            gauge::allow_files(2000)?;
            runtime.block_on(with_state(async |state| rest::print(&options, state).await))?
        }
        Some(Command::Costs(options)) => {
            gauge::allow_files(2000)?;
            runtime.block_on(with_state(async |state| {
                costs::print(&options, state).await
            }))?
        }
        Some(Command::Compare { before, after }) => {
            compare::print(&Report::read(&before)?, &Report::read(&after)?);
            true
        }
        Some(Command::Table(options)) => {
            gauge::allow_files(options.most() * 2 + 2000)?;
            let measured = with_state(async |state| {
                let system = System::open(state).await?;
                let holds = table::print(&options, &system).await?;
                system.stop().await?;
                Ok(holds)
            });
            runtime.block_on(measured)?
        }
        Some(Command::Ceiling {
            clients,
            seconds,
            database_url,
        }) => {
            let time = Duration::from_secs(seconds);
            let printed = with_state(async |state| {
                ceiling::print(state, database_url, &clients, time).await?;
                Ok(true)
            });
            runtime.block_on(printed)?
        }
        Some(Command::Budget) => {
            gauge::allow_files(2000)?;
            runtime.block_on(with_state(budget::keeps))?
        }
        None => runtime.block_on(Box::pin(load(&options.load)))?,
    };
    Ok(match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(WRONG),
    })
}

async fn be_the_model() -> Result<ExitCode> {
    let model = PacedModel::start().await?;
    println!("{}", model.base_url);
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(ExitCode::SUCCESS)
}

/// One load, on a system of its own or one that runs somewhere. Whether the database holds what it should.
async fn load(options: &LoadOptions) -> Result<bool> {
    let case = options.case();
    gauge::allow_files(case.users.max(case.load.how.seats()) * 2 + 1000)?;
    if let Some(url) = &options.remote.url {
        let row = options.remote.load(url, &case).await?;
        print::row(&row);
        return Ok(row.verdict.is_none_or(|verdict| verdict.holds()));
    }
    with_state(async |state| measure(options, &case, state).await).await
}

/// With a folder for data and logs, which stays if something goes wrong.
async fn with_state(measure: impl AsyncFnOnce(&Path) -> Result<bool>) -> Result<bool> {
    let state = std::env::temp_dir().join(format!("errand-bench-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    let holds = Box::pin(measure(&state))
        .await
        .with_context(|| format!("logs and data are left in {}", state.display()))?;
    std::fs::remove_dir_all(&state).context("the data cannot be removed")?;
    Ok(holds)
}

async fn measure(options: &LoadOptions, case: &Case, state: &Path) -> Result<bool> {
    let system = System::open(state).await?;
    let setting = Setting {
        apis: options.apis.max(1),
        workers: options.workers.max(1),
        runs: case.load.how.seats().max(USERS),
        pace: case.pace,
        ..Setting::default()
    };
    let programs = system.start(setting).await?;
    let mut row = case.timed(&system, &programs).await?;
    programs.stop().await?;
    if !options.no_count {
        let counted = Setting {
            counted: true,
            ..setting
        };
        let programs = system.start(counted).await?;
        let mut case = case.clone();
        case.load.time = case.load.time.min(Duration::from_secs(5));
        let at_rest = case::at_rest(&system, &programs).await?;
        row.asked = Some(case.counted(&system, &programs, at_rest).await?);
        programs.stop().await?;
    }
    if !options.no_ceiling {
        row.ceiling = Some(ceiling::of(&system, Duration::from_secs(2)).await?);
    }
    print::row(&row);
    let mut report = Report::new(system.version().await?);
    system.stop().await?;
    let holds = row.turns > 0 && row.verdict.as_ref().is_none_or(check::Verdict::holds);
    report.rows.push(row);
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    Ok(holds)
}
