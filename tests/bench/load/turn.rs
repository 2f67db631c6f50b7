//! One turn as a client sees it: what is said, how it goes over the wire, how long it takes.

mod post;
mod socket;
mod sse;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::ValueEnum;
use errand_bench::{
    gauge::now,
    model::{Pace, read_token},
    past::Talk,
};
use serde::{Deserialize, Serialize};
use socket::Socket;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Time after which a turn counts as failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a turn goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// A request that waits for the reply
    Post,
    /// A request whose answer is a stream of events
    Sse,
    /// A socket that stays open between turns
    Socket,
}

/// What a turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deed {
    Add,
    List,
    Text,
}

impl Deed {
    /// The model's own time in such a turn.
    pub(crate) fn models(self, pace: Pace) -> Duration {
        pace.turn(self.tool().is_some())
    }

    /// The tool that the model calls for it.
    fn tool(self) -> Option<&'static str> {
        match self {
            Self::Add => Some("add_task"),
            Self::List => Some("list_tasks"),
            Self::Text => None,
        }
    }
}

/// Where turns go.
pub(crate) struct Target {
    /// Base URLs of the APIs.
    pub(crate) urls: Vec<String>,
    pub(crate) transport: Transport,
    /// How the model speaks.
    pub(crate) pace: Pace,
    /// Turns before a seat begins another conversation.
    pub(crate) turns: u32,
    pub(crate) http: reqwest::Client,
}

/// Who takes turns.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A user in one conversation, who takes one turn at a time.
pub(crate) struct Seat {
    pub(crate) user: Arc<User>,
    pub(crate) nth: usize,
    pub(crate) conversation: Option<Uuid>,
    /// Taken in this conversation.
    pub(crate) turns: u32,
    /// Taken in all.
    pub(crate) taken: usize,
    socket: Option<Socket>,
}

impl Seat {
    pub(crate) fn new(user: Arc<User>, nth: usize) -> Self {
        Self {
            user,
            nth,
            conversation: None,
            turns: 0,
            taken: 0,
            socket: None,
        }
    }

    /// Goes on with a conversation that has had these turns, and is still to be made.
    pub(crate) fn talk(&mut self, turns: i32) -> Option<Talk> {
        self.turns = u32::try_from(turns).unwrap_or(0);
        let conversation = Uuid::now_v7();
        (turns > 0).then(|| {
            self.conversation = Some(conversation);
            Talk {
                conversation,
                user: self.user.id.clone(),
                turns,
            }
        })
    }
}

/// A turn that was taken.
pub(crate) struct Taken {
    pub(crate) user: Arc<User>,
    pub(crate) deed: Deed,
    /// What was said.
    pub(crate) message: String,
    /// Why it failed.
    pub(crate) error: Option<String>,
    pub(crate) ended: Instant,
    /// Since it was due.
    pub(crate) latency: Duration,
    /// Until the first token, less the model's own time. Streams only.
    pub(crate) first: Option<Duration>,
}

/// The first token of a stream.
struct FirstToken {
    at: u64,
    text: String,
}

/// The same of all transports: what is asked, and what has come of it.
struct Exchange<'a> {
    target: &'a Target,
    url: &'a str,
    message: &'a str,
    deed: Deed,
}

impl Target {
    /// Takes a turn that is due at this time.
    pub(crate) async fn turn(
        &self,
        seat: &mut Seat,
        deed: Deed,
        message: String,
        due: Instant,
    ) -> Taken {
        if seat.turns >= self.turns {
            seat.conversation = None;
            seat.turns = 0;
        }
        seat.turns += 1;
        seat.taken += 1;
        let exchange = Exchange {
            target: self,
            url: &self.urls[seat.nth % self.urls.len()],
            message: &message,
            deed,
        };
        let sent = now();
        let result = timeout(PATIENCE, exchange.take(seat)).await;
        let ended = Instant::now();
        let result = result.context("no end of the turn").and_then(|taken| taken);
        let (error, first) = match result {
            Ok(first) => (None, first.map(|first| self.first(&first, deed, sent))),
            Err(error) => {
                // What the next turn of this seat would meet is not its own.
                (seat.socket, seat.conversation) = (None, None);
                (Some(format!("{error:#}")), None)
            }
        };
        Taken {
            user: Arc::clone(&seat.user),
            deed,
            message,
            error,
            ended,
            latency: ended.duration_since(due),
            first,
        }
    }

    fn first(&self, first: &FirstToken, deed: Deed, sent: u64) -> Duration {
        let seen = Duration::from_micros(first.at.saturating_sub(sent));
        let token = first.text.split_whitespace().next().unwrap_or_default();
        // A foreign model does not say what it took.
        let (Some(asked), written) = read_token(token).unwrap_or_default() else {
            return seen;
        };
        let call = deed.tool().map_or(Duration::ZERO, |_| self.pace.first);
        let own = call + Duration::from_micros(written.saturating_sub(asked));
        seen.saturating_sub(own)
    }
}

impl Exchange<'_> {
    async fn take(&self, seat: &mut Seat) -> Result<Option<FirstToken>> {
        match self.target.transport {
            Transport::Post => self.post(seat).await.map(|()| None),
            Transport::Sse => self.stream(seat).await.map(Some),
            Transport::Socket => self.converse(seat).await.map(Some),
        }
    }
}
