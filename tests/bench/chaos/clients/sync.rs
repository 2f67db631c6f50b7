//! The plain way: POST with a key, repeated until there is an answer.

use std::time::Duration;

use rand::RngExt;
use serde_json::Value;
use tokio::time::sleep;

use super::{Client, End, PAUSE, start::Start};

impl Client<'_> {
    pub(super) async fn sync_run(&mut self, key: &str, start: &Start) -> End {
        let cancels = self.random.random_bool(self.world.cancels);
        let prefer = if cancels { "respond-async" } else { "wait=25" };
        loop {
            let request = self.request(key, start).header("prefer", prefer);
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                let body: Value = answer.json().await.unwrap_or_default();
                if let Some(end) = self.read(key, start, status, &body, cancels).await {
                    return end;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for a cancel, at any moment of the run; whether it comes in time is seen at the end.
    async fn cancel(&mut self, run: &str) {
        sleep(Duration::from_millis(self.random.random_range(0..1500))).await;
        let url = self.url(&format!("runs/{run}/cancel"));
        let _ = self.http.post(url).bearer_auth(&self.token).send().await;
    }

    /// What an answer means; none if the request is to be repeated.
    async fn read(
        &mut self,
        key: &str,
        start: &Start,
        status: u16,
        body: &Value,
        cancels: bool,
    ) -> Option<End> {
        let run = body["run_id"]
            .as_str()
            .or(body["error"]["details"]["run_id"].as_str());
        if let Some(conversation) = body["conversation_id"].as_str() {
            self.conversation = conversation.parse().ok();
        }
        match (status, run) {
            (200, Some(run)) => {
                self.begun(key, start, run);
                Some(End {
                    run: run.to_owned(),
                    reply: body["response"].as_str().map(str::to_owned),
                    code: None,
                    waits: false,
                })
            }
            (202, Some(run)) => {
                self.begun(key, start, run);
                let run = run.to_owned();
                if cancels {
                    self.cancel(&run).await;
                }
                Some(self.poll(key, &run).await)
            }
            // The run has failed, or its process could not say more.
            (500 | 502 | 504, Some(run)) => {
                self.begun(key, start, run);
                Some(End {
                    run: run.to_owned(),
                    reply: None,
                    code: body["error"]["code"].as_str().map(str::to_owned),
                    waits: false,
                })
            }
            // A cancel that was long under way came first.
            (409, _) if let Start::Decision { waiting, .. } = start => {
                Some(self.poll(key, waiting).await)
            }
            (0 | 503 | 429, _) => None,
            // Cut in the middle of the body.
            (200, None) if body.is_null() => None,
            _ => {
                self.pen.wrong(key, &format!("an answer {status}: {body}"));
                None
            }
        }
    }
}
