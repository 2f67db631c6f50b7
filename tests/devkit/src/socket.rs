//! A client of the WebSocket: frames as JSON, in both directions.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

/// One connection.
#[derive(Debug)]
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What the server sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    Frame(Value),
    /// It closed, with this code if it named one.
    Closed(Option<u16>),
}

/// The address of a user's socket at the API of this base URL.
fn address(api: &str, user: &str) -> String {
    format!("{}/api/{user}/chat", api.replacen("http", "ws", 1))
}

impl Socket {
    /// Connects without saying who it is. `api` is a base URL such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// The upgrade is refused.
    pub async fn open(api: &str, user: &str) -> Result<Self> {
        Self::at(address(api, user)).await
    }

    /// As [`Self::open`], at this URL, such as `ws://127.0.0.1:8080/api/ada/chat`.
    ///
    /// # Errors
    /// The upgrade is refused.
    pub async fn at(url: String) -> Result<Self> {
        let (stream, _) = connect_async_with_config(url, None, true).await?;
        Ok(Self(stream))
    }

    /// As [`Self::open`], for a page of this origin; the status if the upgrade is refused.
    ///
    /// # Errors
    /// There is no answer at all.
    pub async fn open_from(
        origin: Option<&str>,
        api: &str,
        user: &str,
    ) -> Result<Result<Self, u16>> {
        let mut request = address(api, user).into_client_request()?;
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse()?);
        }
        match connect_async_with_config(request, None, true).await {
            Ok((stream, _)) => Ok(Ok(Self(stream))),
            Err(Error::Http(response)) => Ok(Err(response.status().as_u16())),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Self::open`], with a receive buffer of so few bytes that a reader who pauses is soon felt.
    ///
    /// # Errors
    /// The upgrade is refused.
    pub async fn open_with_buffer(api: &str, user: &str, bytes: u32) -> Result<Self> {
        let server = api.trim_start_matches("http://").parse()?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        let stream = MaybeTlsStream::Plain(socket.connect(server).await?);
        let (stream, _) = client_async(address(api, user), stream).await?;
        Ok(Self(stream))
    }

    /// Says who it is, and waits for the answer, which is to be the first frame.
    ///
    /// # Errors
    /// It is no success, or does not come within this time.
    pub async fn authenticate(&mut self, token: &str, within: Duration) -> Result<Value> {
        self.call("auth", json!({"token": token})).await?;
        let answer = self.frame(within).await?;
        ensure!(answer["type"] == "success", "{answer}");
        Ok(answer)
    }

    /// Calls a method, under its own name as id, and waits for nothing.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<()> {
        let call = json!({"id": method, "method": method, "params": params});
        self.send(call.to_string()).await
    }

    /// Sends a text as it is.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<()> {
        Ok(self.0.send(Message::text(text.into())).await?)
    }

    /// What comes next, whenever it comes. Pings are answered on the way.
    ///
    /// # Errors
    /// The connection has ended without a close, or a frame is no JSON.
    pub async fn receive(&mut self) -> Result<Received> {
        loop {
            match self.0.next().await.context("the socket has ended")?? {
                Message::Text(text) => return Ok(Received::Frame(serde_json::from_str(&text)?)),
                Message::Close(close) => {
                    return Ok(Received::Closed(close.map(|close| close.code.into())));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("neither text nor close: {other:?}"),
            }
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// The socket is closed or ends, or nothing comes within this time.
    pub async fn frame(&mut self, within: Duration) -> Result<Value> {
        let received = timeout(within, self.receive()).await;
        match received.context("the server fell silent")?? {
            Received::Frame(frame) => Ok(frame),
            Received::Closed(code) => bail!("the socket was closed with {code:?}"),
        }
    }

    /// Waits until the server closes; its code.
    ///
    /// # Errors
    /// The connection ends without a close, or it stays open for longer than this.
    pub async fn closed(&mut self, within: Duration) -> Result<Option<u16>> {
        let closed = timeout(within, async {
            loop {
                if let Received::Closed(code) = self.receive().await? {
                    return Ok(code);
                }
            }
        });
        closed.await.context("the socket stays open")?
    }

    /// Listens, and so answers pings, until the server closes.
    pub async fn idle(mut self) {
        while let Ok(Received::Frame(_)) = self.receive().await {}
    }

    /// Closes, and waits for nothing.
    pub async fn leave(mut self) {
        let _ = self.0.close(None).await;
    }
}
