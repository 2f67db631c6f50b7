//! Whether turns wait for summaries: turns at a steady rate, half of what the machine can do, of which each twentieth makes a summary due. In each round
//! the worker writes summaries (`SUMMARIES`), and does not, and once more does not: what the last two differ by is what the machine itself does.
//! Processor time, of this process (API, worker, model, clients) and of Postgres, tells the same where the machine is busy with something else.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use errand_bench::{
    gauge,
    in_process::quantile,
    past::{self, Talk},
};
use errand_devkit::{model::Turn, system::InProcess};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Options,
    stage::{NOTES, STOP, Stage},
};

/// What the model takes for a summary.
const WRITING: Duration = Duration::from_millis(300);
/// Users that take turns, each in a new conversation.
const USERS: u64 = 200;
/// Before what is measured, at the same rate.
const WARM_UP: Duration = Duration::from_secs(1);
/// Turns of a conversation that make a summary due with the next one.
const PAST: i32 = 35;
/// Turns may take so much longer beside summaries, in hundredths.
const LONGER: f64 = 1.05;
/// For the last summaries of a window.
const LAST: Duration = Duration::from_secs(20);

/// Turns that come at their times, whatever became of those before.
struct Load {
    stage: Arc<Stage>,
    /// Between two turns.
    gap: Duration,
    /// Of so many turns one makes a summary due.
    per_summary: usize,
    /// Conversations that are due for one, each once.
    due: Vec<Talk>,
    next: u64,
}

/// Prints p50 and p99 of each round with and without, and of all rounds together; whether p99 is within five hundredths, by the median of the rounds:
/// one stall of the machine decides about a hundredth of all turns.
pub(crate) async fn measure(options: &Options, rounds: usize, state: &Path) -> Result<bool> {
    let (stage, mut here) = Stage::without_worker(options, state, false).await?;
    let stage = Arc::new(stage);
    let model = &stage.system.model;
    model.summarise(Turn::text(NOTES).first_byte_after(WRITING));
    let time = Duration::from_secs(options.seconds);
    let worker = here.worker(&stage.worker_arguments(false)).await?;
    turns_per_second(&stage, options.in_flight, WARM_UP).await?;
    let most = turns_per_second(&stage, options.in_flight, time).await?;
    worker.cancel();
    let rate = most * options.load;
    let mut load = Load {
        stage: Arc::clone(&stage),
        gap: Duration::from_secs_f64(1.0 / rate),
        per_summary: options.per_summary,
        due: Vec::new(),
        next: 0,
    };
    println!(
        "{most:.0} turns/s at most; now {rate:.0} turns/s, each {}th with a summary",
        options.per_summary
    );
    let mut db = PgConnection::connect(&stage.admin_url()?).await?;
    let due = rate * (time + WARM_UP).as_secs_f64() * 3.0 * rounds as f64;
    load.make_due(&mut db, due as usize / options.per_summary + 3 * rounds)
        .await?;
    println!(
        "\n{:>5} {:>20} {:>20} {:>20} {:>8} {:>8} {:>8} {:>8}",
        "", "with, p50/p99 ms", "without", "without", "p99", "noise", "CPU", "noise"
    );
    let mut found: [Vec<f64>; 4] = Default::default();
    let mut all: [Vec<Duration>; 3] = Default::default();
    for round in 1..=rounds {
        let mut p50 = [0.0; 3];
        let mut p99 = [0.0; 3];
        let mut processor = [0.0; 3];
        // Each kind is first as often as it is last.
        let mut order = [0, 1, 2];
        order.rotate_left(round % 3);
        for kind in order {
            let took = load.window(&mut here, &mut db, kind == 0, time).await;
            let (mut took, used) = took.with_context(|| format!("round {round}"))?;
            processor[kind] = used.as_secs_f64() / took.len() as f64;
            (p50[kind], p99[kind]) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99));
            all[kind].extend(took);
        }
        let told = |kind: usize| format!("{:.1}/{:.1}", p50[kind], p99[kind]);
        let of_round = [more(p99), noise(p99), more(processor), noise(processor)];
        let columns = of_round.map(|column| format!("{column:>8.3}")).join(" ");
        println!(
            "{round:>5} {:>20} {:>20} {:>20} {columns}",
            told(0),
            told(1),
            told(2),
        );
        for (rounds, column) in found.iter_mut().zip(of_round) {
            rounds.push(column);
        }
    }
    let written: i64 =
        sqlx::query_scalar("select count(*) from summaries where status = 'completed'")
            .fetch_one(&mut db)
            .await?;
    let [ratio, noise, processor, processor_noise] = found.map(median);
    println!(
        "\n{written} summaries written. Medians of the rounds, with to without (without to without):\n\
         p99 {ratio:.3} ({noise:.3}), processor time of a turn with its share of a summary {processor:.3} ({processor_noise:.3})"
    );
    print_together(&mut all);
    if noise > LONGER {
        println!("By p99 the machine is not quiet enough to tell five hundredths.");
    }
    drop((db, load));
    here.stop(STOP).await?;
    let stage = Arc::into_inner(stage).context("somebody still takes a turn")?;
    stage.system.stop().await?;
    Ok(ratio < LONGER)
}

