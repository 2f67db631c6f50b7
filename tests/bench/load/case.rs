//! One load on a running system: its users, its turns, its figures, its verdict.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use errand_bench::{gauge, model::Pace};
use tokio::time::sleep;

use crate::{
    check,
    figures::{Asked, AtRest, Row},
    run::{self, Load, Loop, Outcome, Seats},
    system::{Programs, System},
    turn::{Deed, Seat, Target, Transport, User},
    used::Gauges,
};

/// Users, if no number is given. A turn's cost grows with its history, and many keep it short.
pub(crate) const USERS: usize = 200;
/// Turns before a new conversation.
pub(crate) const TURNS: u32 = 10;

/// Turns that begin in a second when turns begin one after the other.
const BEGUN: f64 = 300.0;

/// For a look at programs that rest.
const REST: Duration = Duration::from_secs(2);

/// What turns are made of, such as `add,list,text` or `add=2,text`.
#[derive(Debug, Clone)]
pub(crate) struct Mix(pub(crate) Vec<Deed>);

impl Default for Mix {
    fn default() -> Self {
        Self(vec![Deed::Add, Deed::List, Deed::Text])
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let deed = <Deed as ValueEnum>::from_str(name, false)?;
            let weight: usize = weight
                .parse()
                .map_err(|_| format!("{weight:?} is no number"))?;
            mix.extend(std::iter::repeat_n(deed, weight));
        }
        match mix.is_empty() {
            true => Err("nothing is to be done".to_owned()),
            false => Ok(Self(mix)),
        }
    }
}

/// One load.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) users: usize,
    pub(crate) load: Load,
    pub(crate) turns: u32,
    pub(crate) pace: Pace,
    /// Turns that conversations have had before, made in SQL: the first seat's the first of these, and so on, from the
    /// beginning again when there are no more. None: everybody begins a new one.
    pub(crate) past: Vec<i32>,
}

impl Case {
    /// The mix of all kinds over POST, with a model that answers at once.
    pub(crate) fn new(how: Loop, time: Duration) -> Self {
        let name = match how {
            Loop::Closed(in_flight) => format!("{in_flight} in flight"),
            Loop::Open(rate) => format!("{rate} a second"),
        };
        Self {
            name,
            transport: Transport::Post,
            users: USERS.max(how.seats()),
            load: Load {
                how,
                mix: Mix::default().0,
                ramp: Duration::ZERO,
                warm: Duration::from_secs(1),
                time,
                most: None,
            },
            turns: TURNS,
            pace: Pace::default(),
            past: Vec::new(),
        }
    }

    /// With a model that takes so long that turns begun together would stay so: they begin one after the other.
    pub(crate) fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        let mix = &self.load.mix;
        let each: Duration = mix.iter().map(|deed| deed.models(pace)).sum();
        let each = each / u32::try_from(mix.len()).unwrap_or(1);
        if let Loop::Closed(in_flight) = self.load.how
            && !each.is_zero()
        {
            self.load.ramp = each.max(Duration::from_secs_f64(in_flight as f64 / BEGUN));
            self.load.warm += self.load.ramp + each;
        }
        self
    }

    /// Turns a second if nothing but the model took time.
    pub(crate) fn ideal(&self) -> f64 {
        let mix = &self.load.mix;
        let each: Duration = mix.iter().map(|deed| deed.models(self.pace)).sum();
        self.load.how.seats() as f64 * mix.len() as f64 / each.as_secs_f64()
    }

    /// Takes the turns on these programs; its figures with the verdict of the database.
    pub(crate) async fn timed(&self, system: &System, programs: &Programs) -> Result<Row> {
        let mut gauges = Gauges::of(system, programs).await?;
        let prefix = prefix();
        let target = Arc::new(self.target(programs.urls.clone()));
        let rest = programs.memory();
        let seats = self.seats(&prefix, |user| system.identity.token(user));
        seats.make_past(system.database(), &self.past).await?;
        let outcome = run::run(&target, &seats, &self.load, &mut gauges).await?;
        let mut row = self.row(&target, &outcome);
        let verdict = check::check(system.database(), &prefix, &outcome.all).await?;
        row.verdict = Some(verdict);
        if let Loop::Closed(in_flight) = self.load.how {
            let used: u64 = outcome.used.memory.iter().sum();
            let more = used.saturating_sub(rest) as f64;
            row.memory_per_run = Some(more / in_flight as f64);
        }
        Ok(row)
    }

    /// Takes the turns on programs that are counted, and that ask so much at rest.
    pub(crate) async fn counted(
        &self,
        system: &System,
        programs: &Programs,
        at_rest: AtRest,
    ) -> Result<Asked> {
        let mut gauges = Gauges::of(system, programs).await?;
        let target = Arc::new(self.target(programs.urls.clone()));
        let prefix = prefix();
        let seats = self.seats(&prefix, |user| system.identity.token(user));
        seats.make_past(system.database(), &self.past).await?;
        let outcome = run::run(&target, &seats, &self.load, &mut gauges).await?;
        let row = self.row(&target, &outcome);
        ensure!(row.turns > 0, "{}: {:?}", self.name, row.errors);
        let verdict = check::check(system.database(), &prefix, &outcome.all).await?;
        ensure!(verdict.holds(), "{}: {verdict:?}", self.name);
        Asked::of(&outcome, at_rest).context("nothing was counted")
    }

    pub(crate) fn target(&self, urls: Vec<String>) -> Target {
        Target {
            urls,
            transport: self.transport,
            pace: self.pace,
            turns: self.turns,
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn seats(&self, prefix: &str, token: impl Fn(&str) -> String) -> Seats {
        let users = (0..self.users.max(1)).map(|nth| {
            let id = format!("{prefix}{nth}");
            let token = token(&id);
            Arc::new(User { id, token })
        });
        self.seats_of(&users.collect::<Vec<_>>(), prefix)
    }

    /// Everybody, each in one conversation; in more than one if there are fewer users than turns in flight.
    pub(crate) fn seats_of(&self, users: &[Arc<User>], prefix: &str) -> Seats {
        let seats = users.len().max(self.load.how.seats());
        let seats = users.iter().cycle().take(seats).enumerate();
        Seats::new(
            seats.map(|(nth, user)| Seat::new(Arc::clone(user), nth)),
            prefix,
        )
    }

    pub(crate) fn row(&self, target: &Target, outcome: &Outcome) -> Row {
        Row::new(self.name.clone(), target, self.users, outcome)
    }
}

/// What programs that are counted ask of Postgres while nobody takes a turn.
pub(crate) async fn at_rest(system: &System, programs: &Programs) -> Result<AtRest> {
    let mut gauges = Gauges::of(system, programs).await?;
    // Programs that have only just started, or worked, do not rest yet.
    sleep(REST).await;
    gauges.begin().await?;
    sleep(REST).await;
    let counts = gauges.end().await?.counts.context("nothing is counted")?;
    let [api, worker] = counts;
    let each = |all: u64| all as f64 / REST.as_secs_f64();
    let all = api.plus(worker);
    Ok(AtRest {
        round_trips: each(all.round_trips),
        commits: each(all.commits),
    })
}

/// How the names of a load's users begin, unlike those of any other.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nth = NEXT.fetch_add(1, Relaxed);
    format!("load-{:x}-{nth}-", gauge::now())
}
