//! The WebSocket: the client names thread and run, so that it can begin and follow from whichever API.

use anyhow::{Result, bail};
use errand_devkit::socket::Socket;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{ANSWER, Client, End, PAUSE, start::Start};

/// What a client has of its turn.
struct Seen {
    run: String,
    thread: Uuid,
    /// The server has said that the run has begun.
    begun: bool,
    seq: i64,
    over: bool,
}

impl Client<'_> {
    pub(super) async fn socket_run(&mut self, key: &str, start: &Start) -> End {
        let run = match start {
            Start::Message => Uuid::now_v7(),
            Start::Decision { run, .. } => *run,
        };
        let mut seen = Seen {
            run: run.to_string(),
            thread: *self.conversation.get_or_insert_with(Uuid::now_v7),
            begun: false,
            seq: 0,
            over: false,
        };
        while !seen.over {
            // Whatever goes wrong with a connection, the next one goes on.
            let _ = self.follow(key, start, &mut seen).await;
            if !seen.over {
                sleep(PAUSE).await;
            }
        }
        self.poll(key, &seen.run).await
    }

    /// One connection, from its start to its end or that of the run.
    async fn follow(&mut self, key: &str, start: &Start, seen: &mut Seen) -> Result<()> {
        let api = self.api();
        let mut socket = timeout(ANSWER, Socket::open(&api, self.pen.user)).await??;
        socket.call("auth", json!({"token": self.token})).await?;
        loop {
            let frame = socket.frame(ANSWER).await?;
            match (frame["type"].as_str(), frame["id"].as_str()) {
                (Some("success"), Some("auth")) => {
                    self.begin(key, start, &mut socket, seen).await?;
                }
                (Some("success"), Some("run.start" | "run.decide")) if !seen.begun => {
                    seen.begun = true;
                    self.begun(key, start, &seen.run);
                }
                (Some("success"), _) => {}
                (Some("error"), _) if frame["error"] == "unavailable" => bail!("unavailable"),
                (Some("error"), _) => {
                    self.pen.wrong(key, &format!("the socket answers {frame}"));
                    bail!("an error");
                }
                (Some("event"), _) if frame["runId"] == seen.run.as_str() => {
                    self.note(key, &frame, seen);
                    if seen.over {
                        return Ok(());
                    }
                }
                (Some("resync_required"), _) => self.pen.wrong(key, "resync_required"),
                _ => {}
            }
        }
    }

    /// Begins the run; or goes on with it, where the last connection has stopped.
    async fn begin(
        &self,
        key: &str,
        start: &Start,
        socket: &mut Socket,
        seen: &Seen,
    ) -> Result<()> {
        if seen.begun {
            let after = json!({"runId": seen.run, "seq": seen.seq});
            let subscribe = json!({"threadId": seen.thread, "after": after});
            return socket.call("subscribe", subscribe).await;
        }
        let (method, params) = self.call(key, start, &seen.run, seen.thread);
        socket.call(method, params).await
    }

    fn note(&self, key: &str, frame: &Value, seen: &mut Seen) {
        let seq = frame["seq"].as_i64().unwrap_or(0);
        // A start that was not confirmed begins with the first event again.
        if !seen.begun && seq <= seen.seq {
            return;
        }
        let event = &frame["event"];
        self.pen.event(key, &seen.run, seq, event);
        seen.seq = seq;
        seen.over |= matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"));
    }
}
