//! What a call would do, for a user who is asked first: the task it is about, and what would become of it.
//!
//! A call that would come to an error is nothing to ask anybody about.

use errand_core::{
    calendar::Now,
    pending::{Effect, FieldChange, Subject},
};
use errand_store::{
    Connection, StoreError, settings,
    tasks::{Fields, Stored},
};
use serde_json::{Value, json};

use super::{
    calls::{Call, Edit},
    check,
    edit::{self, Done},
    error::ToolError,
    subject,
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
    let call = match Call::parse(name, parameters, user) {
        Ok(Call::Edit(call)) => call,
        Ok(Call::List(_)) => {
            return Ok(Ok(Effect {
                changes: Vec::new(),
                task: None,
            }));
        }
        Err(error) => return Ok(Err(error)),
    };
    let now = settings::now(db, user).await?;
    let task = match call.task_id() {
        Some(id) => match subject::of(db, user, id).await? {
            Ok(task) => Some(task),
            Err(error) => return Ok(Err(error)),
        },
        None => None,
    };
    Ok(changes(call, task.as_ref(), &now).map(|changes| Effect {
        changes,
        task: task.map(|task| Subject {
            id: task.id,
            title: task.fields.title,
        }),
    }))
}

fn changes(call: Edit, task: Option<&Stored>, now: &Now) -> Result<Vec<FieldChange>, ToolError> {
    let kept = || {
        task.cloned()
            .ok_or_else(ToolError::unauthorized)
            .and_then(subject::kept)
    };
    match call {
        Edit::Add(call) => {
            let added = Shown::of(&edit::begin(&call, now)?, false, false);
            Ok(Shown::nothing().changes_to(added))
        }
        Edit::Delete(_) => kept().map(|_| Vec::new()),
        Edit::Complete(_) => {
            let before = kept()?;
            let after = Shown::of_task(&completed(before.clone(), now));
            Ok(Shown::of_task(&before).changes_to(after))
        }
        Edit::Update(call) => {
            let before = task.cloned().ok_or_else(ToolError::unauthorized)?;
            let changed = subject::kept(edit::change(&call, &before, now)?)?;
            let after = match call.completed {
                Some(true) => completed(changed, now),
                Some(false) => Stored {
                    completed: false,
                    ..changed
                },
                None => changed,
            };
            Ok(Shown::of_task(&before).changes_to(Shown::of_task(&after)))
        }
    }
}

fn completed(task: Stored, now: &Now) -> Stored {
    match edit::complete(task, now) {
        Done::All(task) | Done::Once { task, .. } => task,
    }
}

/// The fields of a task as they are shown, in the order of the contract.
struct Shown([(&'static str, Value); 10]);

impl Shown {
    fn of(fields: &Fields, completed: bool, is_deleted: bool) -> Self {
        let repeat = fields.repeat.as_ref();
        let tags = Some(&fields.tags).filter(|tags| !tags.is_empty());
        Self([
            ("title", json!(fields.title)),
            ("description", json!(fields.description)),
            (
                "due_date",
                json!(fields.due.map(|due| due.date.to_string())),
            ),
            (
                "due_time",
                json!(
                    fields
                        .due
                        .and_then(|due| due.time)
                        .map(|time| time.format("%H:%M").to_string())
                ),
            ),
            ("priority", json!(fields.priority.name())),
            ("tags", json!(tags.map(|tags| tags.join(", ")))),
            (
                "repeat",
                json!(repeat.map(|repeat| repeat.rule.to_string())),
            ),
            (
                "repeat_from",
                json!(repeat.map(|repeat| repeat.from.name())),
            ),
            ("completed", json!(completed)),
            ("deleted", json!(is_deleted)),
        ])
    }

    fn of_task(task: &Stored) -> Self {
        Self::of(&task.fields, task.completed, task.is_deleted)
    }

    /// What is there before a task is.
    fn nothing() -> Self {
        let Self(mut fields) = Self::of(&Fields::default(), false, false);
        fields[0].1 = Value::Null;
        Self(fields)
    }

    fn changes_to(self, after: Self) -> Vec<FieldChange> {
        let both = self.0.into_iter().zip(after.0);
        let changed = both.filter(|((_, old), (_, new))| old != new);
        changed
            .map(|((field, old), (_, new))| FieldChange {
                field: field.to_owned(),
                old: shown(old),
                new: shown(new),
            })
            .collect()
    }
}

fn shown(value: Value) -> Value {
    match &value {
        Value::String(text) => json!(check::cut(text, MAX_VALUE)),
        _ => value,
    }
}
