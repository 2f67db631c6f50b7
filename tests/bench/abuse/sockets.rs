//! Sockets of the attacker: opened, authenticated, flooded with calls until they are closed.

use anyhow::Result;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::attacks::{Counts, ME, Target};

/// Opens a socket and calls whatever costs something; counts how it was closed.
pub(crate) async fn flood(target: &Target, counts: &Counts) -> Result<()> {
    let url = format!("{}/api/{ME}/chat", target.api.replacen("http", "ws", 1));
    let (mut socket, _) = connect_async(url).await?;
    let call = |method: &str, params| {
        Message::text(json!({"id": "1", "method": method, "params": params}).to_string())
    };
    socket
        .send(call("auth", json!({"token": target.token})))
        .await?;
    let thread = uuid::Uuid::now_v7();
    for nth in 0.. {
        let sent = match nth % 3 {
            0 => call("subscribe", json!({"threadId": thread})),
            1 => call("run.start", json!({"message": "hello", "threadId": thread})),
            _ => call("run.cancel", json!({"runId": thread})),
        };
        if socket.send(sent).await.is_err() {
            break;
        }
        match socket.next().await {
            Some(Ok(Message::Close(close))) => {
                let code = close.map_or(0, |close| u16::from(close.code));
                counts.add(format!("closed {code}"));
                return Ok(());
            }
            Some(Ok(_)) => counts.add("frame"),
            _ => break,
        }
    }
    counts.add("broken");
    Ok(())
}
