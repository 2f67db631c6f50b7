//! Server-sent events: POST for a stream, `Last-Event-ID` to go on with it, from whichever API.

use futures::StreamExt;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{ANSWER, Client, End, PAUSE, start::Start};

/// What a client has of a stream.
#[derive(Default)]
struct Seen {
    run: Option<String>,
    seq: i64,
    over: bool,
}

impl Client<'_> {
    pub(super) async fn sse_run(&mut self, key: &str, start: &Start) -> End {
        let mut seen = Seen::default();
        while !seen.over {
            let request = match &seen.run {
                // Nothing is known of the run: the same request again, which finds it if it is there.
                None => self.request(key, start),
                Some(run) => {
                    let url = self.url(&format!("runs/{run}/events"));
                    let get = self.http.get(url).bearer_auth(&self.token);
                    get.header("last-event-id", seen.seq)
                }
            };
            let request = request.header("accept", "text/event-stream");
            if let Ok(answer) = request.send().await {
                match answer.status().as_u16() {
                    200 => self.listen(key, start, answer, &mut seen).await,
                    503 | 429 => {}
                    status => {
                        let body = answer.text().await.unwrap_or_default();
                        self.pen
                            .wrong(key, &format!("a stream answers {status}: {body}"));
                    }
                }
            }
            if !seen.over {
                sleep(PAUSE).await;
            }
        }
        let run = seen.run.unwrap_or_default();
        self.poll(key, &run).await
    }

    /// Reads a stream until it ends, however that is.
    async fn listen(
        &mut self,
        key: &str,
        start: &Start,
        answer: reqwest::Response,
        seen: &mut Seen,
    ) {
        let mut body = answer.bytes_stream();
        let mut text = String::new();
        while let Ok(Some(Ok(bytes))) = timeout(ANSWER, body.next()).await {
            text.push_str(&String::from_utf8_lossy(&bytes));
            while let Some(end) = text.find("\n\n") {
                let block: String = text.drain(..end + 2).collect();
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                let (Some(id), Some(data)) = (line("id:"), line("data:")) else {
                    continue;
                };
                let event: Value = serde_json::from_str(data.trim()).unwrap_or_default();
                self.hear(key, start, id.trim().parse().unwrap_or(0), &event, seen);
            }
        }
    }

    fn hear(&mut self, key: &str, start: &Start, seq: i64, event: &Value, seen: &mut Seen) {
        if seen.run.is_none()
            && let Some(run) = event["runId"].as_str()
        {
            self.begun(key, start, run);
            seen.run = Some(run.to_owned());
            self.conversation = event["threadId"].as_str().and_then(|id| id.parse().ok());
        }
        self.pen
            .event(key, seen.run.as_deref().unwrap_or_default(), seq, event);
        seen.seq = seq;
        seen.over |= matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"));
    }
}
