//! A lenient client for the tests of the stand-ins: what came over the wire, put together again.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use super::answer::Call;

/// A stream as received.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) raw: String,
    pub(super) chunks: Vec<Value>,
    pub(super) done: bool,
    /// The connection broke before the end of the body.
    pub(super) broken: bool,
    pub(super) silent: bool,
}

impl Received {
    pub(super) fn text(&self) -> String {
        self.deltas()
            .filter_map(|d| d["content"].as_str().map(str::to_owned))
            .collect()
    }

    pub(super) fn finish(&self) -> Option<&str> {
        self.chunks
            .iter()
            .find_map(|c| c["choices"][0]["finish_reason"].as_str())
    }

    /// The calls, told apart by their ids, which every dialect sends in a call's first fragment.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for part in self
            .deltas()
            .filter_map(|d| d["tool_calls"].as_array().cloned())
            .flatten()
        {
            let function = &part["function"];
            if let (Some(id), Some(name)) = (part["id"].as_str(), function["name"].as_str()) {
                calls.push(Call {
                    id: id.to_owned(),
                    ..Call::raw(name, "")
                });
            }
            let call = calls.last_mut().expect("a fragment follows its opening");
            call.arguments
                .push_str(function["arguments"].as_str().unwrap_or_default());
        }
        calls
    }

    pub(super) fn usage(&self) -> Option<&Value> {
        self.chunks
            .iter()
            .map(|c| &c["usage"])
            .find(|usage| usage.is_object())
    }

    fn deltas(&self) -> impl Iterator<Item = &Value> {
        self.chunks.iter().map(|c| &c["choices"][0]["delta"])
    }
}

pub(super) fn question(text: &str) -> Value {
    json!({
        "model": "stand-in",
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": text}],
    })
}

/// Sends a request and reads the answer to its end, or until half a second of silence.
pub(super) async fn ask(base_url: &str, request: &Value) -> reqwest::Result<Received> {
    let client = reqwest::Client::new();
    let response = client
        .post(format!("{base_url}/chat/completions"))
        .json(request)
        .send()
        .await?;
    let mut received = Received {
        status: response.status().as_u16(),
        ..Received::default()
    };
    let retry_after = response.headers().get("retry-after");
    received.retry_after = retry_after.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut body = response.bytes_stream();
    let mut bytes = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(500), body.next()).await {
            Ok(Some(Ok(piece))) => bytes.extend_from_slice(&piece),
            Ok(Some(Err(_))) => received.broken = true,
            Ok(None) => break,
            Err(_) => {
                received.silent = true;
                break;
            }
        }
    }
    received.raw = String::from_utf8_lossy(&bytes).into_owned();
    let data: Vec<&str> = received
        .raw
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    received.done = data.last() == Some(&"[DONE]");
    received.chunks = data
        .iter()
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    Ok(received)
}
