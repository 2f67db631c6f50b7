//! What the model says: a plan that follows from the message, with words that are new each time it is asked.
//!
//! So a step that is asked for twice comes out differently, and what was done for an answer that nobody kept can be told
//! from what was done for the one that was.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use errand_devkit::model::{Turn, request};
use serde_json::{Value, json};

/// The model's pace: slow enough that faults come in the middle of an answer.
const FIRST_WORD: Duration = Duration::from_millis(40);
const WORD: Duration = Duration::from_millis(25);

static ASKED: AtomicU64 = AtomicU64::new(0);

/// The message that carries a client's key.
pub(crate) fn message(key: &str) -> String {
    format!("go {key}")
}

/// The next answer to a request of the worker.
pub(crate) fn answer(asked: &Value) -> Turn {
    let message = request::last_user(asked);
    let key = message.strip_prefix("go ").unwrap_or(&message);
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    let step = request::steps(asked).len() as u64;
    let nonce = ASKED.fetch_add(1, Ordering::Relaxed);
    // Up to three rounds of calls; one to three calls in a round, one of which only reads. Their numbers too change from one
    // time to the next, so that an answer that nobody kept would be seen to go on.
    let rounds = (hash + nonce % 2) % 3 + u64::from(nonce.is_multiple_of(5));
    let turn = if step < rounds.min(3) {
        let title = |call: u64| json!({"title": format!("{key}/{step}/{call}/{nonce}")});
        let first = Turn::call("add_task", title(0)).and_text("Let me see.");
        match nonce % 3 {
            0 => first,
            1 => first.and_call("add_task", title(1)),
            _ => first
                .and_call("list_tasks", json!({"limit": 5}))
                .and_call("add_task", title(2)),
        }
    } else {
        let words: Vec<String> = (0..6 + hash % 12).map(|n| format!("w{n}")).collect();
        Turn::text(format!("{key} {nonce} {}", words.join(" ")))
    };
    turn.first_byte_after(FIRST_WORD).chunk_every(WORD)
}
