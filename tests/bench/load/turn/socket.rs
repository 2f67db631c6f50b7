//! A socket that stays open between turns.

use anyhow::{Context, Result, ensure};
use errand_bench::gauge::now;
use errand_devkit::socket;
use serde_json::json;
use uuid::Uuid;

use super::{Exchange, FirstToken, PATIENCE, Seat, sse::hear};

pub(super) struct Socket {
    socket: socket::Socket,
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
            socket.socket.call("unsubscribe", left).await?;
        }
        let run = Uuid::now_v7().to_string();
        let start = json!({"message": self.message, "threadId": thread, "runId": run});
        socket.socket.call("run.start", start).await?;
        let mut first = None;
        loop {
            let frame = socket.socket.frame(PATIENCE).await?;
            ensure!(frame["type"] != "error", "{frame}");
            if frame["runId"] == run.as_str() && hear(&frame["event"], now(), &mut first)? {
                break;
            }
        }
        seat.socket = Some(socket);
        first.context("no token")
    }

    async fn connect(&self, seat: &Seat) -> Result<Socket> {
        let mut socket = socket::Socket::open(self.url, &seat.user.id).await?;
        socket.authenticate(&seat.user.token, PATIENCE).await?;
        let thread = None;
        Ok(Socket { socket, thread })
    }
}
