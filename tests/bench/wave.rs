//! A wave of load, and workers that come and go with it by what `GET /scaling` says: the programs that ship, as processes, and a loop that does
//! what the script in `docs/scaling.md` does, only sooner.
//!
//! Prints the curve. Fails if a ready run waited for longer than the target, if an accepted run did not come to a reply or took a second attempt,
//! or if a worker did not end with status 0.

#![expect(clippy::print_stdout, reason = "it prints what it has measured")]

use std::{
    collections::VecDeque,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::{ScriptedModel, Turn},
    postgres::{Cluster, ClusterOptions},
    programs::{self, Build},
};
use errand_store::db::migrate;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

/// Users who write: many enough that none waits behind their own runs.
const USERS: usize = 400;
/// Requests under way.
const MAX_OPEN: usize = 500;
/// What anything may take at the end.
const PATIENCE: Duration = Duration::from_secs(90);

/// A wave of load over workers that are started and stopped by `GET /scaling`
#[derive(Debug, Clone, Parser)]
struct Wave {
    /// Seconds from low to peak and back
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Messages a second at the ends
    #[arg(long, default_value_t = 1.0)]
    low: f64,
    /// Messages a second in the middle
    #[arg(long, default_value_t = 14.0)]
    peak: f64,
    /// Milliseconds that the model takes for an answer
    #[arg(long, default_value_t = 1_000)]
    answer: u64,
    /// WORKER_CONCURRENCY of each worker
    #[arg(long, default_value_t = 4)]
    places: u32,
    /// Seconds that a ready run may wait: `target_pickup`
    #[arg(long, default_value_t = 10.0)]
    target: f64,
    /// Workers, at most
    #[arg(long, default_value_t = 8)]
    max_workers: usize,
    /// Seconds between two questions
    #[arg(long, default_value_t = 3)]
    every: u64,
    /// Rounds in which fewer would have done before one is stopped
    #[arg(long, default_value_t = 4)]
    calm: u32,
}

