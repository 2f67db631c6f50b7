//! A request whose answer is a stream of events.

use anyhow::{Context, Result, bail, ensure};
use errand_bench::gauge::now;
use futures::StreamExt;
use serde_json::Value;

use super::{Exchange, FirstToken, Seat};

impl Exchange<'_> {
    pub(super) async fn stream(&self, seat: &mut Seat) -> Result<FirstToken> {
        let request = self.request(seat).header("accept", "text/event-stream");
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status == 200, "{status}: {}", answer.text().await?);
        let mut pieces = answer.bytes_stream();
        let (mut text, mut first) = (Vec::new(), None);
        while let Some(piece) = pieces.next().await {
            let at = now();
            text.extend_from_slice(&piece?);
            while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let Some(data) = line.strip_prefix(b"data:") else {
                    continue;
                };
                let event: Value = serde_json::from_slice(data)?;
                if let Some(thread) = event["threadId"].as_str() {
                    seat.conversation = Some(thread.parse()?);
                }
                if hear(&event, at, &mut first)? {
                    return first.context("no token");
                }
            }
        }
        bail!("the stream ended before the run")
    }
}

/// Notes the first token; whether the run is over.
pub(super) fn hear(event: &Value, at: u64, first: &mut Option<FirstToken>) -> Result<bool> {
    match event["type"].as_str() {
        Some("TEXT_MESSAGE_CONTENT") if first.is_none() => {
            let text = event["delta"].as_str().unwrap_or_default().to_owned();
            *first = Some(FirstToken { at, text });
        }
        Some("RUN_FINISHED") => return Ok(true),
        Some("RUN_ERROR") => bail!("the run failed: {}", event["code"]),
        _ => {}
    }
    Ok(false)
}