/// Prints quantiles of what turns took with summaries, without, and without once more.
fn print_together(all: &mut [Vec<Duration>; 3]) {
    let turns: usize = all.iter().map(Vec::len).sum();
    let [p50, p90, p99] =
        [0.5, 0.9, 0.99].map(|share| all.each_mut().map(|took| quantile(took, share)));
    println!(
        "{turns} turns of all rounds together, ms with, without, without, and with to without (without to without):"
    );
    for (name, of) in [("p50", p50), ("p90", p90), ("p99", p99)] {
        let [with, without, again] = of;
        println!(
            "{name} {with:.1}, {without:.1}, {again:.1}: {:.3} ({:.3})",
            more(of),
            noise(of)
        );
    }
}

/// Of a window with summaries and two without: how much more the first has.
fn more([with, without, again]: [f64; 3]) -> f64 {
    with / f64::midpoint(without, again)
}

/// How much the two without differ.
fn noise([_, without, again]: [f64; 3]) -> f64 {
    (without / again).max(again / without)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Load {
    async fn make_due(&mut self, db: &mut PgConnection, number: usize) -> Result<()> {
        let talk = |n| Talk {
            conversation: Uuid::now_v7(),
            user: format!("due-{n}"),
            turns: PAST,
        };
        self.due = (0..number).map(talk).collect();
        past::talks(db, &self.due).await
    }

    /// Plays turns for so long, with a worker of its own; how long each took, from when it was to begin, and the processor time of all, with what
    /// they made due.
    async fn window(
        &mut self,
        here: &mut InProcess,
        db: &mut PgConnection,
        writes: bool,
        time: Duration,
    ) -> Result<(Vec<Duration>, Duration)> {
        let worker = here.worker(&self.stage.worker_arguments(writes)).await?;
        self.play(WARM_UP).await?;
        let before = self.processor_time()?;
        let took = self.play(time).await?;
        let end = Instant::now() + LAST;
        let open = "select count(*) from summaries where status in ('queued', 'running')";
        while sqlx::query_scalar::<_, i64>(open)
            .fetch_one(&mut *db)
            .await?
            > 0
        {
            anyhow::ensure!(Instant::now() < end, "summaries are not written");
            tokio::time::sleep(WRITING).await;
        }
        let used = self.processor_time()?.saturating_sub(before);
        worker.cancel();
        // Its claims are over.
        tokio::time::sleep(WRITING).await;
        Ok((took, used))
    }

    fn processor_time(&self) -> Result<Duration> {
        let server = self.stage.system.database.server();
        let postgres = gauge::postmaster(server.context("no server")?.data_dir())?;
        let own = gauge::processor_time(std::process::id(), false);
        Ok(own + gauge::processor_time(postgres, true))
    }

    async fn play(&mut self, time: Duration) -> Result<Vec<Duration>> {
        let begin = Instant::now();
        let mut turns = Vec::new();
        let mut at = begin;
        while at < begin + time {
            tokio::time::sleep_until(at).await;
            let (stage, number) = (Arc::clone(&self.stage), self.next);
            let is_due = number.is_multiple_of(self.per_summary as u64);
            let due = is_due.then(|| self.due.pop()).flatten();
            turns.push(tokio::spawn(async move {
                match due {
                    Some(talk) => stage.turn(&talk, "go on").await?,
                    None => {
                        let user = format!("user-{}", number % USERS);
                        stage.say(&user, "tell me more", None).await?
                    }
                };
                anyhow::Ok(at.elapsed())
            }));
            self.next += 1;
            at += self.gap;
        }
        let mut took = Vec::new();
        for turn in turns {
            took.push(turn.await??);
        }
        Ok(took)
    }
}

/// Turns in a second, with so many in flight.
async fn turns_per_second(stage: &Arc<Stage>, in_flight: usize, time: Duration) -> Result<f64> {
    let end = Instant::now() + time;
    let next = Arc::new(AtomicU64::new(0));
    let lanes = (0..in_flight).map(|_| {
        let (stage, next) = (Arc::clone(stage), Arc::clone(&next));
        tokio::spawn(async move {
            while Instant::now() < end {
                let user = format!("user-{}", next.fetch_add(1, Ordering::Relaxed) % USERS);
                stage.say(&user, "tell me more", None).await?;
            }
            anyhow::Ok(())
        })
    });
    for lane in futures::future::join_all(lanes).await {
        lane??;
    }
    Ok(next.load(Ordering::Relaxed) as f64 / time.as_secs_f64())
}
