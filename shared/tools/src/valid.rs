//! What would be valid, told where the same call has failed before: its arguments as the schema has them, and tasks that may be meant.

use errand_store::{self as store, Pool, StoreError, settings};
use serde_json::{Map, Value, json};

use super::{calls::ListTasks, check, contract, list, plan::Calendar};

/// Tasks that are named where none was found.
const MAX_TASKS: i64 = 10;

/// Adds to the error of a call what would be valid in its place.
pub(super) async fn tell(
    pool: &Pool,
    user: &str,
    name: &str,
    result: &mut Value,
) -> Result<(), StoreError> {
    let Some(error) = result.get_mut("error") else {
        return Ok(());
    };
    let was_found = error["type"] != "resource_not_found";
    let Some(details) = error.get_mut("details").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    if let Some(valid) = arguments(name) {
        details.insert("valid".to_owned(), valid);
    }
    if !was_found && !details.contains_key("candidates") {
        details.insert("candidates".to_owned(), open_tasks(pool, user).await?);
    }
    Ok(())
}

/// The arguments that a tool takes, without their descriptions, which the model has; none if there is no such tool.
fn arguments(name: &str) -> Option<Value> {
    let tool = contract::tools()
        .into_iter()
        .find(|tool| tool.name == name)?;
    let schema = &tool.input_schema;
    let properties = schema.get("properties")?.as_object()?;
    let others = properties.iter().filter(|(name, _)| *name != "user_id");
    let fields: Map<String, Value> = others
        .map(|(name, field)| (name.clone(), without_description(field.clone())))
        .collect();
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<_> = required
        .into_iter()
        .flatten()
        .filter(|name| *name != "user_id")
        .collect();
    Some(json!({"required": required, "properties": fields}))
}

fn without_description(mut field: Value) -> Value {
    if let Some(field) = field.as_object_mut() {
        field.remove("description");
    }
    field
}

/// The first of the tasks that are open, as `list_tasks` has them.
async fn open_tasks(pool: &Pool, user: &str) -> Result<Value, StoreError> {
    let mut db = store::begin_for(pool, user).await?;
    let listed = async {
        let calendar = Calendar::of(settings::zone(&mut db, user).await?);
        let first = ListTasks {
            user_id: user.to_owned(),
            limit: Some(MAX_TASKS),
            ..ListTasks::default()
        };
        list::list(&mut db, user, &first, &calendar).await
    };
    let listed = listed.await;
    let listed = db.done(listed).await?.unwrap_or_default();
    let tasks = listed["tasks"].as_array();
    let named = tasks.into_iter().flatten().map(|task| {
        let title = task["title"].as_str().unwrap_or_default();
        json!({"task_id": task["id"], "title": check::cut(title, 100)})
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_named_without_the_user() {
        let valid = arguments("complete_task").expect("a tool");
        assert_eq!(
            valid,
            json!({"required": ["task_id"], "properties": {"task_id": {"type": "string", "format": "uuid"}}})
        );
        assert_eq!(arguments("launch_rocket"), None);
        for tool in contract::NAMES {
            let valid = arguments(tool).expect("a tool").to_string();
            assert!(
                !valid.contains("user_id") && !valid.contains("description\":\""),
                "{valid}"
            );
        }
    }
}
