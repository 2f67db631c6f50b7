//! A recorded answer as it is given today: names become ids, and relative dates become dates.

use chrono::NaiveDate;
use errand_core::calendar::weekday_name;
use errand_devkit::model::{Turn, request};
use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    recording::{Answer, Call},
    state::Beginning,
    text,
};

pub(super) fn turn(answer: &Answer, beginning: &Beginning, clock: &Clock, body: &Value) -> Turn {
    let mut turn = Turn::empty().and_text(&answer.text);
    for Call { tool, arguments } in &answer.calls {
        turn = match arguments {
            Value::Object(arguments) => {
                let arguments = filled(arguments, beginning, clock, body);
                turn.and_call(tool, Value::Object(arguments))
            }
            Value::String(raw) => turn.and_call_raw(tool, raw.as_str()),
            other => turn.and_call(tool, other.clone()),
        };
    }
    turn
}

fn filled(
    arguments: &Map<String, Value>,
    beginning: &Beginning,
    clock: &Clock,
    body: &Value,
) -> Map<String, Value> {
    let mut filled = Map::new();
    for (name, value) in arguments {
        let Some(text) = value.as_str() else {
            filled.insert(name.clone(), value.clone());
            continue;
        };
        let now = match (name.as_str(), text.strip_prefix('$')) {
            ("task_id", Some(named)) => task(named, beginning, body),
            ("cursor", Some(_)) => cursor(body),
            ("due_date" | "due_from" | "due_to", _) => {
                clock.date(text).ok().map(|date| date.to_string())
            }
            ("weekday", _) if text == "auto" => weekday(arguments, clock),
            _ => clock.fill(text).ok(),
        };
        // What is none of these was the model's own invention.
        filled.insert(name.clone(), json!(now.as_deref().unwrap_or(text)));
    }
    filled
}

fn weekday(arguments: &Map<String, Value>, clock: &Clock) -> Option<String> {
    let date: NaiveDate = clock.date(arguments["due_date"].as_str()?).ok()?;
    Some(weekday_name(chrono::Datelike::weekday(&date)).to_lowercase())
}

/// A task of the beginning, or the newest with these words in its title that a tool has told of.
fn task(named: &str, beginning: &Beginning, body: &Value) -> Option<String> {
    if let Some(task) = beginning.named(named) {
        return Some(task.id.to_string());
    }
    let mut found = None;
    for result in results(body) {
        let listed = result["tasks"].as_array().into_iter().flatten();
        for task in listed.chain([&result["task"]]) {
            if let (Some(title), Some(id)) = (task["title"].as_str(), task["id"].as_str())
                && text::has(title, named)
            {
                found = Some(id.to_owned());
            }
        }
    }
    found
}

fn cursor(body: &Value) -> Option<String> {
    let cursors =
        results(body).filter_map(|result| Some(result["next_cursor"].as_str()?.to_owned()));
    cursors.last()
}

/// The results of tools, the oldest first.
fn results(body: &Value) -> impl Iterator<Item = Value> {
    let turns = request::turns(body).into_iter();
    turns
        .flat_map(request::calls)
        .filter_map(|step| step.result)
}
