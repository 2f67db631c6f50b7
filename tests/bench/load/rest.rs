//! What one API and one worker ask of Postgres while nobody wants anything of them. It counts, and depends on no machine.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::sleep;

use crate::{
    system::{Setting, System},
    used::Gauges,
};

/// Programs that have only just started do not rest yet.
const SETTLE: Duration = Duration::from_secs(15);
/// Behind the time after which they sleep: what was under way then.
const SLEEP_AFTER: Duration = Duration::from_secs(5);

/// How long it is counted for the bound: longer than any pause at rest but that between two purges.
const SHORT: Duration = Duration::from_secs(30);

/// The library and extension that counts statements.
pub(crate) const COUNTS: &str = "pg_stat_statements";

/// Characters of a statement that are printed.
const WIDTH: usize = 110;

#[derive(Args)]
pub(crate) struct RestOptions {
    /// Seconds that count, for each of the two
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

/// How programs rest, and what they may ask meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    sleep_after: Option<Duration>,
    /// Statements a minute, of both programs together.
    bound: f64,
}

/// By default, and where the database may sleep.
pub(crate) const KINDS: [Kind; 2] = [
    Kind {
        name: "at rest",
        sleep_after: None,
        bound: 60.0,
    },
    Kind {
        name: "asleep",
        sleep_after: Some(SLEEP_AFTER),
        bound: 1.0,
    },
];

impl Kind {
    fn setting(self) -> Setting {
        Setting {
            counted: true,
            sleep_after: self.sleep_after,
            ..Setting::default()
        }
    }

    fn says(self, statements: f64, over: Duration) -> bool {
        let minutes = over.as_secs_f64() / 60.0;
        let (name, bound, each) = (self.name, self.bound, statements / minutes);
        println!(
            "{name:>9} {each:>6.1} statements a minute, of at most {bound}; counted for {} s",
            over.as_secs()
        );
        let keeps = each <= bound;
        if !keeps {
            println!("OVER: {name} the programs ask more of Postgres than they may");
        }
        keeps
    }
}

/// Whether programs of this kind keep to their bound, over a short time.
pub(crate) async fn keeps(system: &System, kind: Kind) -> Result<bool> {
    let programs = system.start(kind.setting()).await?;
    let mut gauges = Gauges::of(system, &programs).await?;
    sleep(SETTLE).await;
    gauges.begin().await?;
    sleep(SHORT).await;
    let [api, worker] = gauges.end().await?.counts.context("nothing is counted")?;
    programs.stop().await?;
    Ok(kind.says(api.plus(worker).statements as f64, SHORT))
}

/// Prints calls a minute by statement, of both kinds; whether they keep to their bounds.
pub(crate) async fn print(options: &RestOptions, state: &Path) -> Result<bool> {
    let system = System::open_with(state, Some(COUNTS)).await?;
    let mut db = PgConnection::connect(system.maintenance()).await?;
    sqlx::query("create extension if not exists pg_stat_statements")
        .execute(&mut db)
        .await?;
    let over = Duration::from_secs(options.seconds);
    let mut keeps = true;
    for kind in KINDS {
        let programs = system.start(kind.setting()).await?;
        let mut gauges = Gauges::of(&system, &programs).await?;
        sleep(SETTLE).await;
        sqlx::query("select pg_stat_statements_reset()")
            .execute(&mut db)
            .await?;
        gauges.begin().await?;
        sleep(over).await;
        let used = gauges.end().await?;
        let calls = sqlx::query(
            "select s.calls, regexp_replace(s.query, '\\s+', ' ', 'g') from pg_stat_statements s join pg_database d on d.oid = s.dbid
             where d.datname = 'errand' order by s.calls desc, 2",
        );
        let calls = calls.fetch_all(&mut db).await?;
        let all: i64 = calls.iter().map(|row| row.get::<i64, _>(0)).sum();
        println!("\n{:>9}  statement", "a minute");
        for row in &calls {
            let (calls, query): (i64, String) = (row.get(0), row.get(1));
            let query: String = query.chars().take(WIDTH).collect();
            println!("{:>9.1}  {query}", calls as f64 * 60.0 / over.as_secs_f64());
        }
        keeps &= kind.says(all as f64, over);
        if let Some([api, worker]) = used.counts {
            let each = |all: u64| all as f64 * 60.0 / over.as_secs_f64();
            println!(
                "{:>9} {:>6.1} round trips a minute of the API, {:.1} of the worker",
                "",
                each(api.round_trips),
                each(worker.round_trips)
            );
        }
        programs.stop().await?;
    }
    drop(db);
    system.stop().await?;
    Ok(keeps)
}
