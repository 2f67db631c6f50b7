//! What watching costs: turns a second with traces, with scrapes and with the operator's page, against the same without.
//!
//! Of one machine only what is measured close together can be compared, so the two take turns, each pair in the other order, and what counts is
//! the median of the pairs' ratios. What scrapes and the page may cost is less than that can tell, so they are judged by processor time.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Bytes, routing::post};
use clap::Args;
use errand_bench::past;
use errand_devkit::process::{self, Process};
use sqlx::{Connection, PgConnection};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet, time::interval};

use crate::{
    case::Case,
    rest::COUNTS,
    run::Loop,
    system::{ADMIN_TOKEN, Programs, STOP, Setting, System},
};

mod share;

/// How often Prometheus scrapes each process, and how often a page that is looked at asks.
const SCRAPES: Duration = Duration::from_secs(5);
const LOOKS: Duration = Duration::from_secs(2);

/// For the collector to get ready.
const START: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct CostsOptions {
    /// Pairs of each kind
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Seconds of each of a pair
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds for which processor time is counted, with and without somebody who watches
    #[arg(long, default_value_t = 120)]
    share_seconds: u64,
    /// Turns in flight
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Finished runs beside which scrapes and the page are measured
    #[arg(long, default_value_t = 1_000_000)]
    past: u32,
}

/// The share of turns a second that traces may cost, and of the processors that scrapes and the page may.
const TRACES: f64 = 0.05;
const WATCHING: f64 = 0.01;

/// What is tried.
struct Tried {
    name: &'static str,
    ratios: Vec<f64>,
    rates: [Vec<f64>; 2],
}

impl Tried {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            ratios: Vec::new(),
            rates: Default::default(),
        }
    }

    fn add(&mut self, without: f64, with: f64) {
        self.ratios.push(with / without);
        self.rates[0].push(without);
        self.rates[1].push(with);
        println!(
            "{:>10}: {without:>7.1} without, {with:>7.1} with, {:.3}",
            self.name,
            with / without
        );
    }

    /// The share of turns a second that it costs.
    fn cost(&self) -> f64 {
        let cost = 1.0 - median(&self.ratios);
        let [without, with] = [&self.rates[0], &self.rates[1]].map(|rates| median(rates));
        println!(
            "{:>10}: {without:.1} turns/s without, {with:.1} with; the median of {} pairs costs {:.1} %",
            self.name,
            self.ratios.len(),
            cost * 100.0,
        );
        cost
    }
}

/// Says what something costs; whether that keeps to the bound.
fn keeps(name: &str, cost: f64, of: &str, bound: f64) -> bool {
    let keeps = cost <= bound;
    println!(
        "{:>10}: {:.2} % of {of}, of at most {:.0} %{}",
        name,
        cost * 100.0,
        bound * 100.0,
        if keeps { "" } else { ": OVER" }
    );
    keeps
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 if middle > 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted.get(middle).copied().unwrap_or(f64::NAN),
    }
}

/// Measures both, and says whether the bounds are kept.
pub(crate) async fn print(options: &CostsOptions, state: &Path) -> Result<bool> {
    let system = System::open_with(state, Some(COUNTS)).await?;
    let traces = traces(options, &system).await?;
    let mut db = PgConnection::connect(system.database()).await?;
    println!("making {} finished runs", options.past);
    past::make(&mut db, 0..options.past, options.past).await?;
    drop(db);
    let (watching, share) = watching(options, &system).await?;
    system.stop().await?;
    let traces = traces.cost();
    watching.cost();
    Ok(keeps("traces", traces, "the turns a second", TRACES)
        & keeps("watching", share, "all processors", WATCHING))
}

impl CostsOptions {
    fn case(&self) -> Case {
        let mut case = Case::new(
            Loop::Closed(self.in_flight),
            Duration::from_secs(self.seconds),
        );
        case.load.warm = Duration::from_secs(2);
        case
    }

    async fn rate(&self, system: &System, programs: &Programs) -> Result<f64> {
        let row = self.case().timed(system, programs).await?;
        let holds = row.verdict.as_ref().is_some_and(|verdict| verdict.holds());
        ensure!(holds && row.turns > 0, "{:?} {:?}", row.verdict, row.errors);
        Ok(row.turns_per_second)
    }
}

