//! The contract of the five tools: names, descriptions, schemas, annotations. What a client sees of them is here.

use std::sync::Arc;

use errand_store::tasks::{MAX_SEARCH, Priority, View};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

/// Characters of a title.
pub(super) const MAX_TITLE: usize = 255;
/// Characters of a description.
pub(super) const MAX_DESCRIPTION: usize = 8000;
/// Tags of a task.
pub(super) const MAX_TAGS: usize = 10;
/// Characters of a tag.
pub(super) const MAX_TAG: usize = 40;
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

/// The fields that `clear` empties.
pub(super) const CLEARABLE: [&str; 5] = ["due_date", "due_time", "description", "tags", "repeat"];

/// The five tools.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "add_task",
            "Add a new task to the user's to-do list. One call for each task: several tasks are several calls. Dates are the \
             user's own days: work them out from the date that you are told, and give the weekday, too, so that a slip is noticed.",
            parameters(
                all(
                    json!({"title": text("What to do, in the user's words, short; without dates that due_date says", 1, MAX_TITLE),
                           "description": text("Details such as places, people or amounts", 0, MAX_DESCRIPTION)}),
                    fields_of_a_task(),
                ),
                &["title"],
            ),
            output(json!({"task_id": id("The new task"), "message": said(), "task": task()})),
            ToolAnnotations::with_title("Add a task")
                .read_only(false)
                .destructive(false)
                .idempotent(false),
        ),
        tool(
            "list_tasks",
            "List the user's tasks: all open ones, or those of a view. What is overdue comes first, then by date and time, priority \
             and age. total says how many match in all: if it is more than count, say so or go on with next_cursor. Use it to find a \
             task's id.",
            parameters(
                json!({
                    "view": {"type": "string", "enum": View::NAMED.map(|(name, _)| name),
                             "description": "today: due today or overdue; overdue; upcoming: the next 7 days from tomorrow on; undated: open \
                                             without a date; completed; deleted: the last 30 days, to restore. Left out: all open tasks"},
                    "completed": {"type": "boolean", "description": "true: only done tasks; false: only open ones"},
                    "search": text("Only tasks with this text in title or description", 1, MAX_SEARCH),
                    "due_from": date("Only tasks due on this date or later"),
                    "due_to": date("Only tasks due on this date or earlier"),
                    "tags": tags("Only tasks that have all of these tags, in any case"),
                    "priority": priority("Only tasks of this priority"),
                    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
                              "description": "Tasks to return at most"},
                    "cursor": {"type": "string", "description": "next_cursor of the page before, with the same other parameters"},
                }),
                &[],
            ),
            output(json!({
                "tasks": {"type": "array", "items": task()},
                "count": {"type": "integer", "description": "Tasks in this answer"},
                "total": {"type": "integer", "description": "Tasks that match in all, this answer's and the others'"},
                "next_cursor": {"type": "string", "description": "There are more: pass it as cursor"},
            })),
            ToolAnnotations::with_title("List tasks")
                .read_only(true)
                .destructive(false)
                .idempotent(true),
        ),
        tool(
            "complete_task",
            "Mark a task as done. For a task that was done, not for one to be removed. One that repeats moves on to its next date, which \
             next_due says; what was done is kept as a done task of its own.",
            parameters(json!({"task_id": id("The task")}), &["task_id"]),
            output(
                json!({"message": said(), "next_due": date("When a task that repeats is due next")}),
            ),
            ToolAnnotations::with_title("Complete a task")
                .read_only(false)
                .destructive(false)
                .idempotent(false),
        ),
        tool(
            "delete_task",
            "Delete a task. Only when the user clearly wants it gone. It can be brought back for 30 days, with update_task and restore.",
            parameters(json!({"task_id": id("The task")}), &["task_id"]),
            output(json!({"message": said()})),
            ToolAnnotations::with_title("Delete a task")
                .read_only(false)
                .destructive(true)
                .idempotent(true),
        ),
        tool(
            "update_task",
            "Change a task. Fields that are left out stay as they are: renaming a task keeps its date, and moving one that repeats \
             keeps its rule. To empty a field name it in clear.",
            parameters(
                all(
                    all(
                        json!({"task_id": id("The task"),
                               "title": text("The new title", 1, MAX_TITLE),
                               "description": text("The new description; empty removes it", 0, MAX_DESCRIPTION)}),
                        fields_of_a_task(),
                    ),
                    json!({
                        "completed": {"type": "boolean", "description": "true: done, as complete_task; false: open again"},
                        "clear": {"type": "array", "items": {"type": "string", "enum": CLEARABLE}, "maxItems": CLEARABLE.len(),
                                  "description": "Fields to empty. due_date empties due_time and repeat, too"},
                        "restore": {"type": "boolean", "description": "true: bring a deleted task back, with everything it had"},
                    }),
                ),
                &["task_id"],
            ),
            output(json!({"message": said(), "task": task()})),
            ToolAnnotations::with_title("Change a task")
                .read_only(false)
                .destructive(true)
                .idempotent(true),
        ),
    ]
}

/// What a task is given when it is added, and later.
fn fields_of_a_task() -> Value {
    json!({
        "due_date": date("The day it is due, YYYY-MM-DD, in the user's zone"),
        "due_time": {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
                     "description": "The time of that day, HH:MM, in the user's zone. Only with a date"},
        "weekday": {"type": "string", "enum": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
                    "description": "The weekday of due_date, as a check: a date on another weekday is refused"},
        "priority": priority("p1: highest, p4: default"),
        "tags": tags("Labels, without #. They replace those that are there"),
        "repeat": {"type": "string", "minLength": 1, "maxLength": 255,
                   "description": "Only if it comes again and again: an RFC 5545 RRULE without DTSTART, of days: FREQ=DAILY, \
                                   FREQ=WEEKLY;BYDAY=MO, FREQ=MONTHLY;BYMONTHDAY=-1 (the last day), with INTERVAL, and COUNT or \
                                   UNTIL=YYYYMMDD. Months without the day are left out. A deadline (by Friday) is a date and no rule"},
        "repeat_from": {"type": "string", "enum": ["due", "completion"],
                        "description": "due (default): by the schedule; completion: counted from the day it is done"},
    })
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
fn output(properties: Value) -> Map<String, Value> {
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

fn date(description: &str) -> Value {
    json!({"type": "string", "format": "date", "description": description})
}

fn priority(description: &str) -> Value {
    json!({"type": "string", "enum": Priority::ALL.map(Priority::name), "description": description})
}

fn tags(description: &str) -> Value {
    json!({"type": "array", "maxItems": MAX_TAGS, "description": description,
           "items": {"type": "string", "minLength": 1, "maxLength": MAX_TAG}})
}

fn all(one: Value, other: Value) -> Value {
    Value::Object(fields(one).into_iter().chain(fields(other)).collect())
}

fn task() -> Value {
    json!({"type": "object",
        "required": ["id", "title", "description", "completed", "due", "priority", "tags", "created_at", "updated_at"],
        "properties": {
            "id": id("Its task_id"),
            "title": {"type": "string"},
            "description": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "completed": {"type": "boolean"},
            "completed_at": {"type": "string", "format": "date-time"},
            "due_date": {"type": "string", "format": "date"},
            "due_time": {"type": "string"},
            "due": {"type": "string", "description": "When it is due, in words"},
            "priority": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "repeat": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
    }})
}
