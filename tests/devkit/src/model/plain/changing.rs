//! Requests and news that change a task: its title, its state, its being there.

use super::clauses::{LISTS, after, after_any, before_any};
use super::intent::{Intent, some_object};
use super::titles;

pub(super) fn rename(text: &str) -> Option<Intent> {
    const OPENINGS: [&str; 6] = [
        "rename",
        "change the title of",
        "change the name of",
        "change",
        "update the title of",
        "update",
    ];
    let rest = after_any(text, &OPENINGS)?;
    rest.contains(" to ")
        .then(|| Intent::Rename(rest.to_owned()))
}

/// Commands that name a state: complete, reopen, delete.
pub(super) fn change(text: &str) -> Option<Intent> {
    const NOT_DONE: [&str; 9] = [
        "as not done",
        "as open",
        "as undone",
        "as not completed",
        "as to do",
        "not done",
        "is not done",
        "isn't done",
        "as incomplete",
    ];
    const DONE: [&str; 12] = [
        "as done",
        "as complete",
        "as completed",
        "as finished",
        "off",
        "done",
        "complete",
        "completed",
        "finished",
        "as bought",
        "as read",
        "from my list",
    ];
    if let Some(rest) = after_any(text, &["reopen", "undo", "uncheck", "untick", "unmark"]) {
        return some_object(rest).map(Intent::Reopen);
    }
    if let Some(rest) = after_any(
        text,
        &[
            "delete",
            "remove",
            "drop",
            "forget about",
            "forget",
            "get rid of",
            "erase",
            "scratch",
        ],
    ) {
        return some_object(before_any(rest, &LISTS).unwrap_or(rest)).map(Intent::Delete);
    }
    if let Some(rest) =
        after(text, "take").and_then(|rest| before_any(rest, &["off my list", "off the list"]))
    {
        return some_object(rest).map(Intent::Delete);
    }
    if let Some(rest) = after_any(text, &["mark", "tick", "check", "cross", "set"]) {
        if let Some(rest) = before_any(rest, &NOT_DONE) {
            return some_object(rest).map(Intent::Reopen);
        }
        return after(rest, "off")
            .or(before_any(rest, &DONE))
            .and_then(some_object)
            .map(Intent::Complete);
    }
    let finished = after_any(
        text,
        &[
            "complete",
            "completed",
            "finish",
            "finished",
            "done with",
            "done",
            "i'm done with",
        ],
    );
    finished.and_then(some_object).map(Intent::Complete)
}

/// News that amount to a wish: "the milk is done", "I called Ann".
pub(super) fn report(text: &str) -> Option<Intent> {
    const NOT_YET: [&str; 5] = [
        "is not done",
        "isn't done",
        "is not done yet",
        "isn't done yet",
        "are not done",
    ];
    const STATES: [&str; 14] = [
        "is done",
        "are done",
        "is finished",
        "are finished",
        "is complete",
        "is completed",
        "are completed",
        "is ready",
        "is bought",
        "is paid",
        "are bought",
        "has been done",
        "done",
        "finished",
    ];
    if let Some(target) = before_any(text, &NOT_YET) {
        return some_object(target).map(Intent::Reopen);
    }
    if let Some(target) = before_any(text, &STATES) {
        return some_object(after_any(target, &["i have", "i've", "i"]).unwrap_or(target))
            .map(Intent::Complete);
    }
    let rest = after_any(
        text,
        &[
            "i have already",
            "i have just",
            "i have",
            "i've already",
            "i've just",
            "i've",
            "i already",
            "i just",
            "i",
        ],
    )?;
    let verb = rest.split_whitespace().next()?;
    let target = if ["did", "done", "finished", "completed"].contains(&verb) {
        &rest[verb.len()..]
    } else {
        rest
    };
    titles::is_past(verb)
        .then(|| some_object(target.trim()))
        .flatten()
        .map(Intent::Complete)
}
