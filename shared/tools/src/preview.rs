//! What a call would do, for a user who is asked first: the task it is about, and what would become of it.
//!
//! A call that would come to an error is nothing to ask anybody about.

use errand_shared::store::{
    Connection, StoreError,
    approvals::{Change, Effect, Subject},
    tasks::{self, Task},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    calls::{self, Call},
    error::ToolError,
};

/// Characters of a value that are shown and kept; the call's parameters have all of them.
const MAX_VALUE: usize = 2_000;

/// What the call would do for the user, or the error that it would come to. The outer error is the store's.
pub(super) async fn of(
    db: &mut Connection,
    user: &str,
    name: &str,
    parameters: Value,
) -> Result<Result<Effect, ToolError>, StoreError> {
    let call = match Call::parse(name, parameters) {
        Ok(call) if call.user_id() == user => call,
        Ok(_) => return Ok(Err(ToolError::unauthorized())),
        Err(error) => return Ok(Err(error)),
    };
    let id = match call.check() {
        Ok(id) => id,
        Err(error) => return Ok(Err(error)),
    };
    let task = match id {
        Some(id) => match tasks::find(db, user, id).await? {
            Some(task) => Some(task),
            None => return Ok(Err(ToolError::task_not_found(id))),
        },
        None => None,
    };
    Ok(Ok(Effect {
        changes: changes(&call, task.as_ref()),
        task: task.map(|task| Subject {
            id: task.id,
            title: task.title,
        }),
    }))
}

fn changes(call: &Call, task: Option<&Task>) -> Vec<Change> {
    let old = |of: fn(&Task) -> Value| task.map_or(Value::Null, of);
    let (title, description, completed) = match call {
        Call::Add(call) => (Some(&call.title), call.description.as_ref(), None),
        Call::Update(call) => (
            call.title.as_ref(),
            call.description.as_ref(),
            call.completed,
        ),
        Call::Complete(_) => (None, None, Some(true)),
        Call::List(_) | Call::Delete(_) => (None, None, None),
    };
    let all = [
        (
            "title",
            old(|task| json!(task.title)),
            title.map(|title| text(title)),
        ),
        (
            "description",
            old(|task| json!(task.description)),
            description.map(|description| text(description)),
        ),
        (
            "completed",
            old(|task| json!(task.completed)),
            completed.map(Value::from),
        ),
    ];
    let changed = all.into_iter().filter_map(|(field, old, new)| {
        let new = new.filter(|new| *new != old)?;
        Some(Change {
            field: field.to_owned(),
            old: shown(old),
            new: shown(new),
        })
    });
    changed.collect()
}

/// A text as it would be stored: an empty one is none.
fn text(text: &str) -> Value {
    match text.trim() {
        "" => Value::Null,
        text => json!(text),
    }
}

fn shown(value: Value) -> Value {
    match &value {
        Value::String(text) => json!(calls::cut(text, MAX_VALUE)),
        _ => value,
    }
}

impl Call {
    /// Whether the arguments are what the call takes; the task that it is about, if it is about one.
    fn check(&self) -> Result<Option<Uuid>, ToolError> {
        match self {
            Self::Add(call) => {
                calls::title(&call.title)?;
                call.description
                    .as_deref()
                    .map(calls::description)
                    .transpose()?;
                Ok(None)
            }
            Self::List(_) => Ok(None),
            Self::Complete(call) | Self::Delete(call) => calls::task_id(&call.task_id).map(Some),
            Self::Update(call) => {
                let id = calls::task_id(&call.task_id)?;
                calls::change(call)?;
                Ok(Some(id))
            }
        }
    }
}
