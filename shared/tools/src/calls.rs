//! The five calls as their arguments have it, and who makes which effect.

use errand_shared::store::{Connection, StoreError};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{contract, effects, error::ToolError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddTask {
    pub(super) user_id: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) due_date: Option<String>,
    pub(super) due_time: Option<String>,
    pub(super) weekday: Option<String>,
    pub(super) priority: Option<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) repeat: Option<String>,
    pub(super) repeat_from: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTasks {
    pub(super) user_id: String,
    pub(super) view: Option<String>,
    pub(super) completed: Option<bool>,
    pub(super) search: Option<String>,
    pub(super) due_from: Option<String>,
    pub(super) due_to: Option<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) priority: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskRef {
    pub(super) user_id: String,
    pub(super) task_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateTask {
    pub(super) user_id: String,
    pub(super) task_id: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) due_date: Option<String>,
    pub(super) due_time: Option<String>,
    pub(super) weekday: Option<String>,
    pub(super) priority: Option<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) repeat: Option<String>,
    pub(super) repeat_from: Option<String>,
    pub(super) completed: Option<bool>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) clear: Option<Vec<String>>,
    pub(super) restore: Option<bool>,
}

/// A list of texts, or the one text that is meant as a list of one.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of strings")]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let read = Option::<OneOrMore>::deserialize(from)?;
    Ok(read.map(|read| match read {
        OneOrMore::One(one) if one.trim().is_empty() => Vec::new(),
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    }))
}

/// A call whose arguments have the right form.
#[derive(Debug)]
pub(super) enum Call {
    Add(AddTask),
    List(ListTasks),
    Complete(TaskRef),
    Delete(TaskRef),
    Update(UpdateTask),
}

impl Call {
    pub(super) fn parse(name: &str, arguments: Value) -> Result<Self, ToolError> {
        match name {
            "add_task" => read(arguments).map(Self::Add),
            "list_tasks" => read(arguments).map(Self::List),
            "complete_task" => read(arguments).map(Self::Complete),
            "delete_task" => read(arguments).map(Self::Delete),
            "update_task" => read(arguments).map(Self::Update),
            _ => Err(ToolError::invalid("There is no such tool.")
                .with_details(json!({"tools": contract::NAMES}))),
        }
    }

    /// The user that the arguments name.
    pub(super) fn user_id(&self) -> &str {
        match self {
            Self::Add(AddTask { user_id, .. })
            | Self::List(ListTasks { user_id, .. })
            | Self::Complete(TaskRef { user_id, .. })
            | Self::Delete(TaskRef { user_id, .. })
            | Self::Update(UpdateTask { user_id, .. }) => user_id,
        }
    }

    /// Has the call's effect for the user. The outer error is the store's.
    pub(super) async fn perform(
        self,
        db: &mut Connection,
        user: &str,
    ) -> Result<Result<Value, ToolError>, StoreError> {
        match self {
            Self::Add(call) => effects::add(db, user, call).await,
            Self::List(call) => effects::list(db, user, call).await,
            Self::Complete(call) => effects::complete(db, user, call).await,
            Self::Delete(call) => effects::delete(db, user, call).await,
            Self::Update(call) => Box::pin(effects::update(db, user, call)).await,
        }
    }
}

/// A null is read as if it were not there: schemas of tools have none, and models send them for what they leave out.
fn read<T: DeserializeOwned>(mut arguments: Value) -> Result<T, ToolError> {
    if let Some(fields) = arguments.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(arguments).map_err(|error| ToolError::invalid(error.to_string()))
}
