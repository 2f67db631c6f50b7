//! Sockets of the attacker: opened, authenticated, flooded with calls until they are closed.

use anyhow::Result;
use errand_devkit::socket::{Received, Socket};
use serde_json::json;

use crate::attacks::{Counts, ME, Target};

/// Opens a socket and calls whatever costs something; counts how it was closed.
pub(crate) async fn flood(target: &Target, counts: &Counts) -> Result<()> {
    let mut socket = Socket::open(&target.api, ME).await?;
    socket.call("auth", json!({"token": target.token})).await?;
    let thread = uuid::Uuid::now_v7();
    for nth in 0.. {
        let (method, params) = match nth % 3 {
            0 => ("subscribe", json!({"threadId": thread})),
            1 => ("run.start", json!({"message": "hello", "threadId": thread})),
            _ => ("run.cancel", json!({"runId": thread})),
        };
        if socket.call(method, params).await.is_err() {
            break;
        }
        match socket.receive().await {
            Ok(Received::Closed(code)) => {
                counts.add(format!("closed {}", code.unwrap_or(0)));
                return Ok(());
            }
            Ok(Received::Frame(_)) => counts.add("frame"),
            Err(_) => break,
        }
    }
    counts.add("broken");
    Ok(())
}
