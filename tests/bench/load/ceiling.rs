//! What Postgres itself can do: the same turn as bare SQL on tables of the least size, without a notification, by clients that do
//! nothing else. A queue between client and worker is part of it; the guarantees are not.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, Result};
use errand_devkit::postgres::{Cluster, ClusterOptions};
use rand::RngExt;
use tokio::{runtime, task::JoinSet, time::Instant};
use tokio_postgres::{Client, NoTls, Statement};

use crate::system::System;

/// Clients at the same time: with more of them a machine of a few cores does no more turns.
const CLIENTS: usize = 16;
const CONVERSATIONS: i64 = 2000;
/// Before it counts.
const WARM: Duration = Duration::from_millis(500);

const TABLES: &str = include_str!("ceiling.sql");

/// Turns a second on the system's server, in a database of its own.
pub(crate) async fn of(system: &System, time: Duration) -> Result<f64> {
    let url = system.other_database("ceiling").await?;
    prepare(&url).await?;
    measure(url, CLIENTS, time).await
}

/// Prints turns a second for these numbers of clients, in this database or on a server of our own with data in this folder.
pub(crate) async fn print(
    state: &Path,
    database: Option<String>,
    clients: &[usize],
    time: Duration,
) -> Result<()> {
    let mut cluster = None;
    let url = match database {
        Some(url) => url,
        None => {
            let started = Cluster::start(ClusterOptions::durable(state)).await?;
            started.ensure_database("ceiling").await?;
            cluster.insert(started).admin_url("ceiling")
        }
    };
    prepare(&url).await?;
    println!("{:>8} {:>8}", "clients", "turns/s");
    for &clients in clients {
        let turns = measure(url.clone(), clients, time).await?;
        println!("{clients:>8} {turns:>8.0}");
    }
    match cluster {
        Some(cluster) => cluster.stop().await,
        None => Ok(()),
    }
}

/// Makes the tables unless they are there.
async fn prepare(url: &str) -> Result<()> {
    let db = connect(url).await?;
    let made = "select to_regclass('tool_call') is not null";
    if !db.query_one(made, &[]).await?.get::<_, bool>(0) {
        db.batch_execute(TABLES).await?;
        db.batch_execute("vacuum analyze").await?;
    }
    Ok(())
}

async fn measure(url: String, clients: usize, time: Duration) -> Result<f64> {
    // One thread: that the clients find each other's runtime busy is part of no turn.
    let measured = move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(turns(&url, clients, time))
    };
    let thread = tokio::task::spawn_blocking(move || thread::spawn(measured).join());
    thread.await?.ok().context("the ceiling panicked")?
}

async fn turns(url: &str, clients: usize, time: Duration) -> Result<f64> {
    let admin = connect(url).await?;
    admin.batch_execute("truncate job, tool_call, task").await?;
    let from = Instant::now() + WARM;
    let until = from + time;
    let mut lanes = JoinSet::new();
    for _ in 0..clients {
        let url = url.to_owned();
        lanes.spawn(async move {
            let session = Session::open(&url).await?;
            let mut turns = 0_u32;
            while Instant::now() < until {
                session.turn().await?;
                turns += u32::from((from..until).contains(&Instant::now()));
            }
            anyhow::Ok(turns)
        });
    }
    let mut turns = 0;
    while let Some(lane) = lanes.join_next().await {
        turns += lane??;
    }
    Ok(f64::from(turns) / time.as_secs_f64())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A client with its prepared statements.
struct Session {
    db: Client,
    begin: Statement,
    commit: Statement,
    said: Statement,
    job: Statement,
    claim: Statement,
    history: Statement,
    task: Statement,
    call: Statement,
    replied: Statement,
    done: Statement,
}

impl Session {
    async fn open(url: &str) -> Result<Self> {
        let db = connect(url).await?;
        let prepare = async |statement: &str| db.prepare(statement).await;
        Ok(Self {
            begin: prepare("begin").await?,
            commit: prepare("commit").await?,
            said: prepare(
                "insert into message (conversation_id, role, content)
                 values ($1, 'user', 'add buy milk and some more words for a normal length')",
            )
            .await?,
            job: prepare("insert into job (conversation_id) values ($1)").await?,
            claim: prepare(
                "with j as (select id from job where state = 0 order by id limit 1 for update skip locked)
                 update job set state = 1, claimed_at = now() from j where job.id = j.id
                 returning job.id, job.conversation_id",
            )
            .await?,
            history: prepare(
                "select role, content, tool_calls from message where conversation_id = $1 order by id desc limit 20",
            )
            .await?,
            task: prepare(
                "insert into task (user_id, title) values ('user' || $1::bigint, 'buy milk and some more words') returning id",
            )
            .await?,
            call: prepare(
                r#"insert into tool_call (job_id, name, args, result)
                   values ($1, 'add_task', '{"title":"buy milk and some more words"}', '{"success": true, "task_id": 1}')"#,
            )
            .await?,
            replied: prepare(
                r#"insert into message (conversation_id, role, content, tool_calls)
                   values ($1, 'assistant', 'Done: the plan for today is clear and each step has one owner',
                           '[{"tool_name":"add_task"}]')"#,
            )
            .await?,
            done: prepare("update job set state = 2, done_at = now() where id = $1").await?,
            db,
        })
    }

    /// Accepts a turn and does another, whichever has waited longest, as a worker of many would.
    async fn turn(&self) -> Result<()> {
        let db = &self.db;
        let conversation = rand::rng().random_range(1..=CONVERSATIONS);
        db.execute(&self.begin, &[]).await?;
        db.execute(&self.said, &[&conversation]).await?;
        db.execute(&self.job, &[&conversation]).await?;
        db.execute(&self.commit, &[]).await?;
        // One that loses the race for the last job finds nothing, and looks once more.
        let mut claimed = db.query_opt(&self.claim, &[]).await?;
        if claimed.is_none() {
            claimed = db.query_opt(&self.claim, &[]).await?;
        }
        let (job, conversation): (i64, i64) = match claimed {
            Some(row) => (row.get(0), row.get(1)),
            None => (0, conversation),
        };
        db.query(&self.history, &[&conversation]).await?;
        db.execute(&self.begin, &[]).await?;
        db.query(&self.task, &[&conversation]).await?;
        db.execute(&self.call, &[&job]).await?;
        db.execute(&self.commit, &[]).await?;
        db.execute(&self.begin, &[]).await?;
        db.execute(&self.replied, &[&conversation]).await?;
        db.execute(&self.done, &[&job]).await?;
        db.execute(&self.commit, &[]).await?;
        Ok(())
    }
}
