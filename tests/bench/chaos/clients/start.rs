//! How a run begins: with a message, or with a decision about the calls of one that waits.

use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Client;
use crate::model_script;

/// Share of the decisions that let the calls be made.
const APPROVED: f64 = 0.75;

/// What a client asks for until it is told that it is there.
pub(super) enum Start {
    Message,
    Decision {
        /// The run that waits.
        waiting: String,
        approve: bool,
        /// The run that is to go on.
        run: Uuid,
    },
}

impl Start {
    /// Decides about a run that waits, one way or the other.
    pub(super) fn decision(waiting: String, random: &mut StdRng) -> Self {
        Self::Decision {
            waiting,
            approve: random.random_bool(APPROVED),
            run: Uuid::now_v7(),
        }
    }
}

impl Client<'_> {
    /// The request that begins a run. Sent again, it finds the run that it began.
    pub(super) fn request(&mut self, key: &str, start: &Start) -> reqwest::RequestBuilder {
        let request = match start {
            Start::Message => {
                let mut body = json!({"message": model_script::message(key)});
                if let Some(conversation) = self.conversation {
                    body["conversation_id"] = json!(conversation);
                }
                let url = self.url("chat");
                let post = self.http.post(url).json(&body);
                post.header("idempotency-key", key)
            }
            Start::Decision {
                waiting,
                approve,
                run,
            } => {
                let url = self.url(&format!("runs/{waiting}/decision"));
                let body = json!({"approve": approve, "run_id": run});
                self.http.post(url).json(&body)
            }
        };
        request.bearer_auth(&self.token)
    }

    /// The server has said that the run is there.
    pub(super) fn begun(&self, key: &str, start: &Start, run: &str) {
        match start {
            Start::Message => self.pen.accepted(key, run),
            Start::Decision {
                waiting, approve, ..
            } => self.pen.decided(key, waiting, *approve, run),
        }
    }

    /// The call of a socket that begins a run, of a name that the client has given it: method and parameters.
    pub(super) fn call(
        &self,
        key: &str,
        start: &Start,
        run: &str,
        thread: Uuid,
    ) -> (&'static str, Value) {
        match start {
            Start::Message => {
                let message = model_script::message(key);
                let start = json!({"message": message, "threadId": thread, "runId": run});
                ("run.start", start)
            }
            Start::Decision {
                waiting, approve, ..
            } => {
                let decide = json!({"runId": waiting, "approve": approve, "newRunId": run});
                ("run.decide", decide)
            }
        }
    }
}
