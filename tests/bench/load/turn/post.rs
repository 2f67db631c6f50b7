//! A request that waits for the reply.

use anyhow::{Context, Result, ensure};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Exchange, Seat};

impl Exchange<'_> {
    pub(super) fn request(&self, seat: &Seat) -> RequestBuilder {
        let mut body = json!({"message": self.message});
        if let Some(conversation) = seat.conversation {
            body["conversation_id"] = json!(conversation);
        }
        let url = format!("{}/api/{}/chat", self.url, seat.user.id);
        let request = self.target.http.post(url).bearer_auth(&seat.user.token);
        request.json(&body)
    }

    pub(super) async fn post(&self, seat: &mut Seat) -> Result<()> {
        let answer = self.request(seat).header("prefer", "wait=60").send();
        let answer = answer.await?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await?)
            .with_context(|| format!("{status} without JSON"))?;
        ensure!(status == 200, "{status}: {}", body["error"]["code"]);
        let conversation = body["conversation_id"].as_str().unwrap_or_default();
        seat.conversation = Some(conversation.parse().context("no conversation")?);
        let calls: Vec<_> = body["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let expected: Vec<_> = self.deed.tool().into_iter().collect();
        let names: Vec<_> = calls.iter().map(|call| &call["tool_name"]).collect();
        ensure!(names == expected, "called {names:?} for {expected:?}");
        let done = calls.iter().all(|call| call["result"]["success"] == true);
        ensure!(done, "a tool refused: {calls:?}");
        Ok(())
    }
}
