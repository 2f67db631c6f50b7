//! The clients: each takes turn after turn in a conversation of its own, by one protocol, and does not give up.

mod socket;
mod sse;
mod start;
mod sync;

use std::time::Duration;

use anyhow::Result;
use errand_devkit::identity::IdentityProvider;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use start::Start;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::history::{History, Pen};

/// Users; each has several clients.
const USERS: usize = 5;
/// A turn that takes longer is given up, which is a violation.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before something is tried again.
const PAUSE: Duration = Duration::from_millis(150);
/// An answer that does not come: the connection may have gone silent.
const ANSWER: Duration = Duration::from_secs(40);

/// What all clients know.
pub(crate) struct TestSystem<'a> {
    pub(crate) apis: &'a [String],
    pub(crate) identity: &'a IdentityProvider,
    pub(crate) history: &'a History,
    pub(crate) seed: u64,
    /// Share of the plain turns that are cancelled on the way.
    pub(crate) cancels: f64,
    pub(crate) until: Instant,
}

/// One client.
struct Client<'a> {
    world: &'a TestSystem<'a>,
    pen: Pen<'a>,
    http: reqwest::Client,
    random: StdRng,
    token: String,
    /// Once there is one, or chosen by the client where the protocol has it so.
    conversation: Option<Uuid>,
}

/// The end of a run as the client was told of it.
struct End {
    run: String,
    reply: Option<String>,
    code: Option<String>,
    /// It is not over: its user has to decide about its calls.
    waits: bool,
}

/// Takes turns until the time is over, the last one to its end. Returns how many.
pub(crate) async fn live(world: &TestSystem<'_>, number: usize) -> Result<u64> {
    let user = format!("user{}", number % USERS);
    let mut client = Client {
        world,
        pen: Pen {
            history: world.history,
            client: number,
            user: &user,
        },
        http: reqwest::Client::builder().timeout(ANSWER).build()?,
        random: StdRng::seed_from_u64(world.seed ^ (number as u64) << 20),
        token: world.identity.token(&user),
        conversation: None,
    };
    let mut turns = 0;
    while Instant::now() < world.until {
        turns += 1;
        let key = format!("{user}-{number}-{turns}");
        let ended = tokio::time::timeout(PATIENCE, client.turn(number, &key)).await;
        match ended {
            Ok(end) => {
                let (reply, code) = (end.reply.as_deref(), end.code.as_deref());
                client.pen.ended(&key, &end.run, reply, code);
            }
            Err(_) => client.pen.wrong(&key, "no end within a minute"),
        }
        sleep(Duration::from_millis(client.random.random_range(0..200))).await;
    }
    Ok(turns)
}

impl Client<'_> {
    /// A message and what comes of it: a run, and others that go on from it, as long as the last one waits for a decision.
    async fn turn(&mut self, number: usize, key: &str) -> End {
        let mut start = Start::Message;
        loop {
            let end = match number % 3 {
                0 => self.sync_run(key, &start).await,
                1 => self.sse_run(key, &start).await,
                _ => self.socket_run(key, &start).await,
            };
            if !end.waits {
                return end;
            }
            start = Start::decision(end.run, &mut self.random);
        }
    }

    /// The next API, as a load balancer would choose one.
    fn api(&mut self) -> String {
        let apis = self.world.apis;
        apis[self.random.random_range(0..apis.len())].clone()
    }

    fn url(&mut self, path: &str) -> String {
        format!("{}/api/{}/{path}", self.api(), self.pen.user)
    }

    /// A run as the API tells of it, until it is over or waits for a decision.
    async fn poll(&mut self, key: &str, run: &str) -> End {
        loop {
            let url = self.url(&format!("runs/{run}?wait=10"));
            let answer = self.http.get(url).bearer_auth(&self.token).send().await;
            if let Ok(answer) = answer {
                let status = answer.status().as_u16();
                let body: Value = answer.json().await.unwrap_or_default();
                match (status, body["status"].as_str()) {
                    (200, Some("completed" | "failed" | "cancelled" | "waiting")) => {
                        return end(run, &body);
                    }
                    (200, _) | (503, _) => {}
                    _ => self
                        .pen
                        .wrong(key, &format!("a run answers {status}: {body}")),
                }
            }
            sleep(PAUSE).await;
        }
    }
}

fn end(run: &str, body: &Value) -> End {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    End {
        run: run.to_owned(),
        reply: text(&body["response"]),
        code: text(&body["error"]["code"]),
        waits: body["status"] == "waiting",
    }
}
