//! The schedule: which fault comes when, decided by the seed alone.

use std::time::Duration;

use anyhow::Result;
use errand_devkit::{process, proxy::Proxy};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    history::History,
    slot::{Kind, Slot},
};

/// Longer than a lease: others have taken over when the process comes back.
const FROZEN: Duration = Duration::from_secs(7);
const BLACK_HOLE: Duration = Duration::from_secs(4);
const SLOW: Duration = Duration::from_secs(3);

/// What can be done to the house, and how often beside the others.
const KINDS: [(Fault, u32); 9] = [
    (Fault::Kill(Kind::Worker), 5),
    (Fault::Kill(Kind::Api), 4),
    (Fault::Terminate(Kind::Worker), 3),
    (Fault::Terminate(Kind::Api), 3),
    (Fault::Freeze, 3),
    (Fault::Cut, 4),
    (Fault::Silence, 2),
    (Fault::Slowness, 3),
    (Fault::Backends, 4),
];

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(Kind),
    Terminate(Kind),
    /// SIGSTOP, and SIGCONT when the lease is over.
    Freeze,
    /// Cuts all connections of a process to Postgres.
    Cut,
    Silence,
    Slowness,
    /// Ends backends of Postgres, each with an even chance.
    Backends,
}

impl Fault {
    fn draw(random: &mut StdRng) -> Self {
        let all: u32 = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut at = random.random_range(0..all);
        for (fault, weight) in KINDS {
            if at < weight {
                return fault;
            }
            at -= weight;
        }
        Self::Cut
    }
}

/// How much harm, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    /// Between two faults, on average.
    pub(crate) pause: Duration,
    /// The workers freeze by themselves; only wake them, when their leases are over.
    pub(crate) only_wake: bool,
}

async fn wake(slots: &[Slot], time: Duration, history: &History) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        sleep(FROZEN).await;
        for slot in slots.iter().filter(|slot| slot.kind == Kind::Worker) {
            slot.signal("CONT").await;
        }
        history.fault("SIGCONT to all workers", None);
    }
}

/// Does harm until the end; in the middle of the time Postgres itself crashes, once.
pub(crate) async fn inflict(
    slots: &[Slot],
    database: &str,
    plan: Plan,
    history: &History,
) -> Result<()> {
    if plan.only_wake {
        wake(slots, plan.time, history).await;
        return Ok(());
    }
    let Plan {
        seed, time, pause, ..
    } = plan;
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut crash_at = Some(time / 2);
    while begun.elapsed() < time {
        let jitter = random.random_range(0.5..1.5);
        sleep(pause.mul_f64(jitter)).await;
        if begun.elapsed() >= time {
            break;
        }
        if crash_at.is_some_and(|at| begun.elapsed() > at) {
            crash_at = None;
            crash(database).await;
            history.fault("crash of Postgres", None);
            continue;
        }
        let fault = Fault::draw(&mut random);
        let number = random.random_range(0..1000_usize);
        let of = |kind: Kind| pick(slots, number, Some(kind));
        match fault {
            Fault::Kill(kind) => {
                let slot = of(kind);
                slot.signal("KILL").await;
                history.fault(&format!("kill -9 {}", kind.name()), Some(&slot.name));
            }
            Fault::Terminate(kind) => {
                let slot = of(kind);
                slot.signal("TERM").await;
                history.fault(&format!("SIGTERM {}", kind.name()), Some(&slot.name));
            }
            Fault::Freeze => {
                let slot = of(Kind::Worker).clone();
                history.fault("SIGSTOP, SIGCONT worker", Some(&slot.name));
                tokio::spawn(async move {
                    slot.signal("STOP").await;
                    sleep(FROZEN).await;
                    slot.signal("CONT").await;
                });
            }
            Fault::Cut => {
                let slot = pick(slots, number, None);
                slot.proxy.cut();
                history.fault("proxy: cut", Some(&slot.name));
            }
            Fault::Silence => {
                let slot = pick(slots, number, None);
                let proxy = slot.proxy.clone();
                history.fault("proxy: black hole", Some(&slot.name));
                proxy.lose();
                tokio::spawn(reopen(proxy, BLACK_HOLE));
            }
            Fault::Slowness => {
                let slot = pick(slots, number, None);
                let proxy = slot.proxy.clone();
                let by = Duration::from_millis(random.random_range(50..300));
                history.fault("proxy: delay", Some(&slot.name));
                proxy.slow_down(by);
                tokio::spawn(reopen(proxy, SLOW));
            }
            Fault::Backends => {
                end_backends(database).await;
                history.fault("backends ended", None);
            }
        }
    }
    Ok(())
}

async fn reopen(proxy: Proxy, after: Duration) {
    sleep(after).await;
    proxy.reopen();
}

fn pick(slots: &[Slot], number: usize, kind: Option<Kind>) -> &Slot {
    let fitting: Vec<_> = slots
        .iter()
        .filter(|slot| kind.is_none_or(|kind| slot.kind == kind))
        .collect();
    fitting[number % fitting.len()]
}

/// Failures are part of the game: the database may be restarting.
async fn end_backends(database: &str) {
    let _ = async {
        let mut db = PgConnection::connect(database).await?;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where application_name like 'errand-%' and random() < 0.5",
        )
        .execute(&mut db)
        .await
    }
    .await;
}

/// Kills one backend with kill -9: Postgres takes its memory for corrupt and restarts itself.
async fn crash(database: &str) {
    let pid = async {
        let mut db = PgConnection::connect(database).await?;
        let query =
            "select pid from pg_stat_activity where application_name like 'errand-%' limit 1";
        sqlx::query_scalar::<_, i32>(query).fetch_one(&mut db).await
    };
    if let Ok(pid) = pid.await {
        let _ = process::signal(pid.unsigned_abs(), "KILL").await;
    }
}
