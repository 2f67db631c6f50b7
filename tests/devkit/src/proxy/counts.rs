//! What a server answers, counted: round trips, statements, transactions. It depends on no clock and no statistics of the server.

use std::{
    ops::Sub,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// `ReadyForQuery` messages: the client asked and could go on only then.
    pub round_trips: u64,
    /// `CommandComplete` messages, those of BEGIN and COMMIT included.
    pub statements: u64,
    /// Transactions that ended well, implicit ones and those that only read included, as `pg_stat_database` counts them.
    pub commits: u64,
    /// The other ones.
    pub rollbacks: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            round_trips: self.round_trips + other.round_trips,
            statements: self.statements + other.statements,
            commits: self.commits + other.commits,
            rollbacks: self.rollbacks + other.rollbacks,
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            round_trips: self.round_trips - before.round_trips,
            statements: self.statements - before.statements,
            commits: self.commits - before.commits,
            rollbacks: self.rollbacks - before.rollbacks,
        }
    }
}

/// The counters of one program, shared by its connections.
#[derive(Debug, Default)]
pub(super) struct Meter {
    round_trips: AtomicU64,
    statements: AtomicU64,
    commits: AtomicU64,
    rollbacks: AtomicU64,
}

impl Meter {
    pub(super) fn read(&self) -> Counts {
        Counts {
            round_trips: self.round_trips.load(Relaxed),
            statements: self.statements.load(Relaxed),
            commits: self.commits.load(Relaxed),
            rollbacks: self.rollbacks.load(Relaxed),
        }
    }
}

/// Bytes of a message that are looked at: its type, its length, and the beginning of its body.
const HEAD: usize = 5;
const SEEN: usize = HEAD + 8;

/// Reads what a server sends on one connection. Each message is a letter, its length without the letter, and a body.
pub(super) struct Answers<'a> {
    meter: &'a Meter,
    /// The beginning of the message under way.
    seen: Vec<u8>,
    /// Bytes of it that have come.
    came: usize,
    /// Since the session was last idle: whether there was a transaction, and whether it failed.
    busy: bool,
    failed: bool,
}

impl<'a> Answers<'a> {
    pub(super) fn new(meter: &'a Meter) -> Self {
        Self {
            meter,
            seen: Vec::with_capacity(SEEN),
            came: 0,
            busy: false,
            failed: false,
        }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = self.length().unwrap_or(HEAD) - self.came;
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            let room = SEEN - self.seen.len();
            self.seen.extend_from_slice(&part[..part.len().min(room)]);
            self.came += part.len();
            bytes = rest;
            if self.length() == Some(self.came) {
                self.count();
                self.came = 0;
                self.seen.clear();
            }
        }
    }

    /// Of the message under way, with its head; unknown before that has come.
    fn length(&self) -> Option<usize> {
        let head = self.seen.get(1..HEAD)?;
        let length = u32::from_be_bytes(head.try_into().ok()?);
        Some((1 + length as usize).max(HEAD))
    }

    fn count(&mut self) {
        let body = &self.seen[HEAD..];
        match self.seen[0] {
            // CommandComplete, with the name of the command.
            b'C' => {
                self.meter.statements.fetch_add(1, Relaxed);
                self.busy = true;
                self.failed |= body.starts_with(b"ROLLBACK");
            }
            // ParseComplete, BindComplete, EmptyQueryResponse: these, too, begin a transaction.
            b'1' | b'2' | b'I' => self.busy = true,
            // ErrorResponse
            b'E' => (self.busy, self.failed) = (true, true),
            // ReadyForQuery, with the state of the transaction.
            b'Z' => {
                self.meter.round_trips.fetch_add(1, Relaxed);
                if body == b"I" {
                    if self.busy && self.failed {
                        self.meter.rollbacks.fetch_add(1, Relaxed);
                    } else if self.busy {
                        self.meter.commits.fetch_add(1, Relaxed);
                    }
                    (self.busy, self.failed) = (false, false);
                }
            }
            _ => {}
        }
    }
}