impl Wave {
    /// Messages a second at this moment.
    fn rate(&self, at: Duration) -> f64 {
        let part = at.as_secs_f64() / self.seconds as f64;
        self.low + (self.peak - self.low) * (part * std::f64::consts::PI).sin().powi(2)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let wave = Wave::parse();
    ensure!(
        wave.places > 0 && wave.max_workers > 0 && wave.every > 0 && wave.seconds > 0,
        "nothing may be 0"
    );
    let built = tokio::task::spawn_blocking(|| programs::build(Build::Shipped)).await??;
    let cluster = Cluster::start(ClusterOptions::throwaway()).await?;
    cluster.ensure_database("errand").await?;
    let database = cluster.url("errand");
    migrate::run(&database).await?;
    let identity = IdentityProvider::start(IdentityOptions::default()).await?;
    let model = ScriptedModel::start().await?;
    let pause = Duration::from_millis(wave.answer);
    model.script(move |_| Turn::text("Done.").first_byte_after(pause));

    let port = free_port()?;
    let mut api = started(
        &built.join("errand-api"),
        &[
            ("DATABASE_URL", database.clone()),
            ("BETTER_AUTH_URL", identity.issuer().to_owned()),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("RATE_RUNS_PER_MINUTE", "0".to_owned()),
            ("MAX_ACTIVE_RUNS", "0".to_owned()),
        ],
    )?;
    let url = format!("http://127.0.0.1:{port}");
    let mut fleet = Fleet {
        program: built.join("errand-worker"),
        environment: vec![
            ("DATABASE_URL", database.clone()),
            ("OPENAI_BASE_URL", model.base_url()),
            ("OPENAI_API_KEY", "none".to_owned()),
            ("WORKER_CONCURRENCY", wave.places.to_string()),
        ],
        at_work: VecDeque::new(),
        ending: Vec::new(),
        calm: 0,
    };
    fleet.grow_to(1)?;
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()?;
    until_ready(&client, &url).await?;
    let db = PgPool::connect(&database).await?;

    let (accepted, worst) = ride(&wave, &client, &url, &identity, &db, &mut fleet).await?;
    timeout(PATIENCE, all_over(&db))
        .await
        .context("runs that do not end")??;
    fleet.end().await?;
    let ended = judge(&db, accepted, worst, wave.target).await;
    signal(&api)?;
    api.wait().await?;
    db.close().await;
    cluster.stop().await?;
    ended
}

/// The wave itself. Returns how many messages were accepted, and the longest that a run was seen to be ready, in seconds.
async fn ride(
    wave: &Wave,
    client: &reqwest::Client,
    url: &str,
    identity: &IdentityProvider,
    db: &PgPool,
    fleet: &mut Fleet,
) -> Result<(i64, f64)> {
    let (begun, length) = (Instant::now(), Duration::from_secs(wave.seconds));
    let mut tick = interval(Duration::from_millis(50));
    let (mut due, mut users, mut accepted, mut worst) = (0.0, 0_usize, 0_i64, 0.0_f64);
    let (mut last, mut asked, mut printed) = (begun, None::<Instant>, None::<u64>);
    let mut posts: JoinSet<Result<()>> = JoinSet::new();
    println!("    s  msg/s  ready  oldest  at work  workers  suggested");
    let mut suggested = 0;
    while begun.elapsed() < length {
        tick.tick().await;
        due += wave.rate(begun.elapsed()) * last.elapsed().as_secs_f64();
        last = Instant::now();
        while due >= 1.0 && posts.len() < MAX_OPEN {
            due -= 1.0;
            users += 1;
            let user = format!("user-{}", users % USERS);
            let request = client
                .post(format!("{url}/api/{user}/chat"))
                .bearer_auth(identity.token(&user))
                .header("prefer", "respond-async")
                .json(&json!({"message": "go"}));
            posts.spawn(post(request));
        }
        while let Some(posted) = posts.try_join_next() {
            posted??;
            accepted += 1;
        }
        if asked.is_none_or(|at| at.elapsed() >= Duration::from_secs(wave.every)) {
            asked = Some(Instant::now());
            suggested = ask(client, url, wave.target).await?;
            fleet.follow(suggested, wave)?;
        }
        let second = begun.elapsed().as_secs();
        if printed != Some(second) {
            printed = Some(second);
            let (ready, oldest, running) = look(db).await?;
            worst = worst.max(oldest);
            if second.is_multiple_of(2) {
                println!(
                    "{second:>5}  {:>5.1}  {ready:>5}  {oldest:>5.1}s  {running:>7}  {:>7}  {suggested:>9}  {}",
                    wave.rate(begun.elapsed()),
                    fleet.at_work.len(),
                    "#".repeat(fleet.at_work.len())
                );
            }
        }
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
        accepted += 1;
    }
    Ok((accepted, worst))
}

async fn post(request: reqwest::RequestBuilder) -> Result<()> {
    let response = request.send().await?;
    let status = response.status();
    ensure!(
        status == 202,
        "a message was answered with {status}: {}",
        response.text().await?
    );
    Ok(())
}

async fn ask(client: &reqwest::Client, url: &str, target: f64) -> Result<usize> {
    let url = format!("{url}/scaling?target_pickup={target}");
    let told: Value = client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let suggested = told["suggested_workers"].as_u64().context("a number")?;
    Ok(usize::try_from(suggested)?)
}

/// Ready runs, seconds that the oldest has been so, and runs at work: as it is, and not as it was counted some seconds ago.
async fn look(db: &PgPool) -> Result<(i64, f64, i64)> {
    Ok(sqlx::query_as(
        "select count(*) filter (where status = 'Pending' and run_at <= now()),
                coalesce(extract(epoch from now() - min(run_at) filter (where status = 'Pending' and run_at <= now())), 0)::float8,
                count(*) filter (where lock_by is not null and status in ('Running', 'Queued'))
         from apalis.jobs",
    )
    .fetch_one(db)
    .await?)
}

async fn all_over(db: &PgPool) -> Result<()> {
    let open = "select count(*) from runs where finished_at is null";
    while sqlx::query_scalar::<_, i64>(open).fetch_one(db).await? > 0 {
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn judge(db: &PgPool, accepted: i64, worst: f64, target: f64) -> Result<()> {
    let (runs, completed, again, p50, p99): (i64, i64, i64, f64, f64) = sqlx::query_as(
        "select count(*), count(*) filter (where status = 'completed'), count(*) filter (where attempt - handbacks > 1),
                percentile_cont(0.5) within group (order by extract(epoch from started_at - created_at)::float8),
                percentile_cont(0.99) within group (order by extract(epoch from started_at - created_at)::float8)
         from runs",
    )
    .fetch_one(db)
    .await?;
    println!(
        "{accepted} messages accepted, {runs} runs, {completed} completed, {again} with a lost attempt; \
         taken up after {p50:.2} s (p50) and {p99:.2} s (p99), the oldest ready run seen: {worst:.1} s of {target:.0} s"
    );
    ensure!(runs == accepted && completed == accepted, "a run was lost");
    ensure!(again == 0, "a worker that was stopped cost an attempt");
    ensure!(
        worst <= target,
        "a ready run waited for longer than the target"
    );
    Ok(())
}

/// The workers, those first that were started first.
struct Fleet {
    program: std::path::PathBuf,
    environment: Vec<(&'static str, String)>,
    at_work: VecDeque<Child>,
    ending: Vec<Child>,
    calm: u32,
}

impl Fleet {
    /// As many as are suggested, at once; fewer by one, after a while in which fewer would have done.
    fn follow(&mut self, suggested: usize, wave: &Wave) -> Result<()> {
        let wanted = suggested.clamp(1, wave.max_workers);
        if wanted >= self.at_work.len() {
            self.calm = 0;
            return self.grow_to(wanted);
        }
        self.calm += 1;
        if self.calm >= wave.calm {
            self.calm = 0;
            if let Some(worker) = self.at_work.pop_front() {
                signal(&worker)?;
                self.ending.push(worker);
            }
        }
        Ok(())
    }

    fn grow_to(&mut self, workers: usize) -> Result<()> {
        while self.at_work.len() < workers {
            self.at_work
                .push_back(started(&self.program, &self.environment)?);
        }
        Ok(())
    }

    /// Stops all, and holds that each has ended in good order.
    async fn end(mut self) -> Result<()> {
        for worker in &self.at_work {
            signal(worker)?;
        }
        self.ending.extend(self.at_work.drain(..));
        for mut worker in self.ending {
            let status = timeout(PATIENCE, worker.wait())
                .await
                .context("a worker that does not end")??;
            ensure!(status.success(), "a worker ended with {status}");
        }
        Ok(())
    }
}

fn started(program: &Path, environment: &[(&'static str, String)]) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("RUST_LOG", "warn")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
        .spawn()
        .with_context(|| program.display().to_string())
}

/// SIGTERM, as platforms send it.
fn signal(process: &Child) -> Result<()> {
    let id = process.id().context("it has ended by itself")?;
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &id.to_string()])
        .status()?;
    ensure!(sent.success(), "cannot stop {id}");
    Ok(())
}

async fn until_ready(client: &reqwest::Client, url: &str) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(answer) = client.get(format!("{url}/readyz")).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("the API is not ready")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
