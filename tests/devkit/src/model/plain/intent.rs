//! What a clause asks for. Must not know the list: a target is still the user's words for a task.

use super::clauses::{after_any, before, clauses, starts_with_task_verb, unquoted};
use super::{adding, asking, changing};

/// One wish of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    Add {
        titles: Vec<String>,
        description: Option<String>,
    },
    List {
        which: Which,
        search: Option<String>,
    },
    Complete(String),
    Reopen(String),
    Delete(String),
    /// "X to Y", not yet split: a title may contain "to" as well.
    Rename(String),
    Describe {
        target: String,
        note: String,
    },
    Hello,
    Help,
    Thanks,
    Unknown,
}

/// Which tasks a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Open,
    Done,
    All,
}

/// The intents of a message, in order. Small talk counts only when there is nothing else.
pub(super) fn intents(message: &str) -> Vec<Intent> {
    let all: Vec<Intent> = clauses(message)
        .iter()
        .map(|clause| intent(clause))
        .collect();
    let real: Vec<Intent> = all.iter().filter(|i| !i.is_talk()).cloned().collect();
    match all.into_iter().find(|i| *i != Intent::Unknown) {
        _ if !real.is_empty() => real,
        Some(talk) => vec![talk],
        // Politeness is cut from the clauses, so a greeting with nothing behind it is found in the message.
        None => vec![small_talk(message.trim()).unwrap_or(Intent::Unknown)],
    }
}

impl Intent {
    fn is_talk(&self) -> bool {
        matches!(
            self,
            Self::Hello | Self::Help | Self::Thanks | Self::Unknown
        )
    }

    /// The user's words for a task that has to be looked up.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Complete(target)
            | Self::Reopen(target)
            | Self::Delete(target)
            | Self::Rename(target) => Some(target),
            Self::Describe { target, .. } => Some(target),
            _ => None,
        }
    }

    /// The same wish about another task.
    pub(super) fn with_target(&self, target: &str) -> Self {
        let target = target.to_owned();
        match self {
            Self::Complete(_) => Self::Complete(target),
            Self::Reopen(_) => Self::Reopen(target),
            Self::Delete(_) => Self::Delete(target),
            Self::Rename(old) => match old.split_once(" to ") {
                Some((_, title)) => Self::Rename(format!("{target} to {title}")),
                None => Self::Rename(target),
            },
            Self::Describe { note, .. } => Self::Describe {
                target,
                note: note.clone(),
            },
            other => other.clone(),
        }
    }
}

fn intent(text: &str) -> Intent {
    let readings = [
        adding::describe,
        asking::question,
        adding::put,
        adding::add,
        changing::rename,
        changing::change,
        changing::report,
        small_talk,
    ];
    readings
        .iter()
        .find_map(|read| read(text))
        .unwrap_or(Intent::Unknown)
}

fn small_talk(text: &str) -> Option<Intent> {
    const HELLO: [&str; 6] = [
        "hello",
        "hi",
        "hey",
        "good morning",
        "good evening",
        "good afternoon",
    ];
    const THANKS: [&str; 9] = [
        "thanks",
        "thank you",
        "thx",
        "cheers",
        "great",
        "cool",
        "nice",
        "perfect",
        "well done",
    ];
    if after_any(text, &HELLO).is_some() && !starts_with_task_verb(text) {
        return Some(Intent::Hello);
    }
    if after_any(text, &["help", "who are you", "what are you"]).is_some() {
        return Some(Intent::Help);
    }
    after_any(text, &THANKS).map(|_| Intent::Thanks)
}

/// The words for a task without "the task", quotation marks and the like.
pub(super) fn object(text: &str) -> String {
    let text =
        after_any(text, &["the task called", "the task", "task", "the item"]).unwrap_or(text);
    let text = ["task", "item", "one"]
        .iter()
        .find_map(|s| before(text, s))
        .filter(|t| t.contains(' '))
        .unwrap_or(text);
    unquoted(text).to_owned()
}

pub(super) fn some_object(text: &str) -> Option<String> {
    Some(object(text)).filter(|object| !object.is_empty())
}
