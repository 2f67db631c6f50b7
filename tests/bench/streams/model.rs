//! A model that speaks at a fixed pace and says the time: each token is the moment it was written, so that a client knows
//! how long it was on its way. How many tokens, and how fast, is what the user asks for.

use std::{net::Ipv4Addr, str::FromStr, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use errand_devkit::model::request;
use futures::Stream;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::gauge::now;

/// How the model is to speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) tokens: u32,
    /// Between two tokens.
    pub(crate) gap: Duration,
    /// Before the first.
    pub(crate) first: Duration,
}

impl Pace {
    /// The message that asks for it.
    pub(crate) fn message(self) -> String {
        let (gap, first) = (self.gap.as_micros(), self.first.as_micros());
        format!("{} {gap} {first}", self.tokens)
    }

    /// The time of a whole answer.
    pub(crate) fn length(self) -> Duration {
        self.first + self.gap * self.tokens
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
        Ok(Self {
            tokens,
            gap: Duration::from_micros(gap.into()),
            first: Duration::from_micros(first.into()),
        })
    }
}

/// A token's text as the client sees it: when it was written, and of an answer's first one also when the request came.
pub(crate) fn read_token(token: &str) -> Result<(Option<u64>, u64)> {
    let read = |text: &str| text.parse::<u64>().with_context(|| format!("{token:?}"));
    match token.split_once(':') {
        Some((asked, written)) => Ok((Some(read(asked)?), read(written)?)),
        None => Ok((None, read(token)?)),
    }
}

/// The running model, stopped when dropped.
pub(crate) struct PacedModel {
    pub(crate) base_url: String,
    server: JoinHandle<()>,
}

impl PacedModel {
    pub(crate) async fn start() -> Result<Self> {
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

async fn chat(Json(asked): Json<Value>) -> Response {
    let came = now();
    match request::last_user(&asked).parse::<Pace>() {
        Ok(pace) => {
            let events = [(header::CONTENT_TYPE, "text/event-stream")];
            (events, Body::from_stream(speak(pace, came))).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Token after token, each at its time: one that is late does not delay the next.
fn speak(pace: Pace, came: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let first = Instant::now() + pace.first;
    futures::stream::unfold(0, move |token| async move {
        if token > pace.tokens {
            return None;
        }
        sleep_until(first + pace.gap * token.min(pace.tokens - 1)).await;
        let written = now();
        let events = if token == pace.tokens {
            let usage = r#"{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
            let last = chunk("{}", r#""stop""#);
            format!("{last}data: {usage}\n\ndata: [DONE]\n\n")
        } else if token == 0 {
            let role = chunk(r#"{"role":"assistant","content":""}"#, "null");
            let delta = format!(r#"{{"content":"{came}:{written} "}}"#);
            role + &chunk(&delta, "null")
        } else {
            chunk(&format!(r#"{{"content":"{written} "}}"#), "null")
        };
        Some((Ok(Bytes::from(events)), token + 1))
    })
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-paced\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"paced\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}
