//! A socket that stays open between turns.

use anyhow::{Context, Result, bail, ensure};
use errand_bench::gauge::now;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite::Message,
};
use uuid::Uuid;

use super::{Exchange, FirstToken, Seat, sse::hear};

pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What it is subscribed to.
    thread: Option<Uuid>,
}

impl Exchange<'_> {
    pub(super) async fn converse(&self, seat: &mut Seat) -> Result<FirstToken> {
        let thread = *seat.conversation.get_or_insert_with(Uuid::now_v7);
        let mut socket = match seat.socket.take() {
            Some(socket) => socket,
            None => self.connect(seat).await?,
        };
        if let Some(old) = socket.thread.replace(thread)
            && old != thread
        {
            let left = json!({"threadId": old});
            socket.call("unsubscribe", left).await?;
        }
        let run = Uuid::now_v7().to_string();
        let start = json!({"message": self.message, "threadId": thread, "runId": run});
        socket.call("run.start", start).await?;
        let mut first = None;
        loop {
            let frame = socket.frame().await?;
            ensure!(frame["type"] != "error", "{frame}");
            if frame["runId"] == run.as_str() && hear(&frame["event"], now(), &mut first)? {
                break;
            }
        }
        seat.socket = Some(socket);
        first.context("no token")
    }

    async fn connect(&self, seat: &Seat) -> Result<Socket> {
        let url = format!("{}/api/{}/chat", self.url, seat.user.id);
        let url = url.replacen("http", "ws", 1);
        let (stream, _) = connect_async_with_config(url, None, true).await?;
        let mut socket = Socket {
            stream,
            thread: None,
        };
        let auth = json!({"token": seat.user.token});
        socket.call("auth", auth).await?;
        let answer = socket.frame().await?;
        ensure!(answer["type"] == "success", "{answer}");
        Ok(socket)
    }
}

impl Socket {
    async fn call(&mut self, method: &str, params: Value) -> Result<()> {
        let call = json!({"id": method, "method": method, "params": params});
        Ok(self.stream.send(Message::text(call.to_string())).await?)
    }

    async fn frame(&mut self) -> Result<Value> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => bail!("the socket ended: {other:?}"),
            }
        }
    }
}
