//! Steps that are written with their calls: an answer that asks for one call needs no round trip and no commit of its own.
//!
//! The call is made elsewhere, behind a tool server that knows nothing of steps. So the step waits here, under its key, until that call is
//! written: both or neither are. Several calls would have to agree on which of them writes it, so their step goes before them.
//!
//! The call says in return how it has left its owner's list, which those who follow the run are shown: nobody has to read it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use errand_core::{events::Event, faults};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    claim::Claimed,
    step::{self, NewStep},
};
use crate::{Pool, StoreError, tasks::Task};

/// The run and the step's number in it.
type Key = (Uuid, i32);

/// The steps of a process that wait for their calls: one for each run that it works on, at most.
#[derive(Default)]
pub(crate) struct HeldSteps(Mutex<HashMap<Key, Arc<Held>>>);

#[derive(Debug)]
struct Held {
    /// As `run_calls` has it.
    row: Arc<RawValue>,
    /// The owner's list as the call has left it.
    list: OnceLock<Vec<Task>>,
}

impl HeldSteps {
    /// The step that a call has to write, as `run_calls` has it.
    pub(super) fn of_call(&self, run_id: Uuid, step: i32) -> Option<Arc<RawValue>> {
        let held = self.lock();
        held.get(&(run_id, step)).map(|held| Arc::clone(&held.row))
    }

    /// The call is written, and so is its step; it has left its owner's list so, if it has changed it. Returns whether that was to be done.
    pub(super) fn written(&self, run_id: Uuid, step: i32, list: Option<Vec<Task>>) -> bool {
        let held = self.lock().remove(&(run_id, step));
        if let (Some(held), Some(list)) = (&held, list) {
            let _ = held.list.set(list);
        }
        held.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that waits for its call. Dropped before, it was never taken.
#[derive(Debug)]
pub struct HeldStep {
    pool: Pool,
    key: Key,
    held: Arc<Held>,
}

impl HeldStep {
    /// The owner's tasks as the call has left them, as [`crate::tasks::live`] has them; none if it has changed nothing or is not made, or somebody
    /// else made it.
    #[must_use]
    pub fn list(&self) -> Option<&[Task]> {
        self.held.list.get().map(Vec::as_slice)
    }
}

/// Leaves an answer of the model, with the events that tell of it, to the only call that it asks for: whoever makes it
/// (`tool_call::make`) writes the step in the same statement, fenced by the attempt.
///
/// # Errors
/// It cannot be said in JSON.
pub fn hold_step(
    pool: &Pool,
    run: &Claimed,
    step: &NewStep<'_>,
    first_seq: i64,
    events: &[Event],
) -> Result<HeldStep, StoreError> {
    let row = step::row(run, step, first_seq, events)?;
    let row = serde_json::value::to_raw_value(&row)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
    let key = (run.id, step.step);
    let held = Arc::new(Held {
        row: row.into(),
        list: OnceLock::new(),
    });
    pool.held_steps().lock().insert(key, Arc::clone(&held));
    faults::point("step.before-commit");
    Ok(HeldStep {
        pool: pool.clone(),
        key,
        held,
    })
}

impl Drop for HeldStep {
    fn drop(&mut self) {
        let (run_id, step) = self.key;
        self.pool.held_steps().written(run_id, step, None);
    }
}
