//! A client of the socket: tokio-tungstenite, frames as JSON.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;

use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::{PATIENCE, TestSystem};

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Every frame that came, answers included.
    pub(crate) frames: Vec<Value>,
    next_id: u64,
}

impl Socket {
    /// Connects from an origin; the status if the upgrade is refused.
    pub(crate) async fn try_open(
        system: &TestSystem,
        user: &str,
        origin: Option<&str>,
    ) -> Result<Self, u16> {
        let url = format!("{}/api/{user}/chat", system.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a URL");
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                frames: Vec::new(),
                next_id: 0,
            }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects without saying who it is.
    pub(crate) async fn open(system: &TestSystem, user: &str) -> Self {
        Self::try_open(system, user, None)
            .await
            .expect("an upgrade")
    }

    /// Connects as this user, with so small a buffer that a reader who pauses is soon felt.
    pub(crate) async fn connect_with_small_buffer(system: &TestSystem, user: &str) -> Self {
        let address = system
            .url
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = MaybeTlsStream::Plain(socket.connect(address).await.expect("a connection"));
        let url = format!("{}/api/{user}/chat", system.url.replacen("http", "ws", 1));
        let (stream, _) = client_async(url, stream).await.expect("an upgrade");
        let mut socket = Self {
            stream,
            frames: Vec::new(),
            next_id: 0,
        };
        socket
            .call("auth", json!({"token": system.identity.token(user)}))
            .await;
        socket
    }

    /// Pauses for longer than the server waits, then reads to the end of the connection.
    pub(crate) async fn is_dropped(&mut self) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        while let Ok(Some(Ok(message))) = timeout(PATIENCE, self.stream.next()).await {
            if let Message::Text(text) = message {
                self.frames.push(serde_json::from_str(&text).expect("JSON"));
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
        let _ = self.stream.send(Message::text(text)).await;
    }

    /// Calls a method and waits for its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = format!("call-{}", self.next_id);
        self.send(&json!({"id": id, "method": method, "params": params}).to_string())
            .await;
        self.until(|frame| frame["id"] == id).await
    }

    /// Waits for a frame like this, among those that came too.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(frame) = self.frames.iter().find(|frame| wanted(frame)) {
            return frame.clone();
        }
        loop {
            match timeout(PATIENCE, self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    self.frames.push(frame.clone());
                    if wanted(&frame) {
                        return frame;
                    }
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                other => panic!("{other:?} after {:#?}", self.frames),
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
            let known = self.frames.len();
            match timeout(PATIENCE, self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    self.frames.push(serde_json::from_str(&text).expect("JSON"))
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                other => panic!("{other:?} after {known} frames"),
            }
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
    pub(crate) async fn leave(mut self) {
        let _ = self.stream.close(None).await;
    }

    /// Whether a call is answered, and not the socket closed.
    pub(crate) async fn is_answered(&mut self, id: &str) -> bool {
        loop {
            match timeout(PATIENCE, self.stream.next())
                .await
                .expect("in time")
            {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["id"] == id {
                        return true;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return false,
            }
        }
    }

    /// Waits until the server closes; returns its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.stream.next())
                .await
                .expect("closes in time")
            {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame, but {other:?}"),
            }
        }
    }
}
