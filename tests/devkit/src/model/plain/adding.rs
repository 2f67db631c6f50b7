//! Requests that bring something new: tasks, and notes on tasks.

use super::clauses::{LISTS, after, after_any, before_any, items, unquoted};
use super::intent::{Intent, object};

const ADD: [&str; 27] = [
    "remember to",
    "remember that i need to",
    "remember",
    "remind me to",
    "remind me about",
    "remind me of",
    "remind me",
    "i need to",
    "i have to",
    "i've got to",
    "i must",
    "i should",
    "i want to",
    "i'd like to",
    "i also need to",
    "i still need to",
    "don't let me forget to",
    "don't forget to",
    "don't forget",
    "new task",
    "new todo",
    "todo",
    "note down",
    "make a note to",
    "create",
    "make a task",
    "add",
];

const ADD_OBJECTS: [&str; 18] = [
    "a new task",
    "a task",
    "new task",
    "the task",
    "task",
    "another task",
    "tasks",
    "these tasks",
    "two tasks",
    "three tasks",
    "a to-do",
    "a todo",
    "todo",
    "an item",
    "a reminder",
    "the following tasks",
    "the following",
    "this",
];

pub(super) fn describe(text: &str) -> Option<Intent> {
    const OPENINGS: [&str; 9] = [
        "add a note to",
        "add note to",
        "add the note to",
        "add a description to",
        "add description to",
        "note on",
        "change the description of",
        "set the description of",
        "describe",
    ];
    let rest = after_any(text, &OPENINGS)?;
    let (target, note) = [": ", " that ", " saying ", " as ", " to ", " - "]
        .iter()
        .find_map(|s| rest.split_once(s))?;
    Some(Intent::Describe {
        target: object(target),
        note: unquoted(note).to_owned(),
    })
}

/// "put milk on my list"; without the list it is a title like any other.
pub(super) fn put(text: &str) -> Option<Intent> {
    adding(before_any(after(text, "put")?, &LISTS)?)
}

pub(super) fn add(text: &str) -> Option<Intent> {
    let rest = after_any(text, &ADD)?;
    adding(after_any(rest, &["remember to", "not forget to"]).unwrap_or(rest))
}

fn adding(rest: &str) -> Option<Intent> {
    let rest = match after_any(rest, &ADD_OBJECTS) {
        Some(object) => {
            let object = before_any(object, &LISTS)
                .or(after_any(object, &LISTS))
                .unwrap_or(object);
            after_any(object, &["to", "called", "named", "for", "-"]).unwrap_or(object)
        }
        None => after_any(rest, &LISTS).unwrap_or(rest),
    };
    let noted = [
        " with the note",
        " with note",
        " with the description",
        " with description",
    ];
    let (rest, description) = match noted.iter().find_map(|s| rest.split_once(s)) {
        Some((rest, note)) => (
            rest,
            Some(unquoted(note.trim_start_matches([':', ' '])).to_owned()),
        ),
        None => (rest, None),
    };
    let without_list = |item: String| {
        before_any(&item, &LISTS)
            .map(|s| unquoted(s).to_owned())
            .unwrap_or(item)
    };
    let titles: Vec<String> = items(before_any(rest, &LISTS).unwrap_or(rest))
        .into_iter()
        .map(without_list)
        .collect();
    (!titles.is_empty()).then_some(Intent::Add {
        titles,
        description,
    })
}
