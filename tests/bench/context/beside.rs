//! Whether turns wait for summaries: turns of many users while summaries of others' conversations are written without a pause, and while none is,
//! in alternating windows.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use errand_bench::{
    in_process::quantile,
    past::{self, Talk},
};
use errand_devkit::model::Turn;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    Options,
    stage::{NOTES, STOP, Stage},
};

/// Conversations whose summaries are written, over and over.
const SUMMARISED: usize = 300;
/// What the model takes for a summary.
const WRITING: Duration = Duration::from_millis(300);
/// Users that take turns, each in a new conversation.
const USERS: u64 = 200;
/// Turns may take so much longer beside summaries, in hundredths.
const LONGER: f64 = 1.05;

/// Has a summary of each of these conversations written, up to its last turn but ten.
const ASK: &str = "with asked as (
        insert into summaries (id, conversation_id, user_id, covers_to)
        select gen_random_uuid(), c.id, c.user_id, (select position from runs r where r.conversation_id = c.id order by position desc offset 10 limit 1)
        from conversations c where c.user_id like 'summarised-%' returning id)
    insert into apalis.jobs (id, job_type, job, run_at, metadata)
    select job_of_run(id), 'errand.summary', convert_to('{\"summary_id\":\"' || id || '\"}', 'utf8'), now() - interval '1 s', '' from asked";
const FORGET: &str =
    "delete from apalis.jobs where job_type = 'errand.summary'; delete from summaries";

/// Prints p50 and p99 of both kinds of windows; whether p99 is within five hundredths.
pub(crate) async fn measure(options: &Options, windows: usize, state: &Path) -> Result<bool> {
    let (stage, here) = Stage::open(state, false).await?;
    let stage = Arc::new(stage);
    stage
        .system
        .model
        .summarise(Turn::text(NOTES).first_byte_after(WRITING));
    let mut db = PgConnection::connect(&stage.admin_url()?).await?;
    let talk = |n| Talk {
        conversation: Uuid::now_v7(),
        user: format!("summarised-{n}"),
        turns: 40,
    };
    let talks: Vec<Talk> = (0..SUMMARISED).map(talk).collect();
    past::talks(&mut db, &talks).await?;
    let time = Duration::from_secs(options.seconds);
    let next = Arc::new(AtomicU64::new(0));
    turns(&stage, &next, options.in_flight, Duration::from_secs(2)).await?;
    let mut took = [Vec::new(), Vec::new()];
    let mut written = 0;
    for window in 0..2 * windows {
        let is_beside = window % 2 == 1;
        if is_beside {
            sqlx::raw_sql(ASK).execute(&mut db).await?;
            until_begun(&mut db).await?;
        }
        let mut sample = turns(&stage, &next, options.in_flight, time).await?;
        took[usize::from(is_beside)].append(&mut sample);
        if is_beside {
            let count = "select count(*) from summaries where status = 'completed'";
            written += sqlx::query_scalar::<_, i64>(count)
                .fetch_one(&mut db)
                .await?;
            sqlx::raw_sql(FORGET).execute(&mut db).await?;
            tokio::time::sleep(WRITING * 2).await;
        }
    }
    println!(
        "\n{:>18} {:>7} {:>9} {:>9}",
        "", "turns", "p50 ms", "p99 ms"
    );
    let mut p99 = [0.0; 2];
    for ((name, took), p99) in ["alone", "beside summaries"]
        .into_iter()
        .zip(&mut took)
        .zip(&mut p99)
    {
        *p99 = quantile(took, 0.99);
        println!(
            "{name:>18} {:>7} {:>9.2} {p99:>9.2}",
            took.len(),
            quantile(took, 0.5)
        );
    }
    let ratio = p99[1] / p99[0];
    println!("{written} summaries written; p99 beside to alone: {ratio:.3}");
    drop(db);
    here.stop(STOP).await?;
    let stage = Arc::into_inner(stage).context("somebody still takes a turn")?;
    stage.system.stop().await?;
    Ok(ratio < LONGER)
}

async fn until_begun(db: &mut PgConnection) -> Result<()> {
    let begun = "select count(*) from summaries where status <> 'queued'";
    for _ in 0..1_000 {
        if sqlx::query_scalar::<_, i64>(begun)
            .fetch_one(&mut *db)
            .await?
            > 0
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("no summary is begun")
}

/// Keeps so many turns in flight for so long; how long each took.
async fn turns(
    stage: &Arc<Stage>,
    next: &Arc<AtomicU64>,
    in_flight: usize,
    time: Duration,
) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let lanes = (0..in_flight).map(|_| {
        let (stage, next) = (Arc::clone(stage), Arc::clone(next));
        tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let user = next.fetch_add(1, Ordering::Relaxed) % USERS;
                let begun = Instant::now();
                stage
                    .say(&format!("user-{user}"), "tell me more", None)
                    .await?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        })
    });
    let mut all = Vec::new();
    for lane in futures::future::join_all(lanes).await {
        all.append(&mut lane??);
    }
    Ok(all)
}
