//! The calls of one socket: one at a time, in the order in which they came, beside the loop of the socket, so that a slow one keeps it
//! from nothing else.

use std::collections::VecDeque;

use tokio::{task::JoinHandle, time::timeout};

use super::{
    frames::{Call, Close},
    methods::{Done, Method, Methods},
    queue::Queue,
};

/// Calls that wait for the one before them, and their bytes, of which one may go beyond. A client that has sent more is read on when there
/// is room.
const MAX_WAITING: usize = 16;
const MAX_WAITING_BYTES: usize = 128 * 1024;

/// What was called and is not answered.
pub(super) struct Calls {
    /// None while a call has it.
    methods: Option<Box<Methods>>,
    waiting: VecDeque<(Method, Call)>,
    waiting_bytes: usize,
    under_way: Option<JoinHandle<(Box<Methods>, Done)>>,
    queue: Queue,
}

impl Calls {
    /// `queue` is where what is followed is told.
    pub(super) fn new(methods: Methods, queue: Queue) -> Self {
        Self {
            methods: Some(Box::new(methods)),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: None,
            queue,
        }
    }

    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING && self.waiting_bytes < MAX_WAITING_BYTES
    }

    /// Does this call, behind those before it.
    pub(super) fn push(&mut self, method: Method, call: Call) {
        self.waiting_bytes += call.bytes;
        self.waiting.push_back((method, call));
        self.begin();
    }

    fn begin(&mut self) {
        if self.methods.is_some()
            && let Some((method, call)) = self.waiting.pop_front()
            && let Some(mut methods) = self.methods.take()
        {
            self.waiting_bytes -= call.bytes;
            #[expect(
                clippy::disallowed_methods,
                reason = "one call of one socket, which is closed if it fails"
            )]
            let call = tokio::spawn(async move {
                let done = methods.answer(method, &call).await;
                (methods, done)
            });
            self.under_way = Some(call);
        }
    }

    /// The next answer. Given up in between it loses nothing; pending if there is no call.
    ///
    /// # Errors
    /// A call has failed in a way that leaves nothing to go on with.
    pub(super) async fn answered(&mut self) -> Result<String, Close> {
        let Some(under_way) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let ended = under_way.await;
        self.under_way = None;
        let (mut methods, done) = ended.map_err(|_| Close::Failed)?;
        if let Some((thread_id, follower)) = done.follows {
            methods
                .threads
                .follow(thread_id, follower, self.queue.clone());
        }
        self.methods = Some(methods);
        self.begin();
        Ok(done.answer)
    }

    /// Begins no other call than the one that is under way.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// The answer to the call that is under way, if there is one.
    pub(super) async fn last_answer(&mut self) -> Option<String> {
        self.under_way.as_ref()?;
        self.answered().await.ok()
    }

    /// Does what the client has called for before it left: hanging up cancels nothing. Its answers go nowhere.
    pub(super) async fn finish(mut self, within: std::time::Duration) {
        let rest = async { while self.under_way.is_some() && self.answered().await.is_ok() {} };
        let _ = timeout(within, rest).await;
    }
}