/// Programs that send their spans to a collector on this machine, against programs that do not.
async fn traces(options: &CostsOptions, system: &System) -> Result<Tried> {
    let mut command = process::command(std::env::current_exe()?);
    command.arg("collector").stdin(Stdio::piped());
    let mut collector = Process::start_heard("the collector", &mut command, |_| ())?;
    let url = collector.until_says("http", START).await?;
    let mut tried = Tried::new("traces");
    let plain = Setting::default();
    let traced = Setting {
        traced: Some(Box::leak(url.into_boxed_str())),
        ..plain
    };
    for nth in 0..options.pairs {
        let mut rates = [0.0; 2];
        for which in order(nth) {
            let programs = system.start([plain, traced][which]).await?;
            rates[which] = options.rate(system, &programs).await?;
            programs.stop().await?;
        }
        tried.add(rates[0], rates[1]);
    }
    collector.stop(STOP).await?;
    Ok(tried)
}

/// The same programs, scraped and looked at, against left alone; and the share of all processors that this takes.
async fn watching(options: &CostsOptions, system: &System) -> Result<(Tried, f64)> {
    let watched = Setting {
        watched: true,
        ..Setting::default()
    };
    let programs = system.start(watched).await?;
    let mut tried = Tried::new("watching");
    // The first time fills pools and caches.
    options.rate(system, &programs).await?;
    for nth in 0..options.pairs {
        let mut rates = [0.0; 2];
        for which in order(nth) {
            let mut watchers = JoinSet::new();
            if which == 1 {
                watch(&mut watchers, &programs).await?;
            }
            rates[which] = options.rate(system, &programs).await?;
            if let Some(failed) = watchers.try_join_next() {
                failed??;
            }
        }
        tried.add(rates[0], rates[1]);
    }
    let over = Duration::from_secs(options.share_seconds);
    let looks = async |watchers: &mut JoinSet<_>| watch(watchers, &programs).await;
    let share = share::of(system, &programs, looks, over).await?;
    programs.stop().await?;
    Ok((tried, share))
}

/// Every second pair begins with the other one.
fn order(nth: usize) -> [usize; 2] {
    match nth % 2 {
        0 => [0, 1],
        _ => [1, 0],
    }
}

/// Scrapes every process, and looks at the operator's page, until the set is dropped.
async fn watch(watchers: &mut JoinSet<Result<()>>, programs: &Programs) -> Result<()> {
    let http = reqwest::Client::new();
    for url in programs.metrics.clone() {
        let http = http.clone();
        watchers.spawn(async move {
            let mut ticks = interval(SCRAPES);
            loop {
                ticks.tick().await;
                let text = http
                    .get(&url)
                    .send()
                    .await?
                    .error_for_status()?
                    .text()
                    .await?;
                ensure!(text.contains("errand_"), "no metrics");
            }
        });
    }
    for url in programs.urls.clone() {
        let session = http
            .post(format!("{url}/admin/session"))
            .header("origin", &url)
            .header("sec-fetch-site", "same-origin")
            .json(&serde_json::json!({"token": ADMIN_TOKEN}));
        let session = session.send().await?.error_for_status()?;
        let cookie = session
            .headers()
            .get("set-cookie")
            .context("no session")?
            .to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let http = http.clone();
        watchers.spawn(async move {
            let mut ticks = interval(LOOKS);
            loop {
                ticks.tick().await;
                let state = http
                    .get(format!("{url}/admin/state"))
                    .header("cookie", &cookie);
                state.send().await?.error_for_status()?.bytes().await?;
            }
        });
    }
    Ok(())
}

/// Takes what programs send it and keeps nothing.
pub(crate) async fn be_a_collector() -> Result<std::process::ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/traces", post(async |_: Bytes| ()));
    let mut nothing = Vec::new();
    let mut input = tokio::io::stdin();
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        read = input.read_to_end(&mut nothing) => { read?; }
    }
    Ok(std::process::ExitCode::SUCCESS)
}
