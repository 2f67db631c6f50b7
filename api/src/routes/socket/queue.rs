//! What waits to be sent to one client: bounded in frames and in bytes, so that whoever tells it of something waits for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use uuid::Uuid;

use super::{
    MAX_SENT,
    deliveries::Deliveries,
    frames::{self, Close},
};
use crate::live::{
    broker::is_terminal,
    subscription::{Delivery, Subscription},
};

/// Frames that wait to be sent, and their bytes; one that is larger than these waits alone.
const QUEUE: usize = 256;
const QUEUE_BYTES: u32 = 256 * 1024;

/// The way to the client for those who follow.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    /// The turns whose ends are to come.
    pub(super) deliveries: Deliveries,
}

pub(super) enum Outgoing {
    /// A frame and the room that it takes until it is sent.
    Frame(String, OwnedSemaphorePermit),
    Close(Close),
}

impl Queue {
    /// A queue and its end at the socket.
    pub(super) fn open() -> (Self, mpsc::Receiver<Outgoing>) {
        let (sender, outgoing) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES as usize));
        let deliveries = Deliveries::default();
        let queue = Self {
            sender,
            room,
            deliveries,
        };
        (queue, outgoing)
    }

    /// Waits until there is room for a frame. False if the socket is gone, or is to be closed.
    async fn send(&self, frame: String) -> bool {
        if frame.len() > MAX_SENT {
            tracing::error!(
                bytes = frame.len(),
                "a frame is too large to be sent; closing its socket"
            );
            self.close(Close::TooBig).await;
            return false;
        }
        let bytes = u32::try_from(frame.len()).unwrap_or(QUEUE_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes.min(QUEUE_BYTES));
        let Ok(room) = room.await else { return false };
        let frame = Outgoing::Frame(frame, room);
        self.sender.send(frame).await.is_ok()
    }

    /// Closes the socket, behind what waits to be sent.
    pub(super) async fn close(&self, close: Close) {
        let _ = self.sender.send(Outgoing::Close(close)).await;
    }
}

/// Hands on what a follower is told. It waits for the socket; the broker does not wait for it.
pub(super) async fn relay(mut follower: Subscription, thread_id: Uuid, queue: Queue) {
    loop {
        let Ok(Some(told)) = follower.next().await else {
            // Too slow, or the database failed: either way the client resumes where it is.
            return queue.close(Close::TooSlow).await;
        };
        let over = matches!(told, Delivery::ResyncRequired);
        if !queue.send(frames::told(thread_id, &told)).await || over {
            return;
        }
        if let Delivery::Event(event) = &told
            && is_terminal(&event.event)
        {
            queue.deliveries.end(event.run_id);
        }
    }
}
