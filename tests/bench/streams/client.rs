//! One client of the socket, who takes turns and notes when each token comes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use errand_bench::{
    gauge::now,
    model::{Pace, read_token},
};
use errand_devkit::socket::Socket;
use serde_json::json;
use uuid::Uuid;

/// Turns before a new conversation: most turns follow up on another, and the history stays short.
const TURNS: u32 = 4;
/// Silence after which a turn counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A token that came.
pub(crate) struct Token {
    pub(crate) at: u64,
    /// Since the model wrote it.
    pub(crate) took: u64,
}

/// What one turn looked like from outside. Times are microseconds.
pub(crate) struct Turn {
    pub(crate) sent: u64,
    /// From the request to the first token, less what the model took for it.
    pub(crate) first: u64,
    /// From the request until the model was asked.
    pub(crate) pick_up: u64,
    pub(crate) tokens: Vec<Token>,
}

pub(crate) struct Client {
    socket: Socket,
    thread: Uuid,
    turns: u32,
}

impl Client {
    /// Connects as the user of this token.
    pub(crate) async fn connect(api: &str, user: &str, token: &str) -> Result<Self> {
        let mut socket = Socket::open(api, user).await?;
        socket.authenticate(token, PATIENCE).await?;
        Ok(Self {
            socket,
            thread: Uuid::now_v7(),
            turns: 0,
        })
    }

    /// Takes one turn, to its end.
    pub(crate) async fn turn(&mut self, pace: Pace) -> Result<Turn> {
        if self.turns == TURNS {
            let left = json!({"threadId": self.thread});
            self.socket.call("unsubscribe", left).await?;
            (self.thread, self.turns) = (Uuid::now_v7(), 0);
        }
        self.turns += 1;
        let run_id = Uuid::now_v7().to_string();
        let start = json!({"message": pace.stamped(), "threadId": self.thread, "runId": run_id});
        let sent = now();
        self.socket.call("run.start", start).await?;
        let (mut first, mut pick_up) = (None, 0);
        let mut tokens = Vec::new();
        loop {
            let frame = self.socket.frame(PATIENCE).await?;
            let at = now();
            ensure!(frame["type"] != "error", "{frame}");
            if frame["runId"] != run_id.as_str() {
                continue;
            }
            let event = &frame["event"];
            match event["type"].as_str() {
                Some("TEXT_MESSAGE_CONTENT") => {}
                Some("RUN_FINISHED") => break,
                Some("RUN_ERROR") => bail!("the run failed: {event}"),
                _ => continue,
            }
            let delta = event["delta"].as_str().unwrap_or_default();
            for token in delta.split_whitespace() {
                let (asked, written) = read_token(token)?;
                if let Some(asked) = asked {
                    pick_up = asked.saturating_sub(sent);
                    first = Some(
                        at.saturating_sub(sent)
                            .saturating_sub(written.saturating_sub(asked)),
                    );
                }
                let took = at.saturating_sub(written);
                tokens.push(Token { at, took });
            }
        }
        let got = tokens.len();
        ensure!(
            got == pace.tokens as usize,
            "{got} tokens of {}",
            pace.tokens
        );
        Ok(Turn {
            sent,
            first: first.context("no first token")?,
            pick_up,
            tokens,
        })
    }

    /// Listens, and so answers pings, until the server closes.
    pub(crate) async fn idle(self) {
        self.socket.idle().await;
    }
}
