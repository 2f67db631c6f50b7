//! Which of a client's messages commit something: a COMMIT, or the execution of a routine, which is a transaction of its own.
//!
//! Reads the frontend's side of the protocol (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// A simple query of the frontend, as the programs send it.
const COMMIT: &[u8] = b"COMMIT\0";
/// Routines that are transitions of a run and nothing but that. A claim is none that anybody waits for the answer of.
const TRANSITIONS: [&str; 4] = ["run_accepts(", "run_steps(", "run_calls(", "run_finishes("];

/// What the server gets to see of a commit before its connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Before,
    /// The commit; its answer vanishes.
    After,
}

/// Which commit to cut: so many from now.
#[derive(Debug, Default)]
pub(super) struct Trap(Mutex<Option<(usize, Cut)>>);

impl Trap {
    pub(super) fn set(&self, nth: usize, cut: Cut) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, cut));
    }

    pub(super) fn has_sprung(&self) -> bool {
        let trap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trap.is_none()
    }

    /// A commit passes; what is to happen to it.
    pub(super) fn springs(&self) -> Option<Cut> {
        let mut trap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, cut) = trap.as_mut()?;
        *left -= 1;
        (*left == 0).then_some(*cut).inspect(|_| *trap = None)
    }
}

/// What a connection has sent so far.
#[derive(Default)]
pub(super) struct Commits {
    unread: Vec<u8>,
    has_started: bool,
    /// Prepared statements that make a transition.
    transitions: HashSet<Vec<u8>>,
    is_committing: bool,
}

impl Commits {
    /// Whether this is Postgres's protocol at all, whose first message has a length of less than 16 MiB, by the first byte of what is sent.
    pub(super) fn speaks_postgres(&self, first: u8) -> bool {
        self.has_started || !self.unread.is_empty() || first == 0
    }

    /// Takes what the client has sent. Returns the whole messages before the next commit, and the messages that are this commit, if it is there as
    /// a whole; ask again then, with nothing, for what follows.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        self.unread.extend_from_slice(bytes);
        let (mut before, mut commit) = (Vec::new(), Vec::new());
        while let Some(message) = self.message() {
            let begins = self.commits(&message);
            let is_over = matches!(message.first(), Some(b'S' | b'Q'));
            if begins || self.is_committing {
                commit.extend(message);
                self.is_committing = !is_over;
                if is_over {
                    return (before, Some(commit));
                }
            } else {
                before.extend(message);
            }
        }
        // Half of a commit is none yet.
        if !commit.is_empty() {
            self.is_committing = false;
            commit.extend(std::mem::take(&mut self.unread));
            self.unread = commit;
        }
        (before, None)
    }

    /// The next whole message.
    fn message(&mut self) -> Option<Vec<u8>> {
        let head = usize::from(self.has_started);
        let length = self.unread.get(head..head + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize + head;
        if self.unread.len() < length {
            return None;
        }
        let message: Vec<u8> = self.unread.drain(..length).collect();
        // A question for TLS is no start yet: its code is 80877103.
        if !self.has_started && message.get(4..8) != Some(&80_877_103_u32.to_be_bytes()) {
            self.has_started = true;
        }
        Some(message)
    }

    fn commits(&mut self, message: &[u8]) -> bool {
        let mut texts = message
            .get(5..)
            .unwrap_or_default()
            .split(|byte| *byte == 0);
        match message.first() {
            Some(b'Q') if self.has_started => message.ends_with(COMMIT),
            Some(b'P') if self.has_started => {
                let name = texts.next().unwrap_or_default().to_vec();
                let query = String::from_utf8_lossy(texts.next().unwrap_or_default());
                if TRANSITIONS.iter().any(|routine| query.contains(routine)) {
                    self.transitions.insert(name);
                }
                false
            }
            Some(b'B') if self.has_started => {
                let statement = texts.nth(1).unwrap_or_default();
                self.transitions.contains(statement)
            }
            _ => false,
        }
    }
}
