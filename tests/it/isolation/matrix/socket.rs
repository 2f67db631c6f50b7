//! The matrix on the socket: every method that it says it has.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{HERS, Matrix};
use crate::system::socket::Socket;

/// The methods, as the socket itself lists them to who asks for another one.
pub(crate) async fn methods(socket: &mut Socket) -> Vec<String> {
    let answer = socket.call("no.such.method", json!({})).await;
    let message = answer["message"].as_str().expect("a message");
    let (_, listed) = message.split_once("these are: ").expect("a list");
    listed
        .trim_end_matches('.')
        .split(", ")
        .map(str::to_owned)
        .collect()
}

/// What a call should be answered with, to somebody whose ids these are not.
enum Expected {
    Error(&'static str),
    /// It has no effect, and shows nothing.
    Nothing,
}

impl Matrix {
    /// The calls of a method with Ada's ids wherever there is a place for an id. A method that is new panics here: teach it.
    fn calls(&self, method: &str, token: &str) -> Vec<(Value, Expected)> {
        use Expected::{Error, Nothing};
        let (thread, run) = (&self.ids.conversation, &self.ids.run);
        let new = Uuid::now_v7();
        match method {
            "auth" => vec![(json!({"token": token}), Error("forbidden"))],
            "run.start" => vec![
                (
                    json!({"message": "hi", "threadId": thread, "onBusy": "interrupt"}),
                    Error("not_found"),
                ),
                (
                    json!({"message": "hi", "threadId": thread, "runId": new}),
                    Error("not_found"),
                ),
                (
                    json!({"message": "hi", "threadId": new, "runId": run}),
                    Error("idempotency_key_reused"),
                ),
            ],
            "subscribe" => vec![
                (json!({"threadId": thread}), Error("not_found")),
                (
                    json!({"threadId": thread, "after": {"runId": run, "seq": 0}}),
                    Error("not_found"),
                ),
            ],
            "unsubscribe" => vec![(json!({"threadId": thread}), Nothing)],
            "run.cancel" => vec![(json!({"runId": run}), Error("not_found"))],
            "run.decide" => {
                let waiting = &self.ids.waiting;
                vec![
                    (
                        json!({"runId": waiting, "approve": true}),
                        Error("not_found"),
                    ),
                    (
                        json!({"runId": waiting, "approve": true, "newRunId": run}),
                        Error("not_found"),
                    ),
                ]
            }
            "run.retry" => {
                let stopped = &self.ids.stopped;
                vec![
                    (json!({"runId": stopped}), Error("not_found")),
                    (
                        json!({"runId": stopped, "newRunId": new}),
                        Error("not_found"),
                    ),
                    (
                        json!({"runId": stopped, "newRunId": run}),
                        Error("not_found"),
                    ),
                ]
            }
            "ping" => vec![(json!({}), Nothing)],
            _ => panic!(
                "teach this test the socket's method {method}: which of a user's ids does it take?"
            ),
        }
    }

    /// Bob on his own path with Ada's ids, and on Ada's path with his own token.
    pub(super) async fn on_sockets(&self) {
        let mut lost = Socket::open(&self.system, "ada").await;
        let token = self.system.identity.token("bob");
        let answer = lost.call("auth", json!({"token": token})).await;
        assert_eq!(answer["error"], "forbidden");
        assert_eq!(lost.closed().await, 4401);

        let mut bob = Socket::connect(&self.system, "bob").await;
        let token = self.system.identity.token("ada");
        for method in methods(&mut bob).await {
            for (params, expected) in self.calls(&method, &token) {
                let answer = bob.call(&method, params.clone()).await;
                match expected {
                    Expected::Error(code) => {
                        assert_eq!(answer["error"], code, "{method} {params}: {answer}")
                    }
                    Expected::Nothing => {
                        assert_eq!(answer["type"], "success", "{method} {params}: {answer}")
                    }
                }
            }
        }
        self.nothing_comes_later(&mut bob).await;
    }

    /// Whatever he has asked for, nothing of hers comes after it: a ping is answered behind what was on its way.
    async fn nothing_comes_later(&self, bob: &mut Socket) {
        // In a conversation of his own he cannot go on from a run of hers either.
        let mine = Uuid::now_v7();
        let started = bob
            .call("run.start", json!({"message": "hi", "threadId": mine}))
            .await;
        assert_eq!(started["type"], "success", "{started}");
        bob.until(|frame| frame["event"]["type"] == "RUN_FINISHED")
            .await;
        let after = json!({"threadId": mine, "after": {"runId": self.ids.run, "seq": 1}});
        assert_eq!(bob.call("subscribe", after).await["type"], "success");
        bob.until(|frame| frame["type"] == "resync_required").await;
        bob.call("ping", json!({})).await;
        for frame in &bob.frames {
            let frame = frame.to_string();
            for hers in [HERS, &self.ids.run, &self.ids.task] {
                assert!(!frame.contains(hers), "{frame}");
            }
        }
    }

    /// One more run of hers that was cancelled.
    async fn stopped(&self, ada: &mut Socket) -> Value {
        let ask = json!({"message": format!("look for what is {HERS}")});
        let run = ada.call("run.start", ask).await["runId"].clone();
        ada.until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == run)
            .await;
        let cancelled = ada.call("run.cancel", json!({"runId": run})).await;
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        run
    }

    /// The positive control: each method works for her, and Bob, who is connected, hears nothing of it.
    pub(super) async fn her_own_on_sockets(&self) {
        let mut bob = Socket::connect(&self.system, "bob").await;
        let mut ada = Socket::connect(&self.system, "ada").await;
        let token = self.system.identity.token("ada");
        for method in methods(&mut ada).await {
            for (mut params, _) in self.calls(&method, &token) {
                // Her run is over, so a start under its id is a repeat of another request.
                if method == "run.start" {
                    params["runId"] = json!(Uuid::now_v7());
                }
                // A run is retried once, and under an id that is free.
                if method == "run.retry" {
                    params = json!({"runId": self.stopped(&mut ada).await});
                }
                let answer = ada.call(&method, params.clone()).await;
                assert_eq!(answer["type"], "success", "{method} {params}: {answer}");
            }
        }
        let again = json!({"message": HERS, "threadId": self.ids.conversation});
        let run = ada.call("run.start", again).await["runId"].clone();
        ada.until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == run)
            .await;
        bob.call("ping", json!({})).await;
        assert!(
            bob.frames.iter().all(|frame| frame["type"] == "success"),
            "{:?}",
            bob.frames
        );
    }
}
