//! The system that is measured, and turns in conversations of several lengths.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use errand_bench::past::{self, Talk};
use errand_devkit::{
    model::{ScriptedModel, Turn, request},
    postgres::ClusterOptions,
    proxy::{Counts, Proxy},
    system::{Arguments, Database, InProcess, System},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::Options;

/// For everything to stop.
pub(crate) const STOP: Duration = Duration::from_secs(60);
/// Turns of each conversation before those that are measured.
const FIRST: usize = 2;
/// A summary.
pub(crate) const NOTES: &str =
    "The user keeps a list of errands. Ann is a sister, the shop is the one at the corner.";

/// What turns cost.
#[derive(Default)]
pub(crate) struct Cost {
    pub(crate) took: Vec<Duration>,
    pub(crate) tokens: i64,
    pub(crate) counts: Counts,
    pub(crate) turns: usize,
}

pub(crate) struct Stage {
    pub(crate) system: System<ScriptedModel>,
    pub(crate) url: String,
    worker: Arguments,
    pub(crate) proxies: [Proxy; 2],
    pub(crate) http: reqwest::Client,
}

/// The costs by length.
pub(crate) async fn run(options: &Options, state: &Path, is_counted: bool) -> Result<Vec<Cost>> {
    let (stage, here) = Stage::open(options, state, is_counted).await?;
    let costs = stage.play(options, is_counted).await?;
    here.stop(STOP).await?;
    stage.system.stop().await?;
    Ok(costs)
}

impl Stage {
    async fn open(options: &Options, state: &Path, is_counted: bool) -> Result<(Self, InProcess)> {
        let (stage, mut here) = Self::without_worker(options, state, is_counted).await?;
        here.worker(&stage.worker_arguments(true)).await?;
        Ok((stage, here))
    }

    /// Everything but a worker.
    pub(crate) async fn without_worker(
        options: &Options,
        state: &Path,
        is_counted: bool,
    ) -> Result<(Self, InProcess)> {
        let database = Database::private(ClusterOptions::durable(state)).await?;
        let system = System::scripted(database).await?;
        let answer_after = Duration::from_millis(options.answer_after);
        system.model.script(move |asked| {
            let answer = match request::steps(asked).len() {
                0 if request::last_user(asked).contains("add") => {
                    Turn::call("add_task", json!({"title": "buy milk and some more words"}))
                }
                _ => Turn::text("Done: the plan for today is clear and each step has one owner"),
            };
            answer.first_byte_after(answer_after)
        });
        system.model.summarise(Turn::text(NOTES));
        let direct = system.database.url().to_owned();
        let proxies = [
            Proxy::counting(&direct).await?,
            Proxy::counting(&direct).await?,
        ];
        let way = |proxy: &Proxy| match is_counted {
            true => proxy.url().to_owned(),
            false => direct.clone(),
        };
        let mut here = InProcess::default();
        let api = Arguments::server(&way(&proxies[0]), system.identity.issuer()).unlimited();
        let url = here.api(&api).await?;
        let worker = Arguments::worker(&way(&proxies[1])).model(&system.model.base_url(), "x");
        let stage = Stage {
            system,
            url,
            worker,
            proxies,
            http: reqwest::Client::new(),
        };
        Ok((stage, here))
    }

    /// Of a worker that writes summaries, or writes none.
    pub(crate) fn worker_arguments(&self, writes: bool) -> Arguments {
        self.worker.clone().with("--summaries", writes)
    }

    async fn play(&self, options: &Options, is_counted: bool) -> Result<Vec<Cost>> {
        let mut db = PgConnection::connect(&self.admin_url()?).await?;
        let mut talks: Vec<Vec<Talk>> = Vec::new();
        for (kind, messages) in options.messages.iter().enumerate() {
            let talk = |n| Talk {
                conversation: Uuid::now_v7(),
                user: format!("user-{kind}-{n}"),
                turns: messages / 2,
            };
            talks.push((0..options.conversations).map(talk).collect());
        }
        past::talks(&mut db, &talks.concat()).await?;
        for talk in talks.iter().flatten() {
            for _ in 0..FIRST {
                self.turn(talk, "go on").await?;
                self.rest(&mut db).await?;
            }
        }
        let written =
            "select count(*), count(*) filter (where status = 'completed') from summaries";
        let before: (i64, i64) = sqlx::query_as(written).fetch_one(&mut db).await?;
        let mut costs: Vec<Cost> = talks.iter().map(|_| Cost::default()).collect();
        for turn in 0..options.turns {
            for place in 0..options.conversations {
                for (talks, cost) in talks.iter().zip(&mut costs) {
                    let text = ["tell me more about the plan", "add milk to the list"][turn % 2];
                    let counted = self.counts();
                    let begun = Instant::now();
                    let answer = self.turn(&talks[place], text).await?;
                    cost.took.push(begun.elapsed());
                    if is_counted {
                        self.settled().await;
                    }
                    cost.counts = cost.counts.plus(self.counts() - counted);
                    cost.tokens += answer["usage"]["input_tokens"]
                        .as_i64()
                        .context("no tokens")?;
                    cost.turns += 1;
                    // What is written behind a turn is not the next one's.
                    self.rest(&mut db).await?;
                }
            }
        }
        let after: (i64, i64) = sqlx::query_as(written).fetch_one(&mut db).await?;
        println!(
            "summaries asked for: {} behind the first turns, {} behind the others; written: {}",
            before.0,
            after.0 - before.0,
            after.1
        );
        Ok(costs)
    }

    /// Of one who may make a past.
    pub(crate) fn admin_url(&self) -> Result<String> {
        Ok(self.system.database.server()?.admin_url("errand"))
    }

    fn counts(&self) -> Counts {
        let [api, worker] = self.proxies.each_ref().map(|proxy| proxy.counts());
        api.plus(worker)
    }

    /// Waits until nobody has asked the database for a moment: hints and the like come behind the answer.
    async fn settled(&self) {
        let mut last = self.counts();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            let now = self.counts();
            if now == last {
                return;
            }
            last = now;
        }
    }

    /// Waits until no summary is to be written.
    async fn rest(&self, db: &mut PgConnection) -> Result<()> {
        let open = "select count(*) from summaries where status in ('queued', 'running')";
        tokio::time::sleep(Duration::from_millis(5)).await;
        for _ in 0..2_000 {
            if sqlx::query_scalar::<_, i64>(open)
                .fetch_one(&mut *db)
                .await?
                == 0
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::bail!("a summary is not written")
    }

    pub(crate) async fn turn(&self, talk: &Talk, text: &str) -> Result<Value> {
        self.say(&talk.user, text, Some(talk.conversation)).await
    }

    /// Says something, in a new conversation if in none, and waits for the answer.
    pub(crate) async fn say(
        &self,
        user: &str,
        text: &str,
        conversation: Option<Uuid>,
    ) -> Result<Value> {
        let response = self
            .http
            .post(format!("{}/api/{user}/chat", self.url))
            .bearer_auth(self.system.identity.token(user))
            .header("prefer", "wait=60")
            .json(&json!({"message": text, "conversation_id": conversation}))
            .send()
            .await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status == 200, "{status}: {answer}");
        Ok(answer)
    }
}
