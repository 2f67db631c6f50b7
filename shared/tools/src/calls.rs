//! The five calls: their arguments checked, their effect, their result.

use errand_shared::store::{
    Connection, StoreError,
    tasks::{self, Change, Changed, Filter, Full, MAX_SEARCH},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    contract::{self, DEFAULT_LIMIT, MAX_DESCRIPTION, MAX_LIMIT, MAX_TITLE},
    error::ToolError,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddTask {
    user_id: String,
    pub(super) title: String,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTasks {
    user_id: String,
    #[serde(default)]
    completed: Option<bool>,
    #[serde(default)]
    search: Option<String>,
    #[serde(default)]
    limit: Option<i64>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskRef {
    user_id: String,
    pub(super) task_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateTask {
    user_id: String,
    pub(super) task_id: String,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) completed: Option<bool>,
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
            Self::Add(call) => add(db, user, call).await,
            Self::List(call) => list(db, user, call).await,
            Self::Complete(call) => complete(db, user, call).await,
            Self::Delete(call) => delete(db, user, call).await,
            Self::Update(call) => update(db, user, call).await,
        }
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, ToolError> {
    serde_json::from_value(arguments).map_err(|error| ToolError::invalid(error.to_string()))
}

/// Leaves the enclosing call with an error for the model.
macro_rules! valid {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

async fn add(
    db: &mut Connection,
    user: &str,
    call: AddTask,
) -> Result<Result<Value, ToolError>, StoreError> {
    let title = valid!(title(&call.title));
    let description = valid!(call.description.as_deref().map(description).transpose());
    let description = description.filter(|text| !text.is_empty());
    let id = valid!(
        tasks::add(db, user, title, description)
            .await?
            .map_err(full)
    );
    Ok(Ok(
        json!({"success": true, "task_id": id, "message": format!("Added \"{title}\".")}),
    ))
}

async fn list(
    db: &mut Connection,
    user: &str,
    call: ListTasks,
) -> Result<Result<Value, ToolError>, StoreError> {
    let limit = call.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Ok(Err(field(
            "limit",
            format!("limit must be 1 to {MAX_LIMIT}."),
        )));
    }
    let search = call
        .search
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    if search.is_some_and(|text| text.chars().count() > MAX_SEARCH) {
        return Ok(Err(field(
            "search",
            format!("search must be at most {MAX_SEARCH} characters."),
        )));
    }
    let after = valid!(
        call.cursor
            .as_deref()
            .filter(|cursor| !cursor.is_empty())
            .map(cursor)
            .transpose()
    );
    let filter = Filter {
        completed: call.completed,
        search,
    };
    let page = tasks::list(db, user, filter, after, limit).await?;
    let count = page.rows.len();
    let mut result =
        json!({"success": true, "tasks": page.rows, "count": count, "total": page.total});
    if let Some(next) = page.next {
        result["next_cursor"] = json!(next);
    }
    Ok(Ok(result))
}

async fn complete(
    db: &mut Connection,
    user: &str,
    call: TaskRef,
) -> Result<Result<Value, ToolError>, StoreError> {
    let id = valid!(task_id(&call.task_id));
    let change = Change {
        completed: Some(true),
        ..Change::default()
    };
    let title = valid!(changed(tasks::update(db, user, id, change).await?, id));
    Ok(Ok(
        json!({"success": true, "message": format!("\"{title}\" is done.")}),
    ))
}

async fn delete(
    db: &mut Connection,
    user: &str,
    call: TaskRef,
) -> Result<Result<Value, ToolError>, StoreError> {
    let id = valid!(task_id(&call.task_id));
    Ok(match tasks::delete(db, user, id).await? {
        Some(title) => Ok(json!({"success": true, "message": format!("Deleted \"{title}\".")})),
        None => Err(ToolError::task_not_found(id)),
    })
}

async fn update(
    db: &mut Connection,
    user: &str,
    call: UpdateTask,
) -> Result<Result<Value, ToolError>, StoreError> {
    let id = valid!(task_id(&call.task_id));
    let change = valid!(change(&call));
    let title = valid!(changed(tasks::update(db, user, id, change).await?, id));
    Ok(Ok(
        json!({"success": true, "message": format!("Changed \"{title}\".")}),
    ))
}

/// What an update asks for.
pub(super) fn change(call: &UpdateTask) -> Result<Change<'_>, ToolError> {
    let change = Change {
        title: call.title.as_deref().map(title).transpose()?,
        description: call.description.as_deref().map(description).transpose()?,
        completed: call.completed,
    };
    if change.title.is_none() && change.description.is_none() && change.completed.is_none() {
        return Err(ToolError::invalid(
            "Nothing to change: give title, description or completed.",
        ));
    }
    Ok(change)
}

fn changed(changed: Changed, id: Uuid) -> Result<String, ToolError> {
    match changed {
        Changed::Done(title) => Ok(title),
        Changed::Unknown => Err(ToolError::task_not_found(id)),
        Changed::Full(what) => Err(full(what)),
    }
}

/// The list has no room: what a model can do about it.
fn full(what: Full) -> ToolError {
    let (limit, details) = match what {
        Full::Tasks => (
            format!("{} tasks, done ones included", tasks::MAX_TASKS),
            json!({"max_tasks": tasks::MAX_TASKS}),
        ),
        Full::Bytes => (
            format!("{} MiB of titles and descriptions", tasks::MAX_BYTES >> 20),
            json!({"max_bytes": tasks::MAX_BYTES}),
        ),
    };
    ToolError::invalid(format!(
        "The list is full: it may have {limit}. Nothing was changed. Delete tasks that are no longer needed first, such as done ones; ask the user which."
    ))
    .with_details(details)
}

pub(super) fn title(title: &str) -> Result<&str, ToolError> {
    let title = title.trim();
    match title.chars().count() {
        0 => Err(field("title", "title must not be empty.")),
        n if n > MAX_TITLE => Err(field(
            "title",
            format!("title must be at most {MAX_TITLE} characters."),
        )),
        _ => Ok(title),
    }
}

pub(super) fn description(description: &str) -> Result<&str, ToolError> {
    let description = description.trim();
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(field(
            "description",
            format!("description must be at most {MAX_DESCRIPTION} characters."),
        ));
    }
    Ok(description)
}

fn cursor(text: &str) -> Result<Uuid, ToolError> {
    canonical(text).ok_or_else(|| {
        field(
            "cursor",
            "cursor must be the next_cursor of the page before.",
        )
    })
}

pub(super) fn task_id(text: &str) -> Result<Uuid, ToolError> {
    canonical(text).ok_or_else(|| {
        field(
            "task_id",
            "task_id must be a UUID as list_tasks gives it, in lower case and with hyphens.",
        )
    })
}

/// The UUID that a text is, in the one form in which they are given out: whoever compares ids as texts, a page that looks a task
/// up or a person who reads, sees the same task.
fn canonical(text: &str) -> Option<Uuid> {
    let id = Uuid::parse_str(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (*id.hyphenated().encode_lower(&mut buffer) == *text).then_some(id)
}

/// The text, or its beginning with an ellipsis.
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}

fn field(name: &str, message: impl Into<String>) -> ToolError {
    ToolError::invalid(message).with_details(json!({"field": name}))
}
