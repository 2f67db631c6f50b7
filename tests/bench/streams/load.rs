//! Streams: one after the other, many for a while, many at the same moment.

use std::time::Duration;

use anyhow::Result;
use errand_bench::{
    gauge::{Sample, Statement, now},
    model::Pace,
};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    client::{Client, Turn},
    stage::Stage,
};

/// What the turns of one load have shown.
#[derive(Default)]
pub(crate) struct Seen {
    /// First tokens, less the model's own time.
    pub(crate) first: Sample,
    /// The part of it until the model was asked.
    pub(crate) pick_up: Sample,
    /// Tokens, from the model's write to the client.
    pub(crate) tokens: Sample,
}

/// What many streams have used per second.
pub(crate) struct Used {
    pub(crate) statements: f64,
    pub(crate) busiest: Vec<(f64, Statement)>,
    /// Of one core: the API, the worker, Postgres, ourselves, and the whole machine.
    pub(crate) cores: [f64; 5],
}

impl Seen {
    /// Adds turns: those that were begun, and the tokens that came, in this time.
    fn add(&mut self, turns: &[Turn], from: u64, until: u64) {
        let within = |at: u64| (from..until).contains(&at);
        let begun = || turns.iter().filter(|turn| within(turn.sent));
        self.first.extend(begun().map(|turn| turn.first));
        self.pick_up.extend(begun().map(|turn| turn.pick_up));
        let tokens = turns.iter().flat_map(|turn| &turn.tokens);
        let tokens = tokens.filter(|token| within(token.at));
        self.tokens.extend(tokens.map(|token| token.took));
    }
}

/// One stream at a time; the model takes another time for each first token, so that nothing falls into step with it.
pub(crate) async fn alone(stage: &Stage, turns: u32, mut pace: Pace) -> Result<Seen> {
    let mut client = stage.client("alone").await?;
    // The first turns fill pools and caches.
    for _ in 0..5 {
        client.turn(pace).await?;
    }
    let mut all = Vec::new();
    for turn in 0..turns {
        pace.first = Duration::from_millis((100 + turn * 37 % 300).into());
        all.push(client.turn(pace).await?);
    }
    let mut seen = Seen::default();
    seen.add(&all, 0, u64::MAX);
    Ok(seen)
}

/// This many streams all the time: each client takes turn after turn, out of step with the others. What happens in `time`,
/// once all are under way, counts.
pub(crate) async fn together(
    stage: &mut Stage,
    streams: usize,
    pace: Pace,
    time: Duration,
) -> Result<(Seen, Used)> {
    let clients = stage.clients(streams).await?;
    let begin = Instant::now();
    let ramp = pace.length() + Duration::from_secs(1);
    let end = begin + ramp + time;
    let lanes = clients.into_iter().zip(0..).map(|(client, nth)| {
        let share = f64::from(nth) / streams as f64;
        tokio::spawn(lane(
            client,
            pace,
            begin + pace.length().mul_f64(share),
            end,
        ))
    });
    let lanes: Vec<_> = lanes.collect();

    sleep_until(begin + ramp).await;
    let (from, cores) = (now(), stage.processor_time());
    stage.statements.reset().await?;
    sleep_until(end).await;
    let statements = stage.statements.count().await?;
    let (until, cores_after) = (now(), stage.processor_time());
    let seconds = (until - from) as f64 / 1e6;
    let busiest = match stage.statements.single {
        true => stage.statements.busiest().await?,
        false => Vec::new(),
    };
    let busiest = busiest
        .into_iter()
        .map(|statement| (statement.calls as f64 / seconds, statement))
        .collect();
    let mut seen = Seen::default();
    for lane in try_join_all(lanes).await? {
        seen.add(&lane?, from, until);
    }
    let used = Used {
        statements: statements as f64 / seconds,
        busiest,
        cores: std::array::from_fn(|nth| {
            (cores_after[nth].saturating_sub(cores[nth])).as_secs_f64() / seconds
        }),
    };
    // A moment for what the ends of runs leave to do.
    sleep(Duration::from_secs(1)).await;
    Ok((seen, used))
}

async fn lane(mut client: Client, pace: Pace, begin: Instant, end: Instant) -> Result<Vec<Turn>> {
    sleep_until(begin).await;
    let mut turns = Vec::new();
    while Instant::now() < end {
        turns.push(client.turn(pace).await?);
    }
    Ok(turns)
}

/// This many turns begun at the same moment.
pub(crate) async fn at_once(stage: &Stage, streams: usize, pace: Pace) -> Result<Seen> {
    let clients = stage.clients(streams).await?;
    let turns = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.turn(pace).await }));
    let turns = try_join_all(turns.collect::<Vec<_>>()).await?;
    let turns = turns.into_iter().collect::<Result<Vec<_>>>()?;
    let mut seen = Seen::default();
    seen.add(&turns, 0, u64::MAX);
    Ok(seen)
}
