//! What is kept of a call from outside: enough to tell what was done, whatever a client sends. The client itself is answered in full.
//!
//! A user may make thousands of calls an hour, and their records outlive what they are about: so no list of tasks is copied into
//! them, and no call grows beyond a bound.

use errand_core::shorten;
use serde_json::{Value, json};

use super::{check, contract};

/// Bytes of parameters, and of a result, as JSON.
const MAX: usize = 8 * 1024;
/// The same for a tool that does not exist: nothing came of it.
const MAX_UNKNOWN: usize = 1024;
/// Characters of a tool's name.
const MAX_NAME: usize = 128;
/// What a shortened form says.
const WHY: &str = "Too large to be kept whole.";

/// The tool's name, or the beginning of it.
pub(super) fn name(name: &str) -> String {
    check::cut(name, MAX_NAME)
}

/// The parameters, or their shape.
pub(super) fn parameters(name: &str, parameters: &Value) -> Value {
    let max = match contract::NAMES.contains(&name) {
        true => MAX,
        false => MAX_UNKNOWN,
    };
    shorten::to_fit(parameters, max, WHY).into_owned()
}

/// The result: of a list which tasks were in it, not what they said; of a change which task it was, as the parameters say the rest.
pub(super) fn result(name: &str, result: &Value) -> Value {
    let mut result = result.clone();
    if name == "list_tasks"
        && let Some(fields) = result.as_object_mut()
        && let Some(Value::Array(tasks)) = fields.remove("tasks")
    {
        let ids: Vec<&Value> = tasks.iter().filter_map(|task| task.get("id")).collect();
        fields.insert("task_ids".to_owned(), json!(ids));
    }
    if let Some(task) = result.get_mut("task").and_then(Value::as_object_mut) {
        task.retain(|field, _| {
            ["id", "title", "due_date", "due_time", "completed"].contains(&field.as_str())
        });
    }
    shorten::to_fit(&result, MAX, WHY).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(value: &Value) -> usize {
        value.to_string().len()
    }

    #[test]
    fn what_is_kept_has_a_bound_whatever_it_is_kept_of() {
        let many: serde_json::Map<String, Value> = (0..5_000)
            .map(|n| (format!("{n}-{}", "x".repeat(50)), json!("y")))
            .collect();
        let mut deep = json!("z".repeat(200_000));
        for _ in 0..100 {
            deep = json!([deep]);
        }
        for hostile in [
            json!({"title": "x".repeat(250_000)}),
            json!({"title": "\u{1}".repeat(250_000)}),
            Value::Object(many),
            json!({"x".repeat(250_000): 1}),
            json!(vec!["x"; 100_000]),
            deep,
        ] {
            assert!(size(&parameters("add_task", &hostile)) <= MAX);
            assert!(size(&parameters("no_such_tool", &hostile)) <= MAX_UNKNOWN);
            assert!(size(&result("add_task", &hostile)) <= MAX);
            assert!(size(&result("list_tasks", &json!({"tasks": hostile}))) <= MAX);
        }
        assert!(name(&"\u{e9}".repeat(10_000)).len() <= 300);
    }

    #[test]
    fn of_the_largest_list_all_ids_are_kept() {
        let task = |_| json!({"id": uuid::Uuid::now_v7(), "title": "t".repeat(255), "description": "d".repeat(8_000)});
        let tasks: Vec<Value> = (0..contract::MAX_LIMIT).map(task).collect();
        let list = json!({"success": true, "tasks": tasks, "count": 200, "total": 10_000, "next_cursor": uuid::Uuid::now_v7()});
        let kept = result("list_tasks", &list);
        assert_eq!(kept["task_ids"].as_array().map(Vec::len), Some(200));
        assert_eq!(kept["task_ids"][7], list["tasks"][7]["id"]);
        assert_eq!(
            (&kept["count"], &kept["total"]),
            (&json!(200), &json!(10_000))
        );
        assert!(kept.get("shortened").is_none());
    }

    #[test]
    fn what_is_small_is_kept_as_it_is() {
        let small = json!({"user_id": "ada", "title": "buy milk"});
        assert_eq!(parameters("add_task", &small), small);
        assert_eq!(
            result("add_task", &json!({"success": true})),
            json!({"success": true})
        );
        assert_eq!(name("add_task"), "add_task");
    }
}
