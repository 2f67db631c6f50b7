//! Turns for a while: so many in flight, each followed by the next, or so many a second, whatever becomes of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use errand_bench::past;
use sqlx::{Connection, PgConnection};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    turn::{Deed, Seat, Taken, Target},
    used::{Gauges, Used},
};

/// Between turns of a lane when one has failed, as clients do that heed `Retry-After`.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How turns follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loop {
    /// This many are in flight all the time.
    Closed(usize),
    /// This many begin in a second, evenly.
    Open(f64),
}

impl Loop {
    /// How many seats it takes at least: in an open loop for turns of ten seconds.
    pub(crate) fn seats(self) -> usize {
        match self {
            Self::Closed(in_flight) => in_flight,
            Self::Open(rate) => (rate * 10.0).ceil() as usize,
        }
    }
}

/// One load.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) how: Loop,
    pub(crate) mix: Vec<Deed>,
    /// Over which the first turns of a closed loop begin.
    pub(crate) ramp: Duration,
    /// Before it counts, with `ramp`.
    pub(crate) warm: Duration,
    pub(crate) time: Duration,
    /// Ends the load also when this many turns have ended in `time`.
    pub(crate) most: Option<usize>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// All turns, those before and after `time` included.
    pub(crate) all: Vec<Taken>,
    /// What counts ended in this time.
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) used: Used,
    /// Turns that were due and left out.
    pub(crate) left_out: usize,
}

impl Outcome {
    /// The turns that count.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Taken> {
        let time = self.from..self.until;
        self.all
            .iter()
            .filter(move |taken| time.contains(&taken.ended))
    }
}

/// The seats, which take turns in order. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seats {
    free: Arc<Mutex<VecDeque<Seat>>>,
    /// What makes titles unique, together with the number of turns begun.
    name: Arc<str>,
    begun: Arc<AtomicUsize>,
}

impl Seats {
    pub(crate) fn new(seats: impl IntoIterator<Item = Seat>, name: &str) -> Self {
        Self {
            free: Arc::new(Mutex::new(seats.into_iter().collect())),
            name: name.into(),
            begun: Arc::default(),
        }
    }

    /// Gives each seat a conversation that has had so many turns, the first the first number, and so on.
    pub(crate) async fn make_past(&self, database: &str, turns: &[i32]) -> Result<()> {
        if turns.is_empty() {
            return Ok(());
        }
        let talks: Vec<_> = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let seats = free.iter_mut().zip(turns.iter().cycle());
            seats
                .filter_map(|(seat, &turns)| seat.talk(turns))
                .collect()
        };
        let mut db = PgConnection::connect(database).await?;
        past::talks(&mut db, &talks).await?;
        db.close().await?;
        Ok(())
    }

    fn take(&self) -> Option<Seat> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop_front()
    }

    fn release(&self, seat: Seat) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push_back(seat);
    }
}

/// What the turns of a load share.
struct Shared {
    target: Arc<Target>,
    seats: Seats,
    mix: Vec<Deed>,
    /// Ended so far.
    ended: AtomicUsize,
    stop: AtomicBool,
}

impl Shared {
    /// The next turn of a seat, which was due at this time.
    async fn turn(&self, mut seat: Seat, due: Instant) -> Taken {
        let deed = self.mix[(seat.nth + seat.taken) % self.mix.len()];
        let nth = self.seats.begun.fetch_add(1, Relaxed);
        let message = match deed {
            Deed::Add => format!("add buy milk and some more words {}{nth}", self.seats.name),
            Deed::List => "list my tasks".to_owned(),
            Deed::Text => "thanks, that is all that I wanted to know".to_owned(),
        };
        let taken = self.target.turn(&mut seat, deed, message, due).await;
        self.seats.release(seat);
        self.ended.fetch_add(1, Relaxed);
        taken
    }
}

/// Takes turns, and reads off what was used for those that count.
pub(crate) async fn run(
    target: &Arc<Target>,
    seats: &Seats,
    load: &Load,
    gauges: &mut Gauges,
) -> Result<Outcome> {
    let shared = Arc::new(Shared {
        target: Arc::clone(target),
        seats: seats.clone(),
        mix: load.mix.clone(),
        ended: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    });
    let begun = Instant::now();
    let turns = match load.how {
        Loop::Closed(in_flight) => tokio::spawn(closed(Arc::clone(&shared), in_flight, load.ramp)),
        Loop::Open(rate) => tokio::spawn(open(Arc::clone(&shared), rate)),
    };
    sleep_until(begun + load.warm).await;
    gauges.begin().await?;
    let (from, before) = (Instant::now(), shared.ended.load(Relaxed));
    let enough = || {
        let ended = shared.ended.load(Relaxed) - before;
        load.most.is_some_and(|most| ended >= most) || turns.is_finished()
    };
    while from.elapsed() < load.time && !enough() {
        let pause = Duration::from_millis(if load.most.is_some() { 20 } else { 200 });
        let look = Instant::now() + pause;
        sleep_until(look.min(from + load.time)).await;
        gauges.look();
    }
    let until = Instant::now();
    let used = gauges.end().await?;
    shared.stop.store(true, Relaxed);
    let (all, left_out) = turns.await.context("the load panicked")??;
    Ok(Outcome {
        all,
        from,
        until,
        used,
        left_out,
    })
}

async fn closed(
    shared: Arc<Shared>,
    in_flight: usize,
    ramp: Duration,
) -> Result<(Vec<Taken>, usize)> {
    let mut lanes = JoinSet::new();
    for nth in 0..in_flight {
        let shared = Arc::clone(&shared);
        let begin = ramp.mul_f64(nth as f64 / in_flight as f64);
        lanes.spawn(async move {
            if !begin.is_zero() {
                sleep(begin).await;
            }
            let mut all = Vec::new();
            while !shared.stop.load(Relaxed) {
                let seat = shared.seats.take().context("too few seats")?;
                let taken = shared.turn(seat, Instant::now()).await;
                let failed = taken.error.is_some();
                all.push(taken);
                if failed {
                    sleep(AFTER_FAILURE).await;
                }
            }
            anyhow::Ok(all)
        });
    }
    let mut all = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        all.append(&mut lane??);
    }
    Ok((all, 0))
}

async fn open(shared: Arc<Shared>, rate: f64) -> Result<(Vec<Taken>, usize)> {
    let begun = Instant::now();
    let (mut all, mut left_out) = (Vec::new(), 0);
    let mut turns = JoinSet::new();
    for nth in 0_u32.. {
        let due = begun + Duration::from_secs_f64(f64::from(nth) / rate);
        sleep_until(due).await;
        while let Some(ended) = turns.try_join_next() {
            all.push(ended?);
        }
        if shared.stop.load(Relaxed) {
            break;
        }
        // Without a free seat there is nobody whose turn it could be.
        match shared.seats.take() {
            Some(seat) => {
                let shared = Arc::clone(&shared);
                turns.spawn(async move { shared.turn(seat, due).await });
            }
            None => left_out += 1,
        }
    }
    while let Some(ended) = turns.join_next().await {
        all.push(ended?);
    }
    Ok((all, left_out))
}
