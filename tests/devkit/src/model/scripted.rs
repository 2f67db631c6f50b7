//! A model that does what a test says: a queue of turns first, then a function of the request.
//! Must not interpret what users write.

mod gate;
mod perform;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use errand_worker::agent::{summary, title};
use serde_json::Value;

use super::provider::Provider;
use super::quirks::Dialect;
use super::wire::{Answers, Server};
pub use gate::Gate;
pub use turn::Turn;

type Script = Arc<dyn Fn(&Value) -> Turn + Send + Sync>;

/// A scripted model on its own port of 127.0.0.1, stopped when dropped. Requests that a strict provider would
/// refuse get their 400 without using up a turn.
pub struct ScriptedModel {
    server: Server,
    part: Arc<Part>,
}

#[derive(Default)]
struct Part(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    queue: VecDeque<Turn>,
    script: Option<Script>,
    dialect: Dialect,
    provider: Option<Provider>,
    /// What it says when it is asked for a title.
    title: String,
    /// What it does when it is asked for a summary.
    summary: Option<Turn>,
}

impl ScriptedModel {
    /// Starts on a free port with nothing to say: every request is a 400 until there is a turn for it.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(0).await
    }

    /// Starts on a given port, for a provider that comes back where it was.
    pub async fn start_on(port: u16) -> anyhow::Result<Self> {
        let part = Arc::new(Part::default());
        let server = Server::start(port, part.clone()).await?;
        Ok(Self { server, part })
    }

    /// The base URL for a client, `/v1` included.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// Sets the function that answers when the queue is empty, in place of any earlier one.
    pub fn script(&self, script: impl Fn(&Value) -> Turn + Send + Sync + 'static) {
        self.part.lines().script = Some(Arc::new(script));
    }

    /// Adds a turn to the queue, which is used first, in order.
    pub fn push(&self, turn: impl Into<Turn>) {
        self.part.lines().queue.push_back(turn.into());
    }

    /// Sets what it answers when it is asked for the title of a conversation, which uses up no turn; nothing at first.
    pub fn entitle(&self, title: &str) {
        title.clone_into(&mut self.part.lines().title);
    }

    /// Sets what it does whenever it is asked for a summary of a conversation, which uses up no turn. At first it says something short.
    pub fn summarise(&self, turn: impl Into<Turn>) {
        self.part.lines().summary = Some(turn.into());
    }

    /// How many queued turns nobody has asked for.
    pub fn unused_turns(&self) -> usize {
        self.part.lines().queue.len()
    }

    /// Takes on the habits of a provider, from the next request on.
    pub fn speak(&self, dialect: Dialect) {
        self.part.lines().dialect = dialect;
    }

    /// Takes on the rules of a provider, from the next request on; the base URL at which it then is.
    pub fn pose_as(&self, provider: Provider) -> String {
        self.part.lines().provider = Some(provider);
        format!("{}{}", self.server.url(), provider.base_path())
    }

    /// The bodies received, oldest first; the last 1,000 of them.
    pub fn requests(&self) -> Vec<Value> {
        self.server.ledger().bodies()
    }

    /// How many requests came in, refused ones included.
    pub fn request_count(&self) -> usize {
        self.server.ledger().counts().requests
    }

    /// How many answers the client hung up on.
    pub fn aborted(&self) -> usize {
        self.server.ledger().counts().aborted
    }

    /// How many answers are being given.
    pub fn in_flight(&self) -> usize {
        self.server.ledger().counts().in_flight
    }

    /// Waits until `n` requests have come in; an error after ten seconds.
    pub async fn requests_seen(&self, n: usize) -> anyhow::Result<()> {
        self.server
            .ledger()
            .reached(&format!("{n} requests"), |c| c.requests >= n)
            .await
    }

    /// Waits until the client has hung up on `n` answers; an error after ten seconds.
    pub async fn aborted_seen(&self, n: usize) -> anyhow::Result<()> {
        self.server
            .ledger()
            .reached(&format!("{n} aborted answers"), |c| c.aborted >= n)
            .await
    }

    /// Waits until no answer is being given; an error after ten seconds.
    pub async fn idle(&self) -> anyhow::Result<()> {
        self.server
            .ledger()
            .reached("no answer in flight", |c| c.in_flight == 0)
            .await
    }
}

impl Part {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Part {
    fn turn(&self, request: &Value) -> Turn {
        // The script runs without the lock: it may well look at the model that it plays.
        let script = {
            let mut lines = self.lines();
            if request["messages"][0]["content"] == title::PROMPT {
                return Turn::text(&lines.title);
            }
            if request["messages"][0]["content"] == summary::PROMPT {
                return lines
                    .summary
                    .clone()
                    .unwrap_or_else(|| Turn::text("Nothing of note."));
            }
            if let Some(turn) = lines.queue.pop_front() {
                return turn;
            }
            lines.script.clone()
        };
        match script {
            Some(script) => script(request),
            None => {
                let message = "the scripted model has no turn for this request";
                Turn::status(400).body(self.dialect().error_body(400, message))
            }
        }
    }

    fn dialect(&self) -> Dialect {
        self.lines().dialect
    }

    fn provider(&self) -> Option<Provider> {
        self.lines().provider
    }
}
