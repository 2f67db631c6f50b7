//! The five calls as their arguments have it.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{contract, error::ToolError};

#[derive(Debug, Clone, Deserialize)]
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

#[derive(Debug, Default, Deserialize)]
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
    List(ListTasks),
    Edit(Edit),
}

/// A call that changes the list.
#[derive(Debug)]
pub(super) enum Edit {
    Add(AddTask),
    Complete(TaskRef),
    Delete(TaskRef),
    Update(UpdateTask),
}

impl Call {
    /// A call of this user's, of a tool that there is.
    pub(super) fn parse(name: &str, arguments: Value, user: &str) -> Result<Self, ToolError> {
        let call = match name {
            "list_tasks" => Self::List(read(arguments)?),
            "add_task" => Self::Edit(Edit::Add(read(arguments)?)),
            "complete_task" => Self::Edit(Edit::Complete(read(arguments)?)),
            "delete_task" => Self::Edit(Edit::Delete(read(arguments)?)),
            "update_task" => Self::Edit(Edit::Update(read(arguments)?)),
            _ => {
                return Err(ToolError::invalid("There is no such tool.")
                    .with_details(json!({"tools": contract::NAMES})));
            }
        };
        match call.user_id() == user {
            true => Ok(call),
            false => Err(ToolError::unauthorized()),
        }
    }

    /// The user that the arguments name.
    fn user_id(&self) -> &str {
        match self {
            Self::List(ListTasks { user_id, .. })
            | Self::Edit(
                Edit::Add(AddTask { user_id, .. })
                | Edit::Complete(TaskRef { user_id, .. })
                | Edit::Delete(TaskRef { user_id, .. })
                | Edit::Update(UpdateTask { user_id, .. }),
            ) => user_id,
        }
    }
}

impl Edit {
    /// The task that it is about, as the arguments have it; none if it adds one.
    pub(super) fn task_id(&self) -> Option<&str> {
        match self {
            Self::Add(_) => None,
            Self::Complete(TaskRef { task_id, .. })
            | Self::Delete(TaskRef { task_id, .. })
            | Self::Update(UpdateTask { task_id, .. }) => Some(task_id),
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
