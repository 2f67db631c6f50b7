//! The contract of the five tools: names, descriptions, schemas, annotations. What a client sees of them is here.

use std::sync::Arc;

use errand_shared::store::tasks::MAX_SEARCH;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

/// Characters of a title.
pub(super) const MAX_TITLE: usize = 255;
/// Characters of a description.
pub(super) const MAX_DESCRIPTION: usize = 8000;
/// Tasks on a page if the caller does not say.
pub(super) const DEFAULT_LIMIT: i64 = 50;
/// Tasks on a page at most.
pub(super) const MAX_LIMIT: i64 = 200;

/// The tool names, in the order they are listed.
pub const NAMES: [&str; 5] = [
    "add_task",
    "list_tasks",
    "complete_task",
    "delete_task",
    "update_task",
];

/// The five tools.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "add_task",
            "Add a new task to the user's to-do list. One call for each task.",
            parameters(
                json!({
                    "title": text("What to do, in the user's words, short", 1, MAX_TITLE),
                    "description": text("Details such as dates, places or amounts", 0, MAX_DESCRIPTION),
                }),
                &["title"],
            ),
            output(
                json!({"task_id": id("The new task"), "message": said()}),
                &["task_id", "message"],
            ),
            ToolAnnotations::with_title("Add a task")
                .read_only(false)
                .destructive(false)
                .idempotent(false),
        ),
        tool(
            "list_tasks",
            "List the user's tasks in the order they were added, all or only some; total says how many match in all. Use it to find a task's id.",
            parameters(
                json!({
                    "completed": {"type": "boolean", "description": "true: only done tasks; false: only open ones"},
                    "search": text("Only tasks with this text in title or description", 1, MAX_SEARCH),
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
                              "description": "Tasks to return at most"},
                    "cursor": {"type": "string", "description": "next_cursor of the page before"},
                }),
                &[],
            ),
            output(
                json!({
                    "tasks": {"type": "array", "items": task()},
                    "count": {"type": "integer", "description": "Tasks in this answer"},
                    "total": {"type": "integer", "description": "Tasks that match in all, this answer's and the others'"},
                    "next_cursor": {"type": "string", "description": "There are more: pass it as cursor"},
                }),
                &["tasks", "count", "total"],
            ),
            ToolAnnotations::with_title("List tasks")
                .read_only(true)
                .destructive(false)
                .idempotent(true),
        ),
        tool(
            "complete_task",
            "Mark a task as done. It stays on the list. For a task that was done, not for one to be removed.",
            parameters(json!({"task_id": id("The task")}), &["task_id"]),
            output(json!({"message": said()}), &["message"]),
            ToolAnnotations::with_title("Complete a task")
                .read_only(false)
                .destructive(false)
                .idempotent(true),
        ),
        tool(
            "delete_task",
            "Remove a task from the list for good. Only when the user clearly wants it gone.",
            parameters(json!({"task_id": id("The task")}), &["task_id"]),
            output(json!({"message": said()}), &["message"]),
            ToolAnnotations::with_title("Delete a task")
                .read_only(false)
                .destructive(true)
                .idempotent(true),
        ),
        tool(
            "update_task",
            "Change a task's title, description or completion. Fields that are left out stay as they are.",
            parameters(
                json!({
                    "task_id": id("The task"),
                    "title": text("The new title", 1, MAX_TITLE),
                    "description": text("The new description; empty removes it", 0, MAX_DESCRIPTION),
                    "completed": {"type": "boolean", "description": "true: done; false: open again"},
                }),
                &["task_id"],
            ),
            output(json!({"message": said()}), &["message"]),
            ToolAnnotations::with_title("Change a task")
                .read_only(false)
                .destructive(true)
                .idempotent(true),
        ),
    ]
}

/// The five tools where the transport says whose list it is: nobody needs to repeat it.
pub(super) fn tools_of_one_user() -> Vec<Tool> {
    let mut tools = tools();
    for tool in &mut tools {
        let mut input = JsonObject::clone(&tool.input_schema);
        if let Some(Value::Array(required)) = input.get_mut("required") {
            required.retain(|field| field != "user_id");
        }
        tool.input_schema = Arc::new(input);
    }
    tools
}

fn tool(
    name: &'static str,
    description: &'static str,
    input: Map<String, Value>,
    output: Map<String, Value>,
    annotations: ToolAnnotations,
) -> Tool {
    Tool::new(name, description, input)
        .with_raw_output_schema(output.into())
        .with_annotations(annotations.open_world(false))
}

/// Every tool names its user explicitly, first.
fn parameters(properties: Value, required: &[&str]) -> Map<String, Value> {
    let mut all = Map::from_iter([(
        "user_id".to_owned(),
        json!({"type": "string", "description": "The owner of the list"}),
    )]);
    all.extend(fields(properties));
    object(all, [&["user_id"], required].concat())
}

/// Every result says first whether it worked; a failed one has `error` instead of the rest.
fn output(properties: Value, _: &[&str]) -> Map<String, Value> {
    let mut all = Map::from_iter([("success".to_owned(), json!({"type": "boolean"}))]);
    all.extend(fields(properties));
    all.insert(
        "error".to_owned(),
        json!({"type": "object", "required": ["type", "message", "details"], "properties": {
            "type": {"type": "string", "enum": ["invalid_parameters", "resource_not_found", "unauthorized_access"]},
            "message": {"type": "string"},
            "details": {"type": "object"},
        }}),
    );
    object(all, vec!["success"])
}

fn object(properties: Map<String, Value>, required: Vec<&str>) -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
        ("required".to_owned(), json!(required)),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

fn fields(properties: Value) -> Map<String, Value> {
    match properties {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn text(description: &str, min: usize, max: usize) -> Value {
    json!({"type": "string", "minLength": min, "maxLength": max, "description": description})
}

fn id(description: &str) -> Value {
    json!({"type": "string", "format": "uuid", "description": description})
}

fn said() -> Value {
    json!({"type": "string", "description": "What happened, for people"})
}

fn task() -> Value {
    json!({"type": "object", "required": ["id", "title", "description", "completed", "created_at", "updated_at"],
        "properties": {
            "id": id("Its task_id"),
            "title": {"type": "string"},
            "description": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "completed": {"type": "boolean"},
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
    }})
}
