//! How long a tick of the page takes: from the click to the answer that confirms it, and to the hint that every open page of the user
//! gets. First alone, then beside others who chat without a pause.
//!
//! `cargo measure tick`. Everything runs on this machine, the model included.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use errand_bench::{
    folder::with_folder,
    in_process::{TestSystem, quantile},
};
use errand_devkit::{
    model::{Turn, request},
    socket::{Received, Socket},
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The user who ticks.
const ME: &str = "ticker";
/// Tasks that are ticked and unticked in turn.
const TASKS: usize = 20;
/// Ticks before the measurement, which fill what is there once for all.
const WARM_UP: usize = 10;
/// After which a hint counts as lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// For the socket to be open.
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Options {
    /// Seconds of ticking alone, and again beside the chats
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Users that chat
    #[arg(long, default_value_t = 10)]
    chats: usize,
    /// Milliseconds between two ticks
    #[arg(long, default_value_t = 100)]
    pace_ms: u64,
    /// Milliseconds that the model takes for an answer
    #[arg(long, default_value_t = 50)]
    model_ms: u64,
    /// Milliseconds that half of the ticks beside the chats may take; 0: any time
    #[arg(long, default_value_t = 50.0)]
    max_p50: f64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    with_folder(async |state| measure(&options, state).await).await
}

async fn measure(options: &Options, state: &Path) -> Result<ExitCode> {
    let system = Arc::new(TestSystem::open(state).await?);
    let pause = Duration::from_millis(options.model_ms);
    // A third of the turns adds a task, a third lists, a third only talks.
    system.model.script(move |asked| {
        let step = request::steps(asked).len();
        let turn = match (request::last_user(asked).as_str(), step) {
            ("add", 0) => Turn::call("add_task", json!({"title": "buy milk and some more words"})),
            ("list", 0) => Turn::call("list_tasks", json!({"limit": 20})),
            _ => Turn::text("Done: the plan for today is clear and each step has one owner"),
        };
        turn.first_byte_after(pause)
    });
    let mut page = Page::open(&system).await?;
    let pace = Duration::from_millis(options.pace_ms);
    for _ in 0..WARM_UP {
        page.tick().await?;
    }
    let time = Duration::from_secs(options.seconds);
    println!(
        "{:<36} {:>6} {:>8} {:>8} {:>8}",
        "", "n", "p50 ms", "p95 ms", "p99 ms"
    );
    page.ticks(time, pace).await?.print("alone");

    let (stop, turns) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let chats = (0..options.chats).map(|nth| {
        let (system, stop, turns) = (Arc::clone(&system), stop.clone(), Arc::clone(&turns));
        tokio::spawn(async move { chat(&system, nth, &stop, &turns).await })
    });
    let chats: Vec<_> = chats.collect();
    let begun = Instant::now();
    let mut beside = page.ticks(time, pace).await?;
    let turns = turns.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    beside.print(&format!("beside {} chats", options.chats));
    println!(
        "{turns:.1} turns/s of the chats, {} ms of each the model's",
        options.model_ms
    );
    stop.cancel();
    for chat in chats {
        chat.await??;
    }
    drop(page);
    let system = Arc::into_inner(system).context("somebody still chats")?;
    system.close().await?;
    let p50 = quantile(&mut beside.confirmed, 0.5);
    let is_in_time = options.max_p50 == 0.0 || p50 < options.max_p50;
    Ok(if is_in_time {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Takes turns without a pause; a new conversation every ten, so that a turn's cost stays the same.
async fn chat(
    system: &TestSystem,
    nth: usize,
    stop: &CancellationToken,
    turns: &AtomicU64,
) -> Result<()> {
    let user = format!("chatter-{nth}");
    let token = system.identity.token(&user);
    let mut conversation = Value::Null;
    for turn in nth.. {
        if stop.is_cancelled() {
            break;
        }
        let message = ["add", "list", "talk"][turn % 3];
        let mut body = json!({"message": message});
        if turn % 10 > 0 && !conversation.is_null() {
            body["conversation_id"] = conversation;
        }
        let (_, answer) = system.post(&user, &token, &body, "wait=60", &[200]).await?;
        conversation = answer["conversation_id"].clone();
        turns.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The page of one user: its calls, and its socket.
struct Page {
    http: reqwest::Client,
    mcp: String,
    token: String,
    tasks: Vec<String>,
    ticked: usize,
    /// When each `tasks.changed` came.
    hints: mpsc::UnboundedReceiver<Instant>,
}

impl Page {
    async fn open(system: &TestSystem) -> Result<Self> {
        let token = system.identity.token(ME);
        let mut socket = Socket::open(&system.url, ME).await?;
        socket.authenticate(&token, ANSWER).await?;
        let (sender, hints) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Received::Frame(frame)) = socket.receive().await {
                let at = Instant::now();
                let is_hint = frame.to_string().contains("tasks.changed");
                if is_hint && sender.send(at).is_err() {
                    break;
                }
            }
        });
        let mcp = format!("{}/mcp", system.url);
        let (http, tasks) = (reqwest::Client::new(), Vec::new());
        let mut page = Self {
            http,
            mcp,
            token,
            tasks,
            ticked: 0,
            hints,
        };
        for nth in 0..TASKS {
            let title = format!("errand number {nth}");
            let added = page.call("add_task", json!({"title": title})).await?;
            page.tasks
                .push(added["task_id"].as_str().context("an id")?.to_owned());
        }
        Ok(page)
    }

    /// What the call of a tool returns, which has to succeed.
    async fn call(&self, tool: &str, mut arguments: Value) -> Result<Value> {
        arguments["user_id"] = json!(ME);
        let params = json!({"name": tool, "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = self
            .http
            .post(&self.mcp)
            .bearer_auth(&self.token)
            .json(&call);
        let accept = "application/json, text/event-stream";
        let request = request
            .header("accept", accept)
            .timeout(Duration::from_secs(30));
        let answer: Value = request.send().await?.json().await?;
        let result = &answer["result"]["structuredContent"];
        ensure!(result["success"] == true, "{answer}");
        Ok(result.clone())
    }

    /// Ticks a task, or unticks it if it was ticked the time before: when that was confirmed, and when the socket heard of it.
    async fn tick(&mut self) -> Result<(Duration, Option<Duration>)> {
        let id = self.tasks[self.ticked % TASKS].clone();
        let is_done = self.ticked / TASKS % 2 == 1;
        self.ticked += 1;
        while self.hints.try_recv().is_ok() {}
        let begun = Instant::now();
        match is_done {
            false => self.call("complete_task", json!({"task_id": id})).await?,
            true => {
                self.call("update_task", json!({"task_id": id, "completed": false}))
                    .await?
            }
        };
        let confirmed = begun.elapsed();
        let hint = timeout(PATIENCE, self.hints.recv()).await;
        let hint = hint.ok().flatten().map(|at| at.duration_since(begun));
        Ok((confirmed, hint))
    }

    /// Ticks at this pace for so long.
    async fn ticks(&mut self, time: Duration, pace: Duration) -> Result<Ticks> {
        let (mut ticks, end) = (Ticks::default(), Instant::now() + time);
        while Instant::now() < end {
            let (confirmed, hint) = self.tick().await?;
            ticks.confirmed.push(confirmed);
            ticks.heard.extend(hint);
            sleep(pace.saturating_sub(hint.unwrap_or(confirmed))).await;
        }
        Ok(ticks)
    }
}

/// From the click on.
#[derive(Default)]
struct Ticks {
    confirmed: Vec<Duration>,
    heard: Vec<Duration>,
}

impl Ticks {
    fn print(&mut self, when: &str) {
        let lost = self.confirmed.len() - self.heard.len();
        for (what, sample) in [
            ("confirmed", &mut self.confirmed),
            ("heard by the page", &mut self.heard),
        ] {
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| quantile(sample, share));
            let (name, n) = (format!("{when}: {what}"), sample.len());
            println!("{name:<36} {n:>6} {p50:>8.2} {p95:>8.2} {p99:>8.2}");
        }
        if lost > 0 {
            println!("{lost} hints did not come within {} s", PATIENCE.as_secs());
        }
    }
}
