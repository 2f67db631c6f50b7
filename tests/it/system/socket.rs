//! A client of the socket that remembers what came.

use std::time::Duration;

use errand_devkit::socket::{self, Received};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{PATIENCE, TestSystem};

pub(crate) struct Socket {
    socket: socket::Socket,
    /// Every frame that came, answers included.
    pub(crate) frames: Vec<Value>,
    next_id: u64,
}

impl Socket {
    fn of(socket: socket::Socket) -> Self {
        Self {
            socket,
            frames: Vec::new(),
            next_id: 0,
        }
    }

    /// Connects from an origin; the status if the upgrade is refused.
    pub(crate) async fn try_open(
        system: &TestSystem,
        user: &str,
        origin: Option<&str>,
    ) -> Result<Self, u16> {
        let opened = socket::Socket::open_from(origin, &system.url, user).await;
        opened.expect("an answer").map(Self::of)
    }

    /// Connects without saying who it is.
    pub(crate) async fn open(system: &TestSystem, user: &str) -> Self {
        Self::try_open(system, user, None)
            .await
            .expect("an upgrade")
    }

    /// Connects as this user, with so small a buffer that a reader who pauses is soon felt.
    pub(crate) async fn connect_with_small_buffer(system: &TestSystem, user: &str) -> Self {
        let opened = socket::Socket::open_with_buffer(&system.url, user, 4096).await;
        let mut socket = Self::of(opened.expect("an upgrade"));
        socket
            .call("auth", json!({"token": system.identity.token(user)}))
            .await;
        socket
    }

    /// Pauses for longer than the server waits, then reads to the end of the connection.
    pub(crate) async fn is_dropped(&mut self) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        while let Ok(Ok(received)) = timeout(PATIENCE, self.socket.receive()).await {
            if let Received::Frame(frame) = received {
                self.frames.push(frame);
            }
        }
    }

    /// Connects as this user.
    pub(crate) async fn connect(system: &TestSystem, user: &str) -> Self {
        let mut socket = Self::open(system, user).await;
        let answer = socket
            .call("auth", json!({"token": system.identity.token(user)}))
            .await;
        assert_eq!(
            (answer["type"].as_str(), answer["userId"].as_str()),
            (Some("success"), Some(user)),
            "{answer}"
        );
        assert!(answer["expiresAt"].is_i64());
        socket
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // A server that has hung up is found out by who waits for its close.
        let _ = self.socket.send(text).await;
    }

    /// Calls a method and waits for its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = format!("call-{}", self.next_id);
        self.send(&json!({"id": id, "method": method, "params": params}).to_string())
            .await;
        self.until(|frame| frame["id"] == id).await
    }

    /// The next frame.
    async fn next(&mut self) -> &Value {
        match self.socket.frame(PATIENCE).await {
            Ok(frame) => self.frames.push(frame),
            Err(error) => panic!("{error:#} after {:#?}", self.frames),
        }
        &self.frames[self.frames.len() - 1]
    }

    /// Waits for a frame like this, among those that came too.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(frame) = self.frames.iter().find(|frame| wanted(frame)) {
            return frame.clone();
        }
        loop {
            let frame = self.next().await;
            if wanted(frame) {
                return frame.clone();
            }
        }
    }

    /// Waits for this many events, or for the end of a run.
    pub(crate) async fn until_events(&mut self, wanted: usize) {
        let mut events = self.events();
        while events.len() < wanted
            && !events
                .iter()
                .any(|(_, event)| event["type"] == "RUN_FINISHED")
        {
            self.next().await;
            events = self.events();
        }
    }

    /// The events that came, with their seq.
    pub(crate) fn events(&self) -> Vec<(i64, Value)> {
        let events = self.frames.iter().filter(|frame| frame["type"] == "event");
        events
            .map(|frame| {
                (
                    frame["seq"].as_i64().expect("a seq"),
                    frame["event"].clone(),
                )
            })
            .collect()
    }

    /// Closes, and waits for nothing.
    pub(crate) async fn leave(self) {
        self.socket.leave().await;
    }

    /// Whether a call is answered, and not the socket closed.
    pub(crate) async fn is_answered(&mut self, id: &str) -> bool {
        loop {
            match timeout(PATIENCE, self.socket.receive())
                .await
                .expect("in time")
            {
                Ok(Received::Frame(frame)) if frame["id"] == id => return true,
                Ok(Received::Frame(_)) => {}
                Ok(Received::Closed(_)) | Err(_) => return false,
            }
        }
    }

    /// Waits until the server closes; returns its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        let closed = self.socket.closed(PATIENCE).await;
        let code = closed.unwrap_or_else(|error| panic!("no close frame: {error:#}"));
        code.expect("a code")
    }
}
