//! Plays the acts of a reply onto a connection: bytes, pauses, and the ways a stream can go wrong.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::watch;

use super::ledger::Entry;
use crate::model::scripted::Gate;

/// A reply as the server performs it. Acts before the first write are performed before the status line.
#[derive(Debug)]
pub(in crate::model) struct Reply {
    pub(in crate::model) status: u16,
    pub(in crate::model) content_type: &'static str,
    pub(in crate::model) headers: Vec<(String, String)>,
    pub(in crate::model) acts: VecDeque<Act>,
}

#[derive(Debug)]
pub(in crate::model) enum Act {
    Write(Bytes),
    Wait(Duration),
    /// Waits until the test lets the answer go on.
    Pass(Gate),
    /// Says nothing more and keeps the connection open.
    Stall,
    /// Closes the connection without an end of the body.
    Cut,
    /// Writes the same bytes for ever.
    Repeat(Bytes, Duration),
}

pub(super) struct Playback {
    acts: VecDeque<Act>,
    entry: Entry,
    closing: watch::Receiver<bool>,
    broken: bool,
}

impl Playback {
    pub(super) fn new(acts: VecDeque<Act>, entry: Entry, closing: watch::Receiver<bool>) -> Self {
        Self {
            acts,
            entry,
            closing,
            broken: false,
        }
    }

    /// Performs what comes before the first byte.
    pub(super) async fn overture(&mut self) {
        while matches!(
            self.acts.front(),
            Some(Act::Wait(_) | Act::Pass(_) | Act::Stall)
        ) {
            if self.next().await.is_some() {
                // Only a closing server gets here; the body must break too.
                self.acts.push_front(Act::Cut);
                self.broken = false;
                return;
            }
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::unfold(self, |mut playback| async move {
            loop {
                if playback.acts.is_empty() || playback.broken {
                    return None;
                }
                if let Some(piece) = playback.next().await {
                    return Some((piece, playback));
                }
            }
        })
    }

    /// Performs one act; `Some` when it put something on the wire.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let act = self.acts.pop_front()?;
        let repeat = if let Act::Repeat(bytes, pause) = &act {
            Some((bytes.clone(), *pause))
        } else {
            None
        };
        // The last piece is on its way: a client that hangs up now has had everything.
        if self.acts.is_empty() && matches!(act, Act::Write(_)) {
            self.entry.settle();
        }
        let piece = tokio::select! {
            piece = perform(act) => piece,
            _ = self.closing.wait_for(|closing| *closing) => Some(Err(broken())),
        };
        if let Some((bytes, pause)) = repeat {
            self.acts.push_front(Act::Repeat(bytes, pause));
        }
        if matches!(piece, Some(Err(_))) {
            self.entry.settle();
            self.broken = true;
        } else if self.acts.is_empty() {
            self.entry.settle();
        }
        piece
    }
}

async fn perform(act: Act) -> Option<io::Result<Bytes>> {
    match act {
        Act::Write(bytes) => return Some(Ok(bytes)),
        Act::Wait(pause) => tokio::time::sleep(pause).await,
        Act::Pass(gate) => gate.pass().await,
        Act::Stall => std::future::pending().await,
        Act::Cut => {
            // What was written before has to reach the client, or the cut would come earlier than asked.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return Some(Err(broken()));
        }
        Act::Repeat(bytes, pause) => {
            // Even without a pause, let others run: the stream has no end to wait for.
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
            return Some(Ok(bytes));
        }
    }
    None
}

fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the stand-in model cut the connection",
    )
}
