//! Single arguments, checked: what is not valid is told with what would be.

use chrono::{Datelike, NaiveDate, NaiveTime, Weekday};
use errand_core::calendar::{self, MAX_DATE, MIN_DATE, Now, RepeatFrom, Rule, RuleError};
use errand_store::tasks::{Priority, tag_key};
use serde_json::json;
use uuid::Uuid;

use super::{
    contract::{MAX_DESCRIPTION, MAX_TAG, MAX_TAGS, MAX_TITLE},
    error::ToolError,
};

/// Characters of an argument that a message repeats.
const MAX_SHOWN: usize = 40;

pub(super) fn title(title: &str) -> Result<&str, ToolError> {
    let title = title.trim();
    match title.chars().count() {
        0 => Err(field("title", "title must not be empty.")),
        n if n > MAX_TITLE => Err(field(
            "title",
            format!(
                "title must be at most {MAX_TITLE} characters; the rest belongs into description."
            ),
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

/// A day of the user's own.
pub(super) fn date(name: &str, text: &str, now: &Now) -> Result<NaiveDate, ToolError> {
    let text = text.trim();
    let date = (text.len() == "2026-11-27".len())
        .then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
        .flatten()
        .filter(|date| (MIN_DATE..=MAX_DATE).contains(date));
    let today = now.today();
    date.ok_or_else(|| {
        let message = format!(
            "{name} must be a date of the calendar as YYYY-MM-DD, and \"{}\" is none. Today is {today}, a {}.",
            cut(text, MAX_SHOWN),
            calendar::weekday_name(today.weekday())
        );
        ToolError::invalid(message).with_details(json!({"field": name, "today": today.to_string()}))
    })
}

/// A time as the user's clock shows it.
pub(super) fn time(text: &str) -> Result<NaiveTime, ToolError> {
    let text = text.trim();
    let minutes = text
        .strip_suffix(":00")
        .filter(|text| text.contains(':'))
        .unwrap_or(text);
    NaiveTime::parse_from_str(minutes, "%H:%M").map_err(|_| {
        let message = format!(
            "due_time must be HH:MM, from 00:00 to 23:59, and \"{}\" is not.",
            cut(text, MAX_SHOWN)
        );
        field("due_time", message)
    })
}

pub(super) fn weekday(text: &str) -> Result<Weekday, ToolError> {
    calendar::read_weekday(text.trim())
        .ok_or_else(|| field("weekday", "weekday must be one of monday to sunday."))
}

pub(super) fn priority(text: &str) -> Result<Priority, ToolError> {
    Priority::named(text.trim()).ok_or_else(|| {
        field(
            "priority",
            "priority must be p1 (highest), p2, p3 or p4 (default).",
        )
    })
}

/// Tags, each once whatever its case.
pub(super) fn tags(tags: Vec<String>) -> Result<Vec<String>, ToolError> {
    let mut all: Vec<String> = Vec::new();
    for tag in tags {
        let tag = tag.trim();
        if !(1..=MAX_TAG).contains(&tag.chars().count()) {
            return Err(field(
                "tags",
                format!("a tag must have 1 to {MAX_TAG} characters."),
            ));
        }
        if !all.iter().any(|known| tag_key(known) == tag_key(tag)) {
            all.push(tag.to_owned());
        }
    }
    match all.len() {
        0..=MAX_TAGS => Ok(all),
        _ => Err(field(
            "tags",
            format!("a task has at most {MAX_TAGS} tags."),
        )),
    }
}

pub(super) fn rule(text: &str) -> Result<Rule, ToolError> {
    text.parse().map_err(|error| no_rule(&error))
}

pub(super) fn no_rule(error: &RuleError) -> ToolError {
    ToolError::invalid(error.to_string())
        .with_details(json!({"field": "repeat", "valid": calendar::VALID_RULES}))
}

pub(super) fn repeat_from(text: &str) -> Result<RepeatFrom, ToolError> {
    RepeatFrom::named(text.trim()).ok_or_else(|| {
        field(
            "repeat_from",
            "repeat_from must be due (default: the schedule stays) or completion.",
        )
    })
}

/// The UUID that a text is, in the one form in which they are given out: whoever compares ids as texts, a page that looks a task
/// up or a person who reads, sees the same task.
pub(super) fn canonical(text: &str) -> Option<Uuid> {
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

pub(super) fn field(name: &str, message: impl Into<String>) -> ToolError {
    ToolError::invalid(message).with_details(json!({"field": name}))
}
