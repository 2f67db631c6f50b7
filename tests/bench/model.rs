//! A model that speaks at a fixed pace and costs little: it reads of a request only what it needs.
//!
//! What is said to it decides the answer: a message that begins with "add" or "list" gets a tool call, another one text. The
//! model's name says how fast (see [`Pace::name`]). A message made by [`Pace::stamped`] gets that pace, and each token is the
//! moment it was written; of other texts only the first token is, so that a client knows how long it was on its way.

mod answer;
mod asked;

use std::{net::Ipv4Addr, str::FromStr, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures::Stream;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::gauge::now;
use answer::{Call, Form};
use asked::{Asked, Wish};

/// How the model is to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub tokens: u32,
    /// Between two tokens.
    pub gap: Duration,
    /// Before the first; also the time of a tool call.
    pub first: Duration,
}

impl Default for Pace {
    /// A short answer at once.
    fn default() -> Self {
        Self {
            tokens: 13,
            gap: Duration::ZERO,
            first: Duration::ZERO,
        }
    }
}

impl Pace {
    /// The message that asks for it, and for tokens that say the time.
    pub fn stamped(self) -> String {
        let (gap, first) = (self.gap.as_micros(), self.first.as_micros());
        format!("{} {gap} {first}", self.tokens)
    }

    /// The name of a model that speaks so.
    pub fn name(self) -> String {
        format!("paced-{}", self.stamped().replace(' ', "-"))
    }

    /// The time of a whole text.
    pub fn length(self) -> Duration {
        self.first + self.gap * self.tokens.saturating_sub(1)
    }

    /// The model's own part of a turn with or without a tool call, until its last token.
    pub fn turn(self, tool: bool) -> Duration {
        self.length() + if tool { self.first } else { Duration::ZERO }
    }

    fn named(model: &str) -> Option<Self> {
        model.strip_prefix("paced-")?.replace('-', " ").parse().ok()
    }
}

impl FromStr for Pace {
    type Err = anyhow::Error;

    fn from_str(message: &str) -> Result<Self> {
        let numbers = message
            .split(' ')
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>()?;
        let &[tokens, gap, first] = numbers.as_slice() else {
            anyhow::bail!("{message:?} is no pace");
        };
        ensure!(tokens > 0, "no tokens");
        Ok(Self {
            tokens,
            gap: Duration::from_micros(gap.into()),
            first: Duration::from_micros(first.into()),
        })
    }
}

/// A token's text as the client sees it: when it was written, and of an answer's first one also when the request came.
///
/// # Errors
/// The model did not write it.
pub fn read_token(token: &str) -> Result<(Option<u64>, u64)> {
    let read = |text: &str| text.parse::<u64>().with_context(|| format!("{token:?}"));
    match token.split_once(':') {
        Some((asked, written)) => Ok((Some(read(asked)?), read(written)?)),
        None => Ok((None, read(token)?)),
    }
}

/// The running model, stopped when dropped.
#[derive(Debug)]
pub struct PacedModel {
    pub base_url: String,
    server: JoinHandle<()>,
}

impl PacedModel {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let listener = listener.tap_io(|socket| {
            // A token must leave when it is written.
            let _ = socket.set_nodelay(true);
        });
        let app = Router::new().route("/v1/chat/completions", post(chat));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { base_url, server })
    }
}

impl Drop for PacedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn chat(body: Bytes) -> Response {
    match answer(&body).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn answer(body: &[u8]) -> Result<Response> {
    let came = now();
    let asked: Asked<'_> = serde_json::from_slice(body)?;
    ensure!(!asked.messages.is_empty(), "no messages");
    let wish = asked.wish()?;
    let pace = match &wish {
        Wish::Stamps(pace) => *pace,
        Wish::Call(..) | Wish::Words => Pace::named(&asked.model).unwrap_or_default(),
    };
    let form = Form::of(asked.stream);
    let content_type = [(header::CONTENT_TYPE, form.content_type())];
    let begun = Instant::now();
    let stamped = match wish {
        Wish::Call(name, arguments) => {
            pause(begun + pace.first).await;
            let call = form.call(&Call { name, arguments });
            return Ok((content_type, call).into_response());
        }
        Wish::Stamps(_) => true,
        Wish::Words => false,
    };
    if form == Form::Whole || pace.gap.is_zero() {
        pause(begun + pace.first).await;
        let first = now();
        pause(begun + pace.length()).await;
        let text = (0..pace.tokens).map(|nth| match nth {
            0 => answer::first_token(came, first),
            nth => answer::token(nth, stamped),
        });
        return Ok((content_type, form.text(text)).into_response());
    }
    let body = Body::from_stream(speak(pace, came, begun + pace.first, stamped));
    Ok((content_type, body).into_response())
}

/// Not even a moment if the time has come: a timer's are milliseconds.
async fn pause(until: Instant) {
    if until > Instant::now() {
        sleep_until(until).await;
    }
}

/// Token after token, each at its time: one that is late does not delay the next.
fn speak(
    pace: Pace,
    came: u64,
    first: Instant,
    stamped: bool,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    futures::stream::unfold(0, move |nth| async move {
        if nth > pace.tokens {
            return None;
        }
        pause(first + pace.gap * nth.min(pace.tokens - 1)).await;
        let events = if nth == pace.tokens {
            answer::end("stop")
        } else if nth == 0 {
            answer::role() + &answer::delta(&answer::first_token(came, now()))
        } else {
            answer::delta(&answer::token(nth, stamped))
        };
        Some((Ok(Bytes::from(events)), nth + 1))
    })
}
