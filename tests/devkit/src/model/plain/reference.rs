//! What "it", "the second one" and a bare answer to "which one?" refer to, found in the conversation so far.

use serde_json::Value;

use super::clauses::bare;
use super::intent::{Intent, intents};
use super::reply::WHICH_ONE;
use crate::model::request;

const PRONOUNS: [&str; 9] = [
    "it",
    "that",
    "this",
    "that one",
    "this one",
    "that task",
    "this task",
    "the task",
    "the last task",
];

const ORDINALS: [(&str, usize); 12] = [
    ("first", 0),
    ("second", 1),
    ("third", 2),
    ("fourth", 3),
    ("fifth", 4),
    ("sixth", 5),
    ("1", 0),
    ("2", 1),
    ("3", 2),
    ("4", 3),
    ("5", 4),
    ("6", 5),
];

/// The wishes of the newest user message, with references to the conversation replaced by titles.
pub(super) fn wishes(request: &Value) -> Vec<Intent> {
    let message = request::asked(request);
    let said = last_said(request);
    let mut wishes = intents(&message);
    if wishes == [Intent::Unknown] && said.contains(WHICH_ONE) {
        // The answer to a question is a target for the wish that raised it.
        let earlier = intents(&previous_user(request));
        if let Some(wish) = earlier.iter().find(|wish| wish.target().is_some()) {
            wishes = vec![wish.with_target(bare(&message))];
        }
    }
    wishes
        .into_iter()
        .map(|wish| referred(wish, &said))
        .collect()
}

fn referred(wish: Intent, said: &str) -> Intent {
    let Some(target) = wish.target() else {
        return wish;
    };
    let own = if let Intent::Rename(text) = &wish {
        text.split(" to ").next().unwrap_or(text)
    } else {
        target
    };
    match lookup(own, said) {
        Some(title) => wish.with_target(&title),
        None => wish,
    }
}

fn lookup(target: &str, said: &str) -> Option<String> {
    let target = target.to_lowercase();
    let titles = emphasised(said);
    let bullets = bullets(said);
    if PRONOUNS.contains(&target.as_str()) {
        return titles
            .last()
            .or(bullets.last().filter(|_| bullets.len() == 1))
            .cloned();
    }
    if ["them", "both", "both of them", "those"].contains(&target.as_str()) {
        return Some(if bullets.is_empty() {
            titles.join("; ")
        } else {
            bullets.join("; ")
        })
        .filter(|all| !all.is_empty());
    }
    let bare = target
        .trim_start_matches("the ")
        .trim_start_matches("number ")
        .trim_start_matches('#');
    let bare = bare.trim_end_matches(" one").trim_end_matches(" task");
    if bare == "last" {
        return bullets.last().cloned();
    }
    let (_, nth) = ORDINALS.iter().find(|(word, _)| *word == bare)?;
    bullets.get(*nth).cloned()
}

/// The newest words of the assistant before the newest user message.
fn last_said(request: &Value) -> String {
    let said = before_last_user(request)
        .iter()
        .rfind(|m| m["role"] == "assistant" && !request::content(m).is_empty());
    said.map(request::content).unwrap_or_default()
}

fn previous_user(request: &Value) -> String {
    let message = before_last_user(request)
        .iter()
        .rfind(|m| m["role"] == "user");
    message.map(request::content).unwrap_or_default()
}

fn before_last_user(request: &Value) -> &[Value] {
    let messages = request::messages(request);
    &messages[..messages
        .iter()
        .rposition(|m| m["role"] == "user")
        .unwrap_or(0)]
}

/// The titles in bold.
fn emphasised(text: &str) -> Vec<String> {
    text.split("**")
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The titles in a list, without check boxes, emphasis and notes.
fn bullets(text: &str) -> Vec<String> {
    let items = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    let title = |item: &str| {
        let item = item.trim_start_matches("[ ] ").trim_start_matches("[x] ");
        item.split(": *")
            .next()
            .unwrap_or(item)
            .trim_matches('*')
            .to_owned()
    };
    items.map(title).collect()
}
